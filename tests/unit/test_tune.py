"""`kalmap tune` finds the noises that made the readings, even with faults among them."""

import gzip

import msgspec
import numpy as np
import pytest

from kalmap.filter.packed import Histories
from kalmap.profile import builtin_profile, load_profile
from kalmap_cli.commands.tune import read_histories, tuned_name
from kalmap_cli.errors import DONE, WRONG_USAGE
from kalmap_cli.likelihood import fit_noises, negative_log_likelihood, scale_noises
from kalmap_cli.main import main
from kalmap_cli.simulation import Rates, jsonl_lines, simulate

BASE = builtin_profile("body-weight")


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    path = tmp_path_factory.mktemp("tune") / "readings.jsonl"
    with path.open("w") as file:
        for block in simulate(150, 120, 3, rates=Rates(outliers=0.03, unit_mistakes=0.01)):
            file.writelines(jsonl_lines(block))
    return path


def test_the_fit_finds_the_noises_that_made_the_readings(readings):
    histories = read_histories(BASE, [readings])
    start = msgspec.structs.replace(
        BASE,
        measurement_noise=2.0,
        level_noise=0.5,
        sources=dict.fromkeys(BASE.sources, 1.0),
        unknown_source=1.0,
    )
    fitted = fit_noises(scale_noises(start, histories), histories, lambda *_: None)
    assert (
        negative_log_likelihood(fitted, histories) < negative_log_likelihood(start, histories) - 0.3
    )
    # kalmap_cli.simulation.SOURCES: 0.35 kg for a scale, 0.7 by hand, 0.9 for a source not known.
    assert fitted.measurement_noise == pytest.approx(0.35, rel=0.1)
    assert fitted.sources["scale"] == 1.0
    assert fitted.sources["manual"] == pytest.approx(2.0, rel=0.15)
    assert fitted.unknown_source == pytest.approx(2.6, rel=0.15)
    assert fitted.level_noise == pytest.approx(0.08, abs=0.04)


def test_wild_readings_hardly_move_the_fit():
    random = np.random.default_rng(1)
    counts = np.full(100, 40)
    gap = np.where(np.arange(4000) % 40, 1.0, 0.0)
    value = np.repeat(random.uniform(60.0, 100.0, 100), 40) + random.normal(0.0, 0.5, 4000)
    wild = value.copy()
    wild[random.choice(4000, 80, replace=False)] += 20.0
    source = np.full(4000, BASE.source_code("scale"), np.uint8)
    noises = [
        fit_noises(BASE, Histories(counts, gap, v, source), lambda *_: None).measurement_noise
        for v in (value, wild)
    ]
    assert noises[0] == pytest.approx(0.5, rel=0.05)
    assert noises[1] == pytest.approx(noises[0], rel=0.05)


def test_tune_writes_a_profile_that_run_accepts(readings, tmp_path, capsys):
    packed = tmp_path / "readings.jsonl.gz"
    lines = readings.read_bytes().splitlines(keepends=True)[:600]
    packed.write_bytes(gzip.compress(b"".join(lines)))
    out = tmp_path / "mine.json"
    assert main(["tune", str(packed), "--out", str(out), "--name", "mine"]) == DONE
    profile = load_profile(out.read_bytes())
    assert profile.name == "mine"
    assert profile.range == BASE.range
    assert profile.description.startswith("body-weight, with noises fitted by kalmap tune to ")
    assert str(out) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("user_id,timestamp,value\nu,2026-01-01T00:00:00Z,80\n", "too few to fit"),
        ("user_id,timestamp,value\nu,2026-01-01T00:00:00Z,8000\n", "1 lie outside the range"),
    ],
)
def test_too_few_readings_are_refused_in_a_sentence(content, words, tmp_path, capsys):
    file = tmp_path / "few.csv"
    file.write_text(content)
    assert main(["tune", str(file)]) == WRONG_USAGE
    assert words in capsys.readouterr().err


def test_an_invalid_profile_name_is_refused(readings, capsys):
    assert main(["tune", str(readings), "--name", "My Weight"]) == WRONG_USAGE
    assert "lower-case" in capsys.readouterr().err


def test_a_fitted_profile_has_a_name_of_its_own_also_when_it_is_fitted_again():
    names = ["body-weight"]
    for _ in range(3):
        names.append(tuned_name(names[-1]))
    assert names[1:] == ["body-weight-tuned", "body-weight-tuned-2", "body-weight-tuned-3"]
    longest = tuned_name("x" * 48)
    assert longest == "x" * 42 + "-tuned"
    assert load_profile(msgspec.to_builtins(BASE) | {"name": tuned_name(longest)})
