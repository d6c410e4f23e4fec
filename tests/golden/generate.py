"""Compute the reference paths in references.json with three other Kalman filters.

    python -m venv .venv-references
    .venv-references/bin/pip install numpy filterpy pykalman statsmodels mpmath
    .venv-references/bin/python tests/golden/generate.py

Nothing of kalmap is used here: the transition comes from its formula in 50-digit arithmetic,
the filtering from filterpy, pykalman and statsmodels. Each leaves the rejected readings out.
"""

import json
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
from filterpy.kalman import KalmanFilter
from pykalman import KalmanFilter as PyKalman
from statsmodels.datasets import nile
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter as StatsKalman
from statsmodels.tsa.statespace.structural import UnobservedComponents

DAY = 86_400_000_000
START = 1_700_000_000_000_000
mpmath.mp.dps = 50


def transition(model, gap_microseconds):
    """F and Q over a gap, in 50 digits, rounded once."""
    h = mpmath.mpf(gap_microseconds) / DAY
    k, qs = mpmath.mpf(model["slope_damping"]), mpmath.mpf(model["slope_noise"]) ** 2
    ql = mpmath.mpf(model["level_noise"]) ** 2
    if k == 0:
        g, e = h, mpmath.mpf(1)
        q = (ql * h + qs * h**3 / 3, qs * h**2 / 2, qs * h)
    else:
        a = k * h
        u = -mpmath.expm1(-a)
        g, e = u / k, mpmath.exp(-a)
        q = (ql * h + qs * (h - g - k * g**2 / 2) / k**2, qs * g**2 / 2, qs * g * (1 + e) / 2)
    f = np.array([[1.0, float(g)], [0.0, float(e)]])
    return f, np.array([[float(q[0]), float(q[1])], [float(q[1]), float(q[2])]])


def prepared(series):
    model, times = series["model"], series["times"]
    steps = [transition(model, after - before) for before, after in pairwise(times)]
    values = np.array(series["values"])
    accepted = np.ones(len(values), bool)
    accepted[series["rejected"]] = False
    noise = model["measurement_noise"] ** 2
    start = np.array([values[0], 0.0]), np.diag([noise, model["slope_prior"] ** 2])
    return steps, values, accepted, noise, start


def by_filterpy(series):
    steps, values, accepted, noise, (mean, covariance) = prepared(series)
    kalman = KalmanFilter(dim_x=2, dim_z=1)
    kalman.H = np.array([[1.0, 0.0]])
    kalman.x, kalman.P = mean[:, None].copy(), covariance.copy()
    path = [(kalman.x[:, 0].copy(), kalman.P.copy())]
    for (f, q), value, keep in zip(steps, values[1:], accepted[1:], strict=True):
        kalman.predict(F=f, Q=q)
        if keep:
            kalman.update(value, R=noise)
        path.append((kalman.x[:, 0].copy(), kalman.P.copy()))
    return path


def by_pykalman(series):
    steps, values, accepted, noise, (mean, covariance) = prepared(series)
    kalman = PyKalman(
        transition_matrices=np.array([f for f, _ in steps[1:]] + [np.eye(2)]),
        observation_matrices=np.array([[1.0, 0.0]]),
        observation_covariance=np.array([[noise]]),
    )
    state, path = (mean, covariance), [(mean, covariance)]
    for (f, q), value, keep in zip(steps, values[1:], accepted[1:], strict=True):
        observation = np.ma.masked_all(1) if not keep else np.ma.array([value])
        state = kalman.filter_update(
            *state, observation, transition_matrix=f, transition_covariance=q,
            transition_offset=np.zeros(2), observation_offset=np.zeros(1),
        )  # fmt: skip
        path.append((np.asarray(state[0]).reshape(2), np.asarray(state[1])))
    return path


