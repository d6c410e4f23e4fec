"""The fold against filterpy, pykalman and statsmodels, and against a textbook's local level."""

import json
from math import sqrt
from pathlib import Path

import msgspec
import numpy as np
import pytest

from kalmap.filter.algebra import P00, P01, P11
from kalmap.filter.estimates import newest_estimates
from kalmap.filter.fold import fold_users
from kalmap.profile import builtin_profile, load_profile
from kalmap.readings import UNKNOWN_SOURCE
from tests.support.histories import DAY, START, Reading, columns

REFERENCES = json.loads(Path(__file__).with_name("references.json").read_bytes())
ORDINARY = {"daily", "weekly without damping", "strong damping"}
OPEN = msgspec.to_builtins(builtin_profile("body-weight")) | {
    "range": [-1e9, 1e9],
    "unit": "{points}",
    "sources": {},
    "unknown_source": 1.0,
    # The textbook's filter: every reading is believed, the noise is the profile's.
    "faults": {"share": 0.0},
    "learning": None,
    "population": {},
}


def _folded(profile, times, values):
    history = [
        Reading(time, 0, 0, value, UNKNOWN_SOURCE)
        for time, value in zip(times, values, strict=True)
    ]
    return fold_users(profile, [None], columns([(0, r) for r in history]), max(times))


@pytest.mark.parametrize("library", ["filterpy", "pykalman", "statsmodels"])
@pytest.mark.parametrize("series", REFERENCES["series"], ids=lambda series: series["name"])
def test_the_fold_follows_the_references_path(series, library):
    profile = load_profile(OPEN | series["model"])
    # The references leave wild readings out, and only predict there.
    used = np.delete(np.arange(len(series["values"])), series["rejected"])
    times, values = (np.array(series[name])[used].tolist() for name in ("times", "values"))
    folded = _folded(profile, times, values)
    assert not folded.decisions.reason.any()
    path = {name: np.array(column)[used] for name, column in series["paths"][library].items()}
    tolerance = 1e-12 if series["name"] in ORDINARY else 1e-9
    np.testing.assert_allclose(folded.decisions.level, path["level"], rtol=tolerance)
    np.testing.assert_allclose(folded.decisions.level_sd, np.sqrt(path["p00"]), rtol=tolerance)
    # A slope passes through zero: its error is measured against its own uncertainty.
    uncertainty = np.sqrt(path["p11"])
    assert (np.abs(folded.decisions.slope - path["slope"]) <= tolerance * 10.0 * uncertainty).all()
    newest = newest_estimates(profile, [folded.bodies[0]])
    expected = [path[name][-1] for name in ("p00", "p01", "p11")]
    np.testing.assert_allclose(newest.estimate[[P00, P01, P11], 0], expected, rtol=tolerance * 10.0)


def test_the_level_alone_is_the_textbooks_local_level_model():
    nile = REFERENCES["nile"]
    noise, walk = nile["observation_variance"], nile["level_variance"]
    profile = load_profile(
        OPEN
        | {
            "measurement_noise": sqrt(noise),
            "level_noise": sqrt(walk),
            "slope_noise": 0.0,
            "slope_prior": 0.0,
        }
    )
    # A year of the series is a day of the profile.
    times = [START + year * DAY for year in range(len(nile["values"]))]
    folded = _folded(profile, times, nile["values"])
    assert not folded.decisions.reason.any()
    np.testing.assert_allclose(folded.decisions.level, nile["level"], rtol=1e-12)
    np.testing.assert_allclose(folded.decisions.level_sd**2, nile["p00"], rtol=1e-12)
    assert not folded.decisions.slope.any()
    # Its steady state in closed form: Durbin and Koopman 2012, section 2.11, q the signal-to-noise
    # ratio and x = P / noise the prediction variance; the update leaves x / (1 + x) of the noise.
    q = walk / noise
    x = (q + sqrt(q * q + 4.0 * q)) / 2.0
    assert folded.decisions.level_sd[-1] ** 2 == pytest.approx(noise * x / (1.0 + x), rel=1e-12)
    # And its first steps by hand: the second level is (y1 + walk-weighted y2).
    first, second = nile["values"][:2]
    gain = (noise + walk) / (2.0 * noise + walk)
    assert folded.decisions.level[1] == pytest.approx(first + gain * (second - first), rel=1e-14)
