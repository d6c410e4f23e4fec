"""The accuracy of the estimates on data and simulators that kalmap was not tuned to.

    python benchmarks/estimates.py [--users 200] [--seeds 2] [--worlds NAME...] [--sets NAME...]

Simulated readings follow other rules than the profile's model (`trials/simulators.py`). On public
data sets (`trials/data/README.md`), methods are fitted to half of the users and judged by the next
readings of the other half, and then the other way round. kalmap is compared with simple methods,
with mixed-effects growth curves, and with three that know more: a Gaussian sum of a dozen
hypotheses, the same model fitted by exact maximum likelihood with priors, and an oracle that knows
every fault and jump.
"""

import argparse
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "functions"), str(ROOT / "cli")]

import numpy as np

from benchmarks.trials import (
    calibration,
    gaussian_sum,
    growth_curve,
    kalman,
    own_world,
    product,
    scores,
    series,
    simple,
    simulators,
    smoothed,
    turning,
)
from benchmarks.trials.estimates import Estimates
from benchmarks.trials.kalman import Model
from benchmarks.trials.series import Series
from benchmarks.trials.simulators import World
from kalmap.plural import counted
from kalmap.profile import builtin_profile

#: Position of the reading after which forecasts are made.
ORIGINS = (45,)
SOURCE = "scale"
TRAINING_SEED = 1_000
#: Users that a model or profile is fitted to.
FITTED_USERS = 50
FIRST_SEED = 1
FIGURES = {
    "RMSE": ("RMSE of the level, kg, all readings", 3),
    "RMSE from the 8th reading": ("RMSE of the level from the eighth reading on, kg", 3),
    "log score": ("Log score of the next good reading, nats", 2),
    "95 % holds": ("Share of true levels inside the 95 % interval, %", 1),
    "of readings": ("Share of next good readings inside the 95 % interval, %", 1),
    "of the calm": ("The same, the calmest third of users, %", 1),
    "of the noisy": ("The same, the noisiest third of users, %", 1),
    "1 d ahead": ("Share of true levels inside the 95 % interval 1 day ahead, %", 1),
    "7 d ahead": ("7 days ahead, %", 1),
    "30 d ahead": ("30 days ahead, %", 1),
    "good rejected": ("Good readings rejected, %", 2),
    "gross found": ("Wild readings more than six deviations off that were rejected, %", 1),
    "locked out": ("Users whose last seven levels are all more than 3 kg off, %", 2),
}


def answers(world: World, train: World, model: Model, of_levels: Model) -> dict[str, Estimates]:
    """The estimates of every method in a simulated world.

    Args:
        world: The world to judge on.
        train: A world of the same rules and another seed, which methods may be fitted to.
        model: The exact model, fitted to good readings of `train`.
        of_levels: The same, where the time adds nothing to readings. For the oracle.
    """
    body_weight = builtin_profile("body-weight")
    low, high = body_weight.range
    ahead = simulators.AHEAD
    # kalmap ignores readings outside the profile's range, so all methods ignore them.
    inside = (world.series.value >= low) & (world.series.value <= high)
    ranged = world.series._replace(value=np.where(inside, world.series.value, np.nan))
    value = train.series.value
    known = train.series._replace(value=np.where((value < low) | (value > high), np.nan, value))
    found = {
        name: simple.run(method, known, ~train.wild, ranged)
        for name, method in simple.fitted(_good(train)).items()
    }
    found["ungated filter"] = kalman.run(model, ranged, inside, ahead=ahead)
    found["kalmap, built in"] = product.run(
        body_weight, world.series, SOURCE, ahead=ahead, origins=ORIGINS
    )
    found["kalmap, tuned"] = product.run(
        product.tuned(body_weight, train.series, SOURCE),
        world.series, SOURCE, ahead=ahead, origins=ORIGINS,
    )  # fmt: skip
    found["Gaussian sum"] = gaussian_sum.run(model, ranged, ahead=ahead)
    oracle = kalman.run(
        of_levels, world.series._replace(value=world.series.value - world.rhythm), ~world.wild,
        noise=world.noise, jump=world.jumped, jump_sd=simulators.JUMP, ahead=ahead,
    )  # fmt: skip
    found["oracle"] = oracle._replace(predicted=oracle.predicted + world.rhythm)
    return found


