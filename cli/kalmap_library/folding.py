"""The fold of a table: new readings into users' states, with a result for each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.filter.fold import Folded as FoldedUsers
from kalmap.filter.fold import fold_users
from kalmap.moments import LATEST
from kalmap.outcome import Reason, Status
from kalmap.profile import DEFAULT_PROFILE
from kalmap.readings import U8, Readings
from kalmap.records.parse import Parsed
from kalmap_library.moments import moment
from kalmap_library.profiles import AnyProfile, load_profile
from kalmap_library.records import parse_readings
from kalmap_library.states import States, checked_states
from kalmap_library.table import Table, as_array

_STATUSES = {int(status): status.label for status in Status}
_REASONS = {int(reason): reason.label for reason in Reason}


class Folded(NamedTuple):
    """What became of readings, and of their users."""

    results: Table
    """A row for each reading, in their order, with the fields of a batch's results."""
    states: dict[str, bytes]
    """The exact state of each user: those that were given, and what the readings made of them."""
    unreadable: Table
    """The readings that could not be read: index, reason, and a sentence in detail."""
    revisions: Table
    """Earlier readings whose decision a late one has changed."""


def fold(
    readings: object,
    states: States | None = None,
    profile: AnyProfile = DEFAULT_PROFILE,
    *,
    now: datetime | str | None = None,
    adopt_profile: bool = False,
) -> Folded:
    """Filter readings: is each believable, and what is the true level now?

    The results are those of a batch with the same records, to the bit.

    Args:
        readings: A table with the columns user_id, timestamp and value, and if you like unit,
            source and measurement_id: columns by name, or a table of pandas, polars, pyarrow,
            DuckDB or anything else with Arrow's PyCapsule interface. Times are ISO 8601 with an
            offset, aware, or numpy's, which are taken as UTC.
        states: The states that earlier readings left.
        profile: How a level moves and what is plausible: a built-in profile's name, a JSON file, a
            mapping, or a Profile.
        now: Readings later than this are in the future, and rejected; None lets all be.
        adopt_profile: Continue states that were folded under another version of the profile.

    Raises:
        InvalidInput: The readings are no such table, or none of them can be read; or the states
            are none.
        InvalidProfile: The profile is wrong.

    >>> week = {
    ...     "user_id": ["anna"] * 3,
    ...     "timestamp": ["2026-03-01T07:00Z", "2026-03-02T07:00Z", "2026-03-03T07:00Z"],
    ...     "value": [70.1, 69.9, 154.0],
    ... }
    >>> folded = fold(week)
    >>> folded.results["status"].tolist()
    ['accepted', 'accepted', 'rejected']
    >>> folded.results["reason"].tolist()
    [None, None, 'unit_suspect']
    >>> later = {"user_id": ["anna"], "timestamp": ["2026-03-04T07:00Z"], "value": [70.0]}
    >>> folded = fold(later, folded.states)
    >>> f"{folded.results['level'][0]:.1f} ± {folded.results['level_sd'][0]:.1f} kg"
    '70.0 ± 0.5 kg'
    """
    checked = load_profile(profile)
    parsed = parse_readings(readings, checked)
    stored = {} if states is None else dict(checked_states(states))
    codes = np.array([checked.source_code(name) for name in parsed.sources], np.uint8)
    columns = Readings(
        user=parsed.user,
        time=parsed.time,
        value=parsed.value,
        source=codes[parsed.source] if codes.size else np.empty(0, np.uint8),
        tag=parsed.tag,
        hash=parsed.hash,
        index=parsed.ordinal,
    )
    folded = fold_users(
        checked,
        [stored.get(user) for user in parsed.users],
        columns,
        LATEST if now is None else moment(now, "now"),
        adopt_profile=adopt_profile,
    )
    bodies = zip(parsed.users, folded.bodies, strict=True)
    stored |= {user: body for user, body in bodies if body is not None}
    return Folded(_results(parsed, folded), stored, _unreadable(parsed), _revisions(parsed, folded))


def _results(parsed: Parsed, folded: FoldedUsers) -> Table:
    """A row for each record, in their order: readings, and records that could not be read."""
    decisions, unreadable = folded.decisions, parsed.unreadable
    order = np.argsort(
        np.append(parsed.ordinal, [record.ordinal for record in unreadable]), kind="stable"
    )
    ids = parsed.ids or [None] * parsed.user.size
    texts: dict[str, tuple[NDArray[Any], list[str | None]]] = {
        "user_id": (as_array(parsed.users)[parsed.user], [record.user_id for record in unreadable]),
        "measurement_id": (as_array(ids), [record.measurement_id for record in unreadable]),
        "status": (
            _labels(_STATUSES, decisions.status), [Status.UNREADABLE.label] * len(unreadable)
        ),
        "reason": (
            _labels(_REASONS, decisions.reason), [record.reason.label for record in unreadable]
        ),
    }  # fmt: skip
    estimates = ("level", "level_sd", "slope", "predicted", "innovation", "nis", "quality")
    nothing, no_time = np.full(len(unreadable), np.nan), np.datetime64("NaT", "us")
    numbers = {
        "timestamp": (parsed.time.view("M8[us]"), np.full(len(unreadable), no_time)),
        "value": (parsed.value, nothing),
        **{
            name: (column, nothing)
            for name, column in zip(estimates, decisions.reported, strict=True)
        },
        "restarted": (decisions.restarted, np.zeros(len(unreadable), np.bool_)),
    }
    parts = {name: (column, as_array(others)) for name, (column, others) in texts.items()}
    columns = {name: np.concatenate(both)[order] for name, both in (parts | numbers).items()}
    names = ("user_id", "measurement_id", "timestamp", "value", "status", "reason")
    rows = {"index": np.arange(parsed.records)}
    return Table(rows | {name: columns[name] for name in (*names, *estimates, "restarted")})


def _labels(labels: Mapping[int, str | None], codes: U8) -> NDArray[Any]:
    table = np.empty(256, object)
    table[list(labels)] = list(labels.values())
    return table[codes]


def _unreadable(parsed: Parsed) -> Table:
    return Table(
        {
            "index": np.array([record.ordinal for record in parsed.unreadable], np.int64),
            "reason": [record.reason.label for record in parsed.unreadable],
            "detail": [record.detail for record in parsed.unreadable],
        }
    )


def _revisions(parsed: Parsed, folded: FoldedUsers) -> Table:
    revisions = folded.revisions
    return Table(
        {
            "user_id": [parsed.users[user] for user in revisions.user.tolist()],
            "timestamp": revisions.time.view("M8[us]"),
            "value": revisions.value,
            "old_status": _labels(_STATUSES, revisions.old_status),
            "old_reason": _labels(_REASONS, revisions.old_reason),
            "new_status": _labels(_STATUSES, revisions.new_status),
            "new_reason": _labels(_REASONS, revisions.new_reason),
        }
    )
