"""The part of a report about users: a table, and a chart for each of the most notable."""

import math
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from kalmap import units
from kalmap.plural import counted
from kalmap_cli.reporting.batch_view import BatchView
from kalmap_cli.reporting.estimates import INTERVAL
from kalmap_cli.reporting.figures import svg
from kalmap_cli.reporting.palette import OF_PAGE
from kalmap_cli.reporting.people import People
from kalmap_cli.reporting.sample import Sample
from kalmap_cli.reporting.user_chart import MOST_DRAWN, Point, user_chart
from kalmap_cli.reporting.user_state import slope_in_words
from kalmap_cli.reporting.words import rounded, with_margin

#: Users who get a chart.
_MOST_CHARTS = 12


class Names:
    """The users' ids as a report shows them: each has the same name everywhere.

    Args:
        anonymise: Replace the ids by numbers.
    """

    def __init__(self, *, anonymise: bool) -> None:
        self._anonymise = anonymise
        self._numbers: dict[str, int] = {}

    def of(self, user: str) -> str:
        """What stands for a user."""
        if not self._anonymise:
            return user
        return f"user {self._numbers.setdefault(user, len(self._numbers) + 1)}"


class Cell(NamedTuple):
    """A figure, and the number that it is sorted by; empty if it is not known."""

    text: str
    value: str


def users_section(view: BatchView, most: int, names: Names) -> dict[str, Any] | None:
    """The users' table and charts; None if the batch has no results."""
    sample, people, profile = view.sample, view.people, view.profile
    if sample is None or people is None or profile is None or not people.users:
        return None
    chosen = people.notable(most)
    unit = units.shown(profile.unit)
    with_level = [user for user in chosen if _has_level(sample, user)]
    charts = [
        {
            "number": number,
            "name": names.of(people.users[user]),
            "words": _words(people, user, unit),
            "chart": svg(user_chart(points_of(sample, user), unit, OF_PAGE)),
        }
        for number, user in enumerate(with_level[:_MOST_CHARTS], 1)
    ]
    numbers = {user: number for number, user in enumerate(with_level[:_MOST_CHARTS], 1)}
    return {
        "words": _introduction(len(charts), sample),
        "caption": f"{len(chosen):,} of {counted(len(people.users), 'user')}, the most notable "
        f"first; levels in {unit}, slopes in {unit} a day, ± half a 95 % interval",
        "charts": charts,
        "columns": [
            {"title": title, "is_number": title != "User"}
            for title in (
                "User", "Readings", "Rejected", "Restarts", "Level", "Slope", "Moved", "Quality",
            )
        ],
        "rows": [
            {
                "name": names.of(people.users[user]),
                "chart": numbers.get(user),
                "cells": _cells(people, user),
            }
            for user in chosen
        ],
    }  # fmt: skip


def _introduction(charts: int, sample: Sample) -> str:
    if not charts:
        return f"This batch changed no level, so there is no chart. {sample.part}"
    return (
        f"The {counted(charts, 'user')} that most need a look: by slope beyond its "
        "uncertainty, by the share of rejected readings, and by quality, in turn. A chart shows "
        f"the readings of this batch, the last {MOST_DRAWN} at most. What lies far off is drawn "
        f"at its edge. {sample.part}"
    )


def _has_level(sample: Sample, user: int) -> bool:
    return bool(np.isfinite(sample.numbers["level"][sample.readings_of(user)]).any())


def points_of(sample: Sample, user: int) -> list[Point]:
    """A user's readings that were folded or rejected, in order of time: the newest."""
    rows = sample.readings_of(user)
    shown = [
        row
        for row in rows.tolist()
        if not np.isnat(sample.time[row])
        and sample.decisions[sample.decision[row]][0] in {"accepted", "rejected"}
    ]
    return [_point(sample, row) for row in shown[-MOST_DRAWN:]]


def _point(sample: Sample, row: int) -> Point:
    status, reason = sample.decisions[sample.decision[row]]
    numbers = sample.numbers
    when: datetime = sample.time[row].item()
    return Point(
        when.replace(tzinfo=UTC),
        float(numbers["value"][row]),
        status,
        reason,
        float(numbers["level"][row]),
        float(numbers["level_sd"][row]),
        bool(sample.restarted[row]),
    )


def _words(people: People, user: int, unit: str) -> str:
    """What is notable about a user, in a sentence."""
    slope, sd = people.estimates.slope[user], people.estimates.slope_sd[user]
    words = f"{counted(int(people.readings[user]), 'reading')}"
    if people.rejected[user]:
        words += f", {people.rejected[user]} rejected"
    if people.restarts[user]:
        words += f", {counted(int(people.restarts[user]), 'restart')}"
    if math.isnan(slope):
        return f"{words}."
    return f"{words}. Slope: {slope_in_words(float(slope), float(sd), unit)}."


def _cells(people: People, user: int) -> list[Cell]:
    level, level_sd, slope, slope_sd = (float(column[user]) for column in people.estimates[:4])
    return [
        *(
            Cell(f"{int(column[user]):,}", str(int(column[user])))
            for column in (people.readings, people.rejected, people.restarts)
        ),
        _estimate(level, level_sd, sign=False),
        _estimate(slope, slope_sd, sign=True),
        _number(float(people.moved[user]), sign=True),
        _number(float(people.quality[user]), sign=False),
    ]


def _estimate(value: float, sd: float, *, sign: bool) -> Cell:
    if math.isnan(value):
        return Cell("", "")
    return Cell(with_margin(value, INTERVAL * sd, sign=sign), repr(value))


def _number(value: float, *, sign: bool) -> Cell:
    return Cell("", "") if math.isnan(value) else Cell(rounded(value, 3, sign=sign), repr(value))
