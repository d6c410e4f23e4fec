"""Simulated readings as tables: those of `kalmap simulate`."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from kalmap.errors import InvalidInput
from kalmap_cli.simulation import SOURCES, Fault, SimulatedReadings
from kalmap_cli.simulation import simulate as simulate_blocks
from kalmap_library.table import Table


class Simulated(NamedTuple):
    """Readings, and the truth about each, in the same order."""

    readings: Table
    """A table that `fold` and `tune` take."""
    truth: Table
    """The true level, kg, the fault, and whether the reading comes after later ones."""


def simulate(users: int, days: int, seed: int = 0) -> Simulated:
    """Simulate realistic body-weight readings whose true levels are known.

    The same arguments give the same readings, those of `kalmap simulate`.

    Args:
        users: Number of users.
        days: Length of the period, which ends on 2026-01-01.
        seed: Any number from 0.

    Raises:
        InvalidInput: A number is too small.

    >>> readings, truth = simulate(users=3, days=30, seed=1)
    >>> readings["user_id"][0], float(readings["value"][0]), round(float(truth["level"][0]), 2)
    ('u-000001', 90.4, 90.33)
    """
    for name, value, least in (("users", users, 1), ("days", days, 1), ("seed", seed, 0)):
        if value < least:
            raise InvalidInput(f"{name} is {value}; it must be {least} or more.")
    blocks = list(simulate_blocks(users, days, seed))
    simulated = SimulatedReadings(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
    names = np.array([source.name for source in SOURCES], object)
    ids = [
        f"m-{user}-{number}" if SOURCES[source].has_ids else None
        for user, number, source in zip(
            simulated.user.tolist(),
            simulated.number.tolist(),
            simulated.source.tolist(),
            strict=True,
        )
    ]
    readings: dict[str, Iterable[Any]] = {
        "user_id": [f"u-{user:06d}" for user in simulated.user.tolist()],
        "timestamp": simulated.time.view("M8[us]"),
        "value": simulated.value,
        "unit": np.where(simulated.pounds, "lb", "kg").astype(object),
        "source": names[simulated.source],
        "measurement_id": ids,
    }
    truth: dict[str, Iterable[Any]] = {
        "level": simulated.level,
        "fault": [Fault(fault).label for fault in simulated.fault.tolist()],
        "late": simulated.late,
    }
    return Simulated(Table(readings), Table(truth))