def _good(world: World) -> Series:
    return world.series._replace(value=np.where(world.wild, np.nan, world.series.value))


def _model(name: str, train: World) -> Model:
    """The exact model of good readings. Worlds that differ only in their faults share it."""
    if name in simulators.FAULTY:
        train = simulators.clean(TRAINING_SEED, len(train.level))
    few = np.arange(min(FITTED_USERS, len(train.level)))
    return kalman.fit(train.series.of(few), ~train.wild[few], starts=2)


def of_worlds(names: list[str], users: int, seeds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Every figure by world and method: the mean over seeds."""
    models: dict[str, Model] = {}
    found = {}
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        simulate = simulators.WORLDS[name]
        train = simulate(TRAINING_SEED, 2 * FITTED_USERS)
        key = "clean" if name in simulators.FAULTY else name
        levels = "clean" if train.rhythm.any() else key
        for each in (key, levels):
            if each not in models:
                models[each] = _model(
                    each, simulators.WORLDS[each](TRAINING_SEED, 2 * FITTED_USERS)
                )
        runs = []
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            world = simulate(seed, users)
            methods = answers(world, train, models[key], models[levels])
            answered = ~np.isnan(methods["kalmap, built in"].level)
            runs.append({m: scores.of_world(world, e, answered) for m, e in methods.items()})
        found[name] = {
            method: {
                figure: _mean([run[method].get(figure, np.nan) for run in runs], figure)
                for figure in FIGURES
            }
            for method in runs[0]
        }
    return found


def _mean(values: list[float], figure: str) -> float:
    """The mean over seeds. For a root mean square, the root of the mean of squares."""
    if figure.startswith("RMSE"):
        return float(np.sqrt(np.mean(np.square(values))))
    return float(np.mean(values))


def of_sets(names: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Figures for the next readings of users that no method was fitted to, by set and method."""
    found = {}
    for name in names:
        data = series.read(name)
        number = np.arange(len(data.value))
        halves: list[tuple[Series, dict[str, Estimates]]] = []
        for half in (0, 1):
            train, held_out = data.of(number % 2 != half), data.of(number % 2 == half)
            halves.append((held_out, _of_half(train, held_out)))
        found[name] = {
            method: _of_set(data, [(held_out, e[method]) for held_out, e in halves])
            for method in halves[0][1]
        }
    return found


def _of_half(train: Series, held_out: Series) -> dict[str, Estimates]:
    model = kalman.fit(train, ~np.isnan(train.value))
    found = {
        name: simple.run(method, train, ~np.isnan(train.value), held_out)
        for name, method in simple.fitted(train).items()
    }
    profile = product.tuned(product.general_profile(train), train)
    found["kalmap, tuned"] = product.run(profile, held_out)
    found["growth curve"] = growth_curve.run(growth_curve.fit(train), held_out)
    found["exact likelihood, priors"] = kalman.run(model, held_out, ~np.isnan(held_out.value))
    return found


def _of_set(data: Series, parts: list[tuple[Series, Estimates]]) -> dict[str, float]:
    value = np.vstack([part.value for part, _ in parts])
    all_ = Estimates(
        *(np.vstack([getattr(e, field) for _, e in parts]) for field in Estimates._fields[:5]), {}
    )
    value = value.copy()
    value[:, 0] = np.nan
    known = ~np.isnan(value)
    # The noise of each user is estimated from the spread of second differences of their readings.
    spread = np.nanmean(np.abs(np.diff(value, 2, axis=1)), axis=1)
    calm, noisy = scores.thirds(spread)
    width = float(np.nanmax(data.value) - np.nanmin(data.value))
    reading = (value, all_.predicted, all_.predicted_sd)
    missed = known & np.isnan(all_.predicted)
    return {
        "RMSE": scores.rmse(all_.predicted - value),
        "second reading": scores.rmse((all_.predicted - value)[:, 1]),
        "log score": scores.log_score(all_, value, width, known),
        "95 % holds": scores.coverage(*reading),
        "calm": scores.coverage(*(part[calm] for part in reading)),
        "noisy": scores.coverage(*(part[noisy] for part in reading)),
        "rejected": float(np.mean(all_.wrong[known] > 0.5)),
        "unanswered": float(missed.sum() / known.sum()),
    }


def world_table(found: dict[str, dict[str, dict[str, float]]], figure: str) -> str:
    """One figure as a Markdown table: worlds are rows, methods with figures are columns."""
    title, digits = FIGURES[figure]
    factor = 100.0 if title.endswith("%") else 1.0
    methods = [m for m in next(iter(found.values())) if any(
        np.isfinite(world[m][figure]) for world in found.values())]  # fmt: skip
    rows = [["", *methods]]
    rows += [
        [name, *(_shown(factor * world[m][figure], digits) for m in methods)]
        for name, world in found.items()
    ]
    return f"{title}:\n\n{_markdown(rows)}"


def set_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    rows = [[
        "set", "method", "RMSE", "of the second", "log score", "95 % holds", "calm third",
        "noisy third", "rejected, %",
    ]]  # fmt: skip
    for name, methods in found.items():
        for method, figures in methods.items():
            rows.append([
                name, method, f"{figures['RMSE']:.4g}", f"{figures['second reading']:.4g}",
                _shown(figures["log score"], 2), _shown(100 * figures["95 % holds"], 1),
                _shown(100 * figures["calm"], 1), _shown(100 * figures["noisy"], 1),
                _shown(100 * figures["rejected"], 1) if method.startswith("kalmap") else "",
            ])  # fmt: skip
    return _markdown(rows)


def _shown(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    numbers = "--:|" * (len(rows[0]) - 1)
    return "\n".join([lines[0], "|---|" + numbers, *lines[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--worlds", nargs="*", default=list(simulators.WORLDS))
    parser.add_argument("--sets", nargs="*", default=list(series.DATA_SETS))
    arguments = parser.parse_args()
    # Means of nothing and logarithms of zero are shown as empty fields.
    warnings.simplefilter("ignore", RuntimeWarning)
    if arguments.worlds:
        found = of_worlds(arguments.worlds, arguments.users, arguments.seeds)
        print(
            f"### Simulated by other rules\n\n{counted(arguments.seeds, 'seed')} of"
            f" {arguments.users} users,"
            f" {simulators.DAYS} daily readings each. Simple methods and kalmap are fitted to"
            " another seed of the same world; the weights of simple methods, and the model that the"
            " ungated filter, the Gaussian sum and the oracle share, to its good readings only."
            " The oracle knows every fault, jump, noise and rhythm. These figures depend on no"
            " machine."
        )
        for figure in FIGURES:
            print(f"\n{world_table(found, figure)}")
        print(
            "\n### Smoothed levels\n\nRMSE in kg with the built-in profile at readings within its"
            " range, one seed of 150 users. The first world has no fluctuation around the trend."
            f"\n\n{smoothed.table(builtin_profile('body-weight'), SOURCE)}"
            "\n\n### Weights that turn\n\nRMSE of the level in kg, one seed of 150 users who lose"
            " and gain a kilogram a week in turn; the first three readings are not judged."
            f"\n\n{turning.table(builtin_profile('body-weight'), SOURCE)}"
        )
        print(
            "\n### Quality as a probability\n\nOf the readings whose probability of being wrong is"
            " in a band, how many are wrong, and what the mean of the probabilities is. Readings in"
            " the range of 450 users in three seeds; the profile is tuned to a fourth seed.\n\n"
            f"{calibration.table(builtin_profile('body-weight'), SOURCE)}"
        )
    if arguments.sets:
        print(
            "\n### Public sets: next readings of held-out users\n\nSecond readings are of users"
            " with one reading before. kalmap is tuned from wide starting values.\n"
        )
        print(set_table(of_sets(arguments.sets)))
        print(
            "\n### What right intervals hold on these sets\n\nThe same for readings that each tuned"
            " profile itself made at the same times, ten times over. The thirds are chosen by the"
            " readings, as above.\n"
        )
        print(own_world.table(arguments.sets))


if __name__ == "__main__":
    main()
