"""Readings as rectangles of users by readings, and the public data sets in that form."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATA = Path(__file__).resolve().parent / "data"


class Series(NamedTuple):
    """Readings of many users; arrays (users, readings), shorter users padded with NaN."""

    days: np.ndarray
    """Time of each reading; rises along a user's readings."""
    value: np.ndarray

    def of(self, users: np.ndarray) -> "Series":
        """The same of these users only."""
        return Series(self.days[users], self.value[users])


class DataSet(NamedTuple):
    """Where a public set's columns are."""

    user: tuple[str, ...]
    time: str
    value: str
    days: float
    """Days in the set's unit of time."""


DATA_SETS = {
    "ChickWeight": DataSet(("Chick",), "Time", "weight", 1.0),
    "BodyWeight": DataSet(("Rat",), "Time", "weight", 1.0),
    "Orthodont": DataSet(("Subject",), "age", "distance", 365.25),
    "sleepstudy": DataSet(("Subject",), "Days", "Reaction", 1.0),
    "Loblolly": DataSet(("Seed",), "age", "height", 365.25),
    "Soybean": DataSet(("Plot",), "Time", "weight", 1.0),
    # Time is a share of the mare's cycle, which takes about 21 days.
    "Ovary": DataSet(("Mare",), "Time", "follicles", 21.0),
    # Time is in tens of minutes.
    "Glucose2": DataSet(("Subject", "Date"), "Time", "glucose", 1.0 / 144.0),
    "Theoph": DataSet(("Subject",), "Time", "conc", 1.0 / 24.0),
}


def read(name: str) -> Series:
    """One of DATA_SETS."""
    columns = DATA_SETS[name]
    users: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    with (DATA / f"{name}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = tuple(row[column] for column in columns.user)
            days = float(row[columns.time]) * columns.days
            users.setdefault(key, []).append((days, float(row[columns.value])))
    return padded([sorted(readings) for readings in users.values()])


def padded(users: list[list[tuple[float, float]]]) -> Series:
    """A rectangle of users' (day, value) pairs."""
    shape = (len(users), max(map(len, users)))
    days, value = np.full(shape, np.nan), np.full(shape, np.nan)
    for user, readings in enumerate(users):
        days[user, : len(readings)], value[user, : len(readings)] = np.transpose(readings)
    return Series(days, value)