def by_statsmodels(series):
    steps, values, accepted, noise, (mean, covariance) = prepared(series)
    kalman = StatsKalman(k_endog=1, k_states=2)
    kalman.bind(np.where(accepted, values, np.nan)[1:])
    kalman["design"] = np.array([[1.0, 0.0]])
    kalman["obs_cov"] = np.array([[noise]])
    kalman["selection"] = np.eye(2)
    # Theirs predicts after each observation: step i goes from reading i + 1 to i + 2.
    after = [*steps[1:], (np.eye(2), np.zeros((2, 2)))]
    kalman["transition"] = np.stack([f for f, _ in after], axis=2)
    kalman["state_cov"] = np.stack([q for _, q in after], axis=2)
    f, q = steps[0]
    kalman.initialize_known(f @ mean, f @ covariance @ f.T + q)
    kalman.tolerance = 0.0
    result = kalman.filter()
    after = zip(result.filtered_state.T, result.filtered_state_cov.T, strict=True)
    return [(mean, covariance), *after]


def columns(path):
    return {
        "level": [float(x[0]) for x, _ in path],
        "slope": [float(x[1]) for x, _ in path],
        "p00": [float(p[0, 0]) for _, p in path],
        "p01": [float(p[0, 1]) for _, p in path],
        "p11": [float(p[1, 1]) for _, p in path],
    }


def made(name, model, gaps, seed, wild=()):
    """A series that the model could have produced, with wild readings at the listed positions."""
    random = np.random.default_rng(seed)
    times = [START, *(START + np.cumsum(np.array(gaps))).tolist()]
    level, slope, values = 80.0, 0.0, []
    for i in range(len(times)):
        if i:
            f, q = transition(model, times[i] - times[i - 1])
            wobble = np.linalg.cholesky(q + 1e-18 * np.eye(2)) @ random.normal(size=2)
            level, slope = f @ [level, slope] + wobble
        values.append(float(level + model["measurement_noise"] * random.normal()))
    for i in wild:
        values[i] += 600.0
    return {"name": name, "model": model, "times": times, "values": values, "rejected": list(wild)}


def all_series():
    second = 1_000_000
    body = {
        "level_noise": 0.1, "slope_noise": 0.004, "slope_damping": 0.02, "slope_prior": 0.03,
        "measurement_noise": 0.6,
    }  # fmt: skip
    random = np.random.default_rng(4)
    daily = random.integers(DAY // 4, 2 * DAY, 79).tolist()
    mixed = [second, 1, DAY, 40 * DAY, second, 3 * DAY, 400 * DAY, 3653 * DAY, 1000, DAY] * 4
    chick = {
        "level_noise": 1.0, "slope_noise": 1.2, "slope_damping": 0.0, "slope_prior": 6.0,
        "measurement_noise": 1.5,
    }  # fmt: skip
    tiny = body | {"measurement_noise": 1e-3, "level_noise": 0.0, "slope_prior": 1.0}
    return [
        made("daily", body, daily, 1, wild=(10, 11, 30, 55)),
        made("weekly without damping", chick, [7 * DAY] * 40, 2, wild=(20,)),
        made("strong damping", body | {"slope_damping": 3.0, "slope_noise": 0.1}, daily, 3),
        made("gaps from a microsecond to ten years", body, mixed, 5, wild=(13,)),
        made("a nearly exact instrument", tiny, daily, 6),
    ]


def main():
    packages = ("numpy", "filterpy", "pykalman", "statsmodels", "mpmath")
    series = all_series()
    for one in series:
        one["paths"] = {
            "filterpy": columns(by_filterpy(one)),
            "pykalman": columns(by_pykalman(one)),
            "statsmodels": columns(by_statsmodels(one)),
        }
    # Durbin and Koopman, Time Series Analysis by State Space Methods, 2nd ed. 2012, section 2.2.5:
    # the flow of the Nile as a local level with these variances.
    data = nile.load_pandas().data
    flow = data["volume"].to_numpy(float)
    local = UnobservedComponents(flow, "local level", use_exact_diffuse=True)
    result = local.filter([15099.0, 1469.1])
    nile_series = {
        "values": flow.tolist(),
        "observation_variance": 15099.0,
        "level_variance": 1469.1,
        "level": result.filtered_state[0].tolist(),
        "p00": result.filtered_state_cov[0, 0].tolist(),
    }
    document = {
        "versions": {name: version(name) for name in packages},
        "series": series,
        "nile": nile_series,
    }
    target = Path(__file__).with_name("references.json")
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
