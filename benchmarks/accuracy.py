"""The accuracy of the estimates on simulated body weight, whose true levels are known.

    python benchmarks/accuracy.py [--users 2000] [--days 180] [--seed 7]

Against an exponential average (0.1), a Kalman filter that believes every reading, and the median of
the last seven readings with its trend taken out. estimates.py has other worlds, and public data.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("functions", "cli")]

import msgspec
import numpy as np

from kalmap.filter.fold import Folded, fold_users
from kalmap.outcome import Reason
from kalmap.profile import Faults, Population, Profile, builtin_profile
from kalmap.readings import Readings
from kalmap.units import Conversion, conversion
from kalmap_cli.simulation import PERIOD_END, SOURCES, Fault, Rates, SimulatedReadings, simulate

CLEAN = Rates(outliers=0.0, unit_mistakes=0.0, slips=0.0, duplicates=0.0)
JUMP = 8.0
_IN_KG = conversion("lb", "kg") or Conversion(1.0)


class Weighed(NamedTuple):
    """Simulated readings, user after user in order of time, and their truth."""

    readings: Readings
    level: np.ndarray
    fault: np.ndarray
    noise: np.ndarray
    """Standard deviation of the source."""
    number: np.ndarray
    """0-based place among the user's readings."""
    users: int


def weighed(profile: Profile, users: int, days: int, seed: int, rates: Rates) -> Weighed:
    blocks = simulate(users, days, seed, rates=rates)
    all_ = SimulatedReadings._make(np.concatenate(column) for column in zip(*blocks, strict=True))
    order = np.lexsort((all_.time, all_.user))
    order = order[all_.fault[order] != Fault.DUPLICATE]
    selected = SimulatedReadings._make(column[order] for column in all_)
    code = np.array([profile.source_code(source.name) for source in SOURCES], np.uint8)
    noise = np.array([source.noise for source in SOURCES])
    number = np.arange(order.size) - np.searchsorted(selected.user, selected.user)
    readings = Readings(
        selected.user,
        selected.time,
        np.where(selected.pounds, selected.value * _IN_KG.factor, selected.value),
        code[selected.source],
        np.zeros(order.size, np.uint8),
        np.arange(order.size, dtype=np.uint64),
        np.arange(order.size),
    )
    return Weighed(readings, selected.level, selected.fault, noise[selected.source], number, users)


def folded(profile: Profile, data: Weighed) -> Folded:
    return fold_users(profile, [None] * data.users, data.readings, PERIOD_END + 10**12)


def believing(profile: Profile) -> Profile:
    return msgspec.structs.replace(
        profile, faults=Faults(share=0.0), learning=None, population=Population()
    )


def exponential_average(data: Weighed, weight: float = 0.1) -> np.ndarray:
    value, level = data.readings.value, np.empty(data.readings.value.size)
    for i, number in enumerate(data.number.tolist()):
        level[i] = value[i] if number == 0 else level[i - 1] + weight * (value[i] - level[i - 1])
    return level


def median_of_seven(data: Weighed, most: int = 7) -> np.ndarray:
    """The median of the last readings, each moved to the present along their Theil-Sen slope."""
    days = data.readings.time / 86_400e6
    level = np.empty(days.size)
    for size in range(1, most + 1):
        last = np.flatnonzero(data.number >= size - 1 if size == most else data.number == size - 1)
        window = last[:, None] - np.arange(size)
        value, age = data.readings.value[window], days[last][:, None] - days[window]
        slope = np.zeros(last.size)
        if size >= 4:
            first, second = np.triu_indices(size, 1)
            apart = np.maximum(age[:, second] - age[:, first], 0.5)
            slope = np.median((value[:, first] - value[:, second]) / apart, axis=1)
        level[last] = np.median(value + slope[:, None] * age, axis=1)
    return level


def rmse(level: np.ndarray, data: Weighed, selected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((level[selected] - data.level[selected]) ** 2)))


def faults_found(result: Folded, data: Weighed) -> dict[str, float]:
    """Precision and recall for each kind of fault, after the first three readings of a user."""
    known = data.number >= 3
    rejected = (result.decisions.reason > 0) & known
    error = np.abs(data.readings.value - data.level) / data.noise
    gross = (error > 6.0) & known
    # Isolated: no other fault among the two readings on either side.
    faulty = data.fault != Fault.NONE
    alone = np.ones(faulty.size, np.bool_)
    for apart in (1, 2):
        alone[apart:] &= ~faulty[:-apart]
        alone[:-apart] &= ~faulty[apart:]
    units = (data.fault == Fault.UNIT_MISTAKE) & known & alone
    # A value in pounds above the range's end is caught by the range and cannot be named.
    nameable = units & (result.decisions.reason != Reason.OUT_OF_RANGE)
    found = {
        "gross faults": float(gross.sum()),
        "gross precision": float((gross & rejected).sum() / rejected.sum()),
        "gross recall": float((gross & rejected).sum() / gross.sum()),
        "unit mix-ups, isolated": float(units.sum()),
        "unit mix-ups caught": float((units & rejected).sum() / units.sum()),
        "unit mix-ups named": float(
            (result.decisions.reason[nameable] == Reason.UNIT_SUSPECT).mean()
        ),
        "named of all caught": float(
            (result.decisions.reason[units] == Reason.UNIT_SUSPECT).sum() / units.sum()
        ),
    }
    for kind in (Fault.OUTLIER, Fault.UNIT_MISTAKE, Fault.SLIP):
        those = (data.fault == kind) & known
        found[f"{kind.label} recall"] = float((those & rejected).sum() / those.sum())
    for reason in (Reason.OUTLIER, Reason.UNIT_SUSPECT):
        those = (result.decisions.reason == reason) & known
        found[f"{reason.label} precision"] = float((those & faulty).sum() / those.sum())
    return found


