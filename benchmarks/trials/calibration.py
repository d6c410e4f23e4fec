"""Whether a reading's quality is a probability: how many of those that may be wrong are wrong."""

from itertools import pairwise

import numpy as np

from benchmarks.trials import product, simulators
from kalmap.profile import Profile

#: Worlds with wrong readings.
WORLDS = ("3 % wild", "10 % wild", "runs of 2-4", "all faults")
_BOUNDS = (0.0, 0.1, 0.3, 0.7, 0.9, 1.0)
_USERS, _SEEDS, _TRAINING_SEED, _TRAINING_USERS = 150, (1, 2, 3), 1_000, 100


def table(profile: Profile, source: str) -> str:
    """Every figure as a Markdown table: of each band, readings, mean probability, share wrong."""
    lines = [
        "| | | " + " | ".join(f"{a:g}-{b:g}" for a, b in pairwise(_BOUNDS))
        + " |",
        "|---|---|" + "--:|" * (len(_BOUNDS) - 1),
    ]  # fmt: skip
    for name in WORLDS:
        simulate = simulators.WORLDS[name]
        tuned = product.tuned(profile, simulate(_TRAINING_SEED, _TRAINING_USERS).series, source)
        for label, each in (("built in", profile), ("tuned", tuned)):
            chance, is_wrong = [], []
            for seed in _SEEDS:
                world = simulate(seed, _USERS)
                value, (low, high) = world.series.value, each.range
                said = product.run(each, world.series, source).wrong
                # What is outside the range is not weighed.
                weighed = (value >= low) & (value <= high)
                chance.append(said[weighed])
                is_wrong.append(world.wild[weighed])
            lines.append(_row(name, label, np.concatenate(chance), np.concatenate(is_wrong)))
    return "\n".join(lines)


def _row(name: str, label: str, chance: np.ndarray, is_wrong: np.ndarray) -> str:
    band = np.clip(np.digitize(chance, _BOUNDS) - 1, 0, len(_BOUNDS) - 2)
    cells = []
    for number in range(len(_BOUNDS) - 1):
        here = band == number
        if not here.any():
            cells.append("")
            continue
        cells.append(
            f"{100.0 * is_wrong[here].mean():.1f} % of {here.sum():,} "
            f"(said {100.0 * chance[here].mean():.1f} %)"
        )
    return f"| {name} | {label} | " + " | ".join(cells) + " |"
