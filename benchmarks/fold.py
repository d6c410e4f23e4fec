"""The speed of the fold, and of other filters on the same readings in the same run.

    python benchmarks/fold.py [--users 100000] [--repeat 5]

The whole fold is measured: merging, every decision, results, and the states as bytes in one buffer.
A second figure includes an object of bytes for each user. The peers do the part of it that they
can: they predict over the true gap, gate, update, and store level, deviation, slope, prediction and
NIS of each reading. Rates are readings per second: the best of several runs, in processor time of
one core, so that other work of the machine matters little. A peer that is not installed is left
out, and the output says so.
"""

import argparse
import ctypes
import importlib.util
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# Before numpy: its matrix products inside simdkalman would otherwise use every core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "functions"))

import msgspec
import numpy as np

from kalmap.filter.fold import fold_users
from kalmap.filter.model import MICROSECONDS_PER_DAY, measurement_variances
from kalmap.profile import Faults, Population, Profile, builtin_profile
from kalmap.readings import Readings

DAY = 86_400_000_000
#: What the peers have in place of hypotheses: readings whose NIS is above it are left out.
GATE = 25.0
START = 1_700_000_000_000_000


class Work(NamedTuple):
    """Readings of many users, and what peers need of them, computed before."""

    readings: Readings
    counts: np.ndarray
    gaps: np.ndarray
    noise: np.ndarray