def recovery(profile: Profile, data: Weighed) -> dict[str, float]:
    """Readings until one is accepted again, after the weight of every user jumps in the middle."""
    counts = np.bincount(data.readings.user, minlength=data.users)
    long = counts[data.readings.user] >= 20
    after = long & (data.number >= counts[data.readings.user] // 2)
    shares = {}
    for jump in (JUMP, -JUMP):
        moved = data.readings._replace(value=data.readings.value + jump * after)
        result = fold_users(profile, [None] * data.users, moved, PERIOD_END + 10**12)
        near = np.abs(result.decisions.level - data.level - jump * after) < JUMP / 4.0
        first = np.flatnonzero(after & (data.number == counts[data.readings.user] // 2))
        # 1: the first reading after the jump was accepted, and the level is the new one.
        window = first[:, None] + np.arange(10)
        believed = (result.decisions.reason[window] == 0) & near[window]
        needed = np.where(believed.any(axis=1), believed.argmax(axis=1) + 1, 99)
        sign = "+" if jump > 0 else "-"
        shares[f"recovered within 4 readings of {sign}8 kg"] = float((needed <= 4).mean())
        shares[f"mean readings to recover from {sign}8 kg"] = float(needed[needed < 99].mean())
    return shares


#: What the figures must be, as (lowest, highest).
BOUNDS = {
    "with faults: RMSE below the exponential average's by": (0.25, 1.0),
    "clean: RMSE below the exponential average's by": (0.25, 1.0),
    "with faults: coverage of the 95 % interval": (0.93, 0.97),
    "clean: coverage of the 95 % interval": (0.93, 0.97),
    "clean: mean NIS": (0.9, 1.1),
    "gross precision": (0.98, 1.0),
    "gross recall": (0.97, 1.0),
    "unit mix-ups caught": (0.99, 1.0),
    "unit mix-ups named": (0.95, 1.0),
    "recovered within 4 readings of +8 kg": (0.95, 1.0),
    "recovered within 4 readings of -8 kg": (0.95, 1.0),
}


def figures(users: int, days: int, seed: int) -> dict[str, float]:
    """Every figure, by name."""
    profile = builtin_profile("body-weight")
    faulty = weighed(profile, users, days, seed, Rates())
    clean = weighed(profile, users, days, seed, CLEAN)
    found: dict[str, float] = {"readings": float(faulty.level.size)}
    for label, data in (("with faults", faulty), ("clean", clean)):
        result = folded(profile, data)
        # All methods are judged on the readings whose level the fold estimates.
        selected = ~np.isnan(result.decisions.level)
        errors = {
            "kalmap": rmse(result.decisions.level, data, selected),
            "exponential average": rmse(exponential_average(data), data, selected),
            "filter that believes all": rmse(
                folded(believing(profile), data).decisions.level, data, selected
            ),
            "median of seven": rmse(median_of_seven(data), data, selected),
        }
        for name, error in errors.items():
            found[f"{label}: RMSE {name}, kg"] = error
        below = 1.0 - errors["kalmap"] / errors["exponential average"]
        found[f"{label}: RMSE below the exponential average's by"] = below
        # After a wild first reading a filter has to learn better.
        later = selected & (data.number >= 3)
        found[f"{label}: RMSE kalmap from the fourth reading on, kg"] = rmse(
            result.decisions.level, data, later
        )
        found[f"{label}: RMSE median from the fourth reading on, kg"] = rmse(
            median_of_seven(data), data, later
        )
        inside = np.abs(result.decisions.level - data.level) <= 1.96 * result.decisions.level_sd
        found[f"{label}: coverage of the 95 % interval"] = float(inside[selected].mean())
    found["clean: mean NIS"] = float(np.nanmean(folded(profile, clean).decisions.nis))
    found["clean: rejected"] = float((folded(profile, clean).decisions.reason > 0).mean())
    found |= faults_found(folded(profile, faulty), faulty)
    return found | recovery(profile, clean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    found = figures(arguments.users, arguments.days, arguments.seed)
    missed = []
    for name, figure in found.items():
        shown = f"{figure:12,.0f}" if figure > 50 else f"{figure:12.4f}"
        low, high = BOUNDS.get(name, (figure, figure))
        bound = f"   must be {low:g} to {high:g}" if name in BOUNDS else ""
        print(f"{name:60}{shown}{bound}")
        if not low <= figure <= high:
            missed.append(name)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    if missed:
        raise SystemExit(f"Out of bounds: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