def work(
    profile: Profile, users: int, mean: int, *, ragged: bool, wild: float = 0.01, seed: int = 1
) -> Work:
    """Daily readings of body weight, one in a hundred wild."""
    random = np.random.default_rng(seed)
    counts = np.maximum(1, random.poisson(mean, users)) if ragged else np.full(users, mean)
    user = np.repeat(np.arange(users, dtype=np.int32), counts)
    first = np.cumsum(counts) - counts
    steps = random.integers(DAY // 4, 2 * DAY, user.size)
    steps[first] = random.integers(0, DAY, users)
    time_of = np.cumsum(steps)
    time_of += START - np.repeat(time_of[first] - steps[first], counts)
    value = np.repeat(random.uniform(50.0, 110.0, users), counts)
    value += random.normal(0.0, profile.measurement_noise, user.size)
    odd = random.random(user.size) < wild
    value[odd] += random.choice([-15.0, 12.0, 20.0], int(odd.sum()))
    source = np.full(user.size, profile.source_code("scale"), np.uint8)
    readings = Readings(
        user,
        time_of,
        value,
        source,
        np.zeros(user.size, np.uint8),
        random.integers(0, 2**64, user.size, dtype=np.uint64),
        np.arange(user.size),
    )
    gaps = np.diff(time_of, prepend=time_of[:1]) / MICROSECONDS_PER_DAY
    gaps[first] = 0.0
    return Work(readings, counts, gaps, measurement_variances(profile)[source])


def closed_form(profile: Profile, gaps: np.ndarray) -> tuple[np.ndarray, ...]:
    """g, e, q00, q01, q11 of each gap by the textbook's formula, for the peers."""
    damping, q = profile.slope_damping, profile.slope_noise**2
    u = -np.expm1(-damping * gaps)
    g = u / damping
    q00 = profile.level_noise**2 * gaps
    q00 += q * (gaps - g - damping * g * g / 2.0) / damping**2
    return g, 1.0 - u, q00, q * g * g / 2.0, q * g * (2.0 - u) / 2.0


def kalmap_fold(profile: Profile, job: Work) -> np.ndarray:
    now = int(job.readings.time.max())
    folded = fold_users(profile, [None] * job.counts.size, job.readings, now)
    return folded.users.level


def kalmap_cut(profile: Profile, job: Work) -> list[bytes | None]:
    """The fold, and each user's state as an object of its own."""
    now = int(job.readings.time.max())
    return list(fold_users(profile, [None] * job.counts.size, job.readings, now).bodies)


def second_batch(profile: Profile, job: Work) -> Callable[[], np.ndarray]:
    """The same users a year later, with the windows that the first batch has stored."""
    now = int(job.readings.time.max())
    # A store returns an object for each state.
    bodies = kalmap_cut(profile, job)
    # Three times, so that windows are full.
    for number in (1, 2, 3):
        later = job.readings._replace(time=job.readings.time + number * 60 * DAY)
        if number < 3:
            bodies = list(fold_users(profile, bodies, later, now + number * 60 * DAY).bodies)
    return lambda: fold_users(profile, bodies, later, now + 180 * DAY).users.level


def simdkalman_primitives(profile: Profile, job: Work) -> np.ndarray:
    from simdkalman.primitives import predict, update

    order = np.argsort(-job.counts, kind="stable")
    counts = job.counts[order]
    first = (np.cumsum(job.counts) - job.counts)[order]
    g, e, q00, q01, q11 = closed_form(profile, job.gaps)
    observe = np.array([[[1.0, 0.0]]])
    mean = np.zeros((order.size, 2, 1))
    covariance = np.zeros((order.size, 2, 2))
    mean[:, 0, 0] = job.readings.value[first]
    covariance[:, 0, 0] = job.noise[first]
    covariance[:, 1, 1] = profile.slope_prior**2
    results = np.full((5, job.gaps.size), np.nan)
    results[:3, first] = mean[:, 0, 0], np.sqrt(covariance[:, 0, 0]), mean[:, 1, 0]
    for step in range(1, int(counts[0])):
        width = int(np.searchsorted(-counts, -step))
        at = first[:width] + step
        transition = np.zeros((width, 2, 2))
        transition[:, 0, 0] = 1.0
        transition[:, 0, 1], transition[:, 1, 1] = g[at], e[at]
        noise = np.empty((width, 2, 2))
        noise[:, 0, 0], noise[:, 1, 1] = q00[at], q11[at]
        noise[:, 0, 1] = noise[:, 1, 0] = q01[at]
        prior, spread = predict(mean[:width], covariance[:width], transition, noise)
        value, r = job.readings.value[at], job.noise[at]
        posterior, narrowed = update(prior, spread, observe, r[:, None, None], value[:, None, None])
        innovation = value - prior[:, 0, 0]
        nis = innovation**2 / (spread[:, 0, 0] + r)
        outside = nis > GATE
        posterior[outside], narrowed[outside] = prior[outside], spread[outside]
        mean[:width], covariance[:width] = posterior, narrowed
        results[0, at], results[1, at] = posterior[:, 0, 0], np.sqrt(narrowed[:, 0, 0])
        results[2, at], results[3, at], results[4, at] = posterior[:, 1, 0], prior[:, 0, 0], nis
    level = np.empty(order.size)
    level[order] = mean[:, 0, 0]
    return level


def filterpy_objects(profile: Profile, job: Work) -> np.ndarray:
    from filterpy.kalman import KalmanFilter

    parts = closed_form(profile, job.gaps)
    level = np.empty(job.counts.size)
    results = np.full((5, job.gaps.size), np.nan)
    start = 0
    for user, count in enumerate(job.counts.tolist()):
        kalman = KalmanFilter(dim_x=2, dim_z=1)
        kalman.H = np.array([[1.0, 0.0]])
        kalman.x = np.array([[job.readings.value[start]], [0.0]])
        kalman.P = np.diag([job.noise[start], profile.slope_prior**2])
        for at in range(start + 1, start + count):
            g, e, q00, q01, q11 = (part[at] for part in parts)
            kalman.predict(F=np.array([[1.0, g], [0.0, e]]), Q=np.array([[q00, q01], [q01, q11]]))
            value, r = job.readings.value[at], job.noise[at]
            predicted = kalman.x[0, 0]
            nis = (value - predicted) ** 2 / (kalman.P[0, 0] + r)
            if nis <= GATE:
                kalman.update(value, R=r)
            deviation = math.sqrt(kalman.P[0, 0])
            results[:, at] = kalman.x[0, 0], deviation, kalman.x[1, 0], predicted, nis
        level[user] = kalman.x[0, 0]
        start += count
    return level


def python_loop(profile: Profile, job: Work) -> np.ndarray:
    parts = [part.tolist() for part in closed_form(profile, job.gaps)]
    value, noise, gate = job.readings.value.tolist(), job.noise.tolist(), GATE
    level, results = [], []
    start = 0
    for count in job.counts.tolist():
        x, v, p00, p01, p11 = value[start], 0.0, noise[start], 0.0, profile.slope_prior**2
        end = start + count
        rows = zip(
            value[start + 1 : end], noise[start + 1 : end],
            *(part[start + 1 : end] for part in parts), strict=True,
        )  # fmt: skip
        for z, r, g, e, q00, q01, q11 in rows:
            x += g * v
            v *= e
            h = p01 + g * p11
            p00 += g * (p01 + h) + q00
            p01 = e * h + q01
            p11 = e * e * p11 + q11
            predicted = x
            innovation, s = z - x, p00 + r
            nis = innovation * innovation / s
            if nis <= gate:
                k0, k1 = p00 / s, p01 / s
                x += k0 * innovation
                v += k1 * innovation
                p11 -= k1 * p01
                p00 *= r / s
                p01 *= r / s
            results.append((x, math.sqrt(p00), v, predicted, nis))
        level.append(x)
        start = end
    return np.array(level)


C_SOURCE = r"""
#include <math.h>
#include <stdint.h>
/* Predict over the true gap, gate, update; user after user. Writes what the fold reports. */
void filter(int64_t users, const int64_t *counts, const double *gap, const double *value,
            const double *noise, double damping, double ql, double qs, double prior, double gate,
            double *level, double *sd, double *slope, double *predicted, double *nis, double *last)
{
    int64_t i = 0;
    for (int64_t u = 0; u < users; u++) {
        double x = value[i], v = 0, p00 = noise[i], p01 = 0, p11 = prior;
        for (int64_t end = i + counts[u], start = i; i < end; i++) {
            double xp = x, s = p00 + noise[i], n = 0;
            if (i > start) {
                double h = gap[i], m = -expm1(-damping * h), g = m / damping, e = 1 - m;
                double t = p01 + g * p11;
                x += g * v; v *= e;
                p00 += g * (p01 + t) + ql * h
                     + qs * (h - g - damping * g * g / 2) / (damping * damping);
                p01 = e * t + qs * g * g / 2;
                p11 = e * e * p11 + qs * g * (1 + e) / 2;
                double y = value[i] - x;
                xp = x; s = p00 + noise[i]; n = y * y / s;
                if (n <= gate) {
                    double k0 = p00 / s, k1 = p01 / s, w = noise[i] / s;
                    x += k0 * y; v += k1 * y;
                    p11 -= k1 * p01; p00 *= w; p01 *= w;
                }
            }
            level[i] = x; sd[i] = sqrt(p00); slope[i] = v; predicted[i] = xp; nis[i] = n;
        }
        last[u] = x;
    }
}
"""


def compiled(folder: str) -> Callable[[Profile, Work], np.ndarray] | None:
    """The C loop; None if there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    source, library = Path(folder) / "filter.c", Path(folder) / "filter.so"
    source.write_text(C_SOURCE)
    subprocess.run(
        [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source, "-lm"],
        check=True,
    )
    function = ctypes.CDLL(str(library)).filter
    function.restype = None
    array = np.ctypeslib.ndpointer

    function.argtypes = [
        ctypes.c_int64, array(np.int64), *[array(np.float64)] * 3, *[ctypes.c_double] * 5,
        *[array(np.float64)] * 6,
    ]  # fmt: skip

    def scalar_c(profile: Profile, job: Work) -> np.ndarray:
        outputs = [np.empty(job.gaps.size) for _ in range(5)]
        last = np.empty(job.counts.size)
        function(
            job.counts.size, job.counts, job.gaps, job.readings.value, job.noise,
            profile.slope_damping, profile.level_noise**2, profile.slope_noise**2,
            profile.slope_prior**2, GATE, *outputs, last,
        )  # fmt: skip
        return last

    return scalar_c


def best(function: Callable[[], object], repeat: int) -> float:
    """Shortest time of several, in seconds."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def first_users(job: Work, users: int) -> Work:
    """The work of the first users only, for peers that are too slow for all users."""
    n = int(job.counts[:users].sum())
    readings = Readings(*(column[:n] for column in job.readings))
    return Work(readings, job.counts[:users], job.gaps[:n], job.noise[:n])


def agree(profile: Profile, contestants: dict[str, Callable[[Profile, Work], np.ndarray]]) -> None:
    """Nobody is fast by computing something else: as a plain filter the fold finds their level."""
    plain = Faults(share=0.0)
    profile = msgspec.structs.replace(profile, faults=plain, learning=None, population=Population())
    job = work(profile, 200, 10, ragged=True, wild=0.0)
    expected = kalmap_fold(profile, job)
    for name, contestant in contestants.items():
        difference = np.abs(contestant(profile, job) - expected).max()
        if not difference < 1e-9:
            raise SystemExit(f"{name} disagrees with the fold by {difference:g} kg.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    profile = builtin_profile("body-weight")
    peers: dict[str, tuple[Callable, int]] = {"python loop": (python_loop, 20_000)}
    for package, name, peer, most in (
        ("simdkalman", "simdkalman primitives", simdkalman_primitives, 10**9),
        ("filterpy", "filterpy", filterpy_objects, 500),
    ):
        if installed(package):
            peers[name] = (peer, most)
        else:
            print(f"{package} is not installed here, so it is left out: pip install {package}.")
    with tempfile.TemporaryDirectory() as folder:
        c = compiled(folder)
        if c is None:
            print("There is no C compiler here, so the C loop is left out.")
        else:
            peers["scalar C"] = (c, 10**9)
        agree(profile, {name: peer for name, (peer, _) in peers.items()})
        figures: dict[str, dict[str, float]] = {}
        workloads = (
            (f"{arguments.users} x ~10", arguments.users, 10, True),
            ("500 x 1", 500, 1, False),
            ("50 x 10", 50, 10, False),
            ("1 x 500", 1, 500, False),
            ("1 x 100000", 1, 100_000, False),
        )
        for label, users, mean, ragged in workloads:
            job = work(profile, users, mean, ragged=ragged)
            repeat = arguments.repeat if job.gaps.size > 10_000 else 20 * arguments.repeat
            rates = {"kalmap fold": job.gaps.size / best(lambda: kalmap_fold(profile, job), repeat)}  # noqa: B023
            if users > 500:
                seconds = best(lambda: kalmap_cut(profile, job), arguments.repeat)  # noqa: B023
                rates["kalmap, states cut"] = job.gaps.size / seconds
                again = second_batch(profile, job)
                rates["kalmap, windows full"] = job.gaps.size / best(again, arguments.repeat)
            for name, (peer, most) in peers.items():
                # A slow peer gets fewer users: its rate does not depend on how many.
                part = first_users(job, min(most, users))
                tries = arguments.repeat if part.gaps.size > 10_000 else 10
                seconds = best(lambda: peer(profile, part), tries if name != "filterpy" else 2)  # noqa: B023
                rates[name] = part.gaps.size / seconds
            figures[label] = rates
            print(f"\n{label} readings ({job.gaps.size} in all)")
            for name, rate in rates.items():
                factor = rates["kalmap fold"] / rate
                print(f"  {name:24}{rate / 1e6:10.3f} M/s   the fold is {factor:8.2f} x as fast")
    main_rates = figures[workloads[0][0]]
    print(f"\n{platform.processor() or platform.machine()}, numpy {np.__version__}, one core")
    if "simdkalman primitives" in main_rates:
        ratio = main_rates["kalmap fold"] / main_rates["simdkalman primitives"]
        print(f"fold / simdkalman = {ratio:.2f} (must 3)")
    if "scalar C" in main_rates:
        ratio = main_rates["kalmap fold"] / main_rates["scalar C"]
        print(f"fold / scalar C = {ratio:.3f} (must 0.1)")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
