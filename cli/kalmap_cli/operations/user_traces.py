"""Where a user is in the work bucket: in results, states, working copies and input of batches."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import NamedTuple

import msgspec

from kalmap.batch.folder import Folder
from kalmap.batch.partitions import Partitions
from kalmap.errors import InputNotFound
from kalmap.keys import (
    ANSWERS,
    BATCHES,
    CACHE,
    INCOMING,
    INLINE,
    PARTITIONS,
    PLAN,
    UPLOADS,
    results_file,
)
from kalmap.outcome import Status
from kalmap.records.shards import users_in_slice
from kalmap.results.table import decode_table
from kalmap.store.objects import Objects, ObjectVersion, at_once
from kalmap_cli.aws_errors import CUT_OFF
from kalmap_cli.operations.unreadable_users import may_be_of, users_by_index
from kalmap_cli.operations.without_user import Without, rule_of_api, rule_of_batch

#: Objects that are read at once.
_GROUP = 64
_STAGED = (INCOMING, INLINE, UPLOADS)
#: What reading a damaged object raises.
DAMAGED = (msgspec.MsgspecError, ValueError, OSError, *CUT_OFF)


class Trace(NamedTuple):
    """A version of an object that has the user in it."""

    version: ObjectVersion
    without: Without | None
    """Gives the content that stays; None to delete the object."""


class Input(NamedTuple):
    """An object that a batch has read, and that has readings of the user beside others'."""

    bucket: str
    key: str
    put: datetime | None
    """When it was put into kalmap's own bucket; None elsewhere."""


class Traces(NamedTuple):
    """All that was found."""

    own: list[Trace]
    """Of what kalmap has stored, in the order in which they may be deleted."""
    inputs: list[Input]
    """Input that also has other users, or lies in another bucket."""
    unread: list[str]
    """Keys of objects that could not be read, as they are damaged."""

    @property
    def batches(self) -> int:
        """Attempts of batches with readings of the user."""
        keys = {_attempt(trace.version.key) for trace in self.own}
        return sum(key.startswith(BATCHES) for key in keys)

    def outside(self, prefixes: Collection[str]) -> "Traces":
        """These without those in the folders of some attempts."""
        return self._replace(
            own=[trace for trace in self.own if _attempt(trace.version.key) not in prefixes],
            unread=[key for key in self.unread if _attempt(key) not in prefixes],
        )


def find_traces(objects: Objects, user: str, running: Collection[str]) -> Traces:
    """Find all versions of objects that have a user in them.

    Args:
        objects: The work bucket.
        user: The user.
        running: Prefixes of running attempts, which are left out.
    """
    found = Traces([], [], [])
    for prefix in (ANSWERS, CACHE):
        rules = ((version, rule_of_api(version.key)) for version in objects.versions(prefix))
        _look(objects, user, rules, found)
    inputs: set[tuple[str, str]] = set()
    sole: set[str] = set()
    for prefix, versions in groupby(objects.versions(BATCHES), lambda each: _attempt(each.key)):
        if prefix in running:
            continue
        before = len(found.own)
        folder = Folder(objects, prefix)
        _look_into_attempt(folder, user, list(versions), found)
        if len(found.own) > before:
            read = _inputs(folder, found)
            inputs |= read
            if _is_alone(folder):
                sole |= {key for bucket, key in read if bucket == objects.bucket}
    for bucket, key in sorted(inputs):
        if bucket == objects.bucket and key.startswith(BATCHES):
            continue
        stored = _of_key(objects, key) if bucket == objects.bucket else []
        if key in sole and key.startswith(_STAGED):
            # First: once the batch has no trace of the user, its input is not looked for.
            found.own[:0] = [Trace(version, None) for version in stored]
        elif stored or bucket != objects.bucket:
            found.inputs.append(Input(bucket, key, stored[0].modified if stored else None))
    return found


def _attempt(key: str) -> str:
    return "/".join(key.split("/", 3)[:3])


def _of_key(objects: Objects, key: str) -> list[ObjectVersion]:
    return [version for version in objects.versions(key) if version.key == key]


def _inputs(folder: Folder, found: Traces) -> set[tuple[str, str]]:
    """Bucket and key of each object that a batch has read."""
    try:
        return {(each.bucket, each.key) for each in folder.inputs()}
    except DAMAGED:
        found.unread.append(folder.key("inputs.json"))
        return set()


def _is_alone(folder: Folder) -> bool:
    """Whether all records of a batch's input were read, and have one user."""
    try:
        totals = folder.totals(0)
    except (InputNotFound, *DAMAGED):
        return False
    unreadable = totals.readings.of_status(Status.UNREADABLE)
    return totals.users == 1 and not (unreadable or totals.left_out or totals.failures)


def _look_into_attempt(
    folder: Folder, user: str, versions: list[ObjectVersion], found: Traces
) -> None:
    try:
        shards = folder.plan_counts().shards
    except InputNotFound:
        # Nothing was parsed.
        return
    except DAMAGED:
        found.unread.append(folder.key(PLAN))
        return
    before = len(found.own)

    @cache
    def unreadable() -> dict[int, str]:
        """Whose the batch's unreadable records are: read only if it has some."""
        return users_by_index(_result_lines(folder.objects, versions))

    def user_of(index: int) -> str | None:
        return unreadable().get(index)

    rules = ((v, rule_of_batch(v.key, user, shards, user_of)) for v in versions)
    _look(folder.objects, user, rules, found)
    partitions = [v for v in versions if v.key.startswith(folder.key(PARTITIONS))]
    stopped = not any(v.key.endswith("totals.json") for v in versions)
    if len(found.own) > before or stopped:
        found.own.extend(
            Trace(version, None)
            for version in partitions
            if version.key.endswith(".bin") and _has_user(folder, version, user)
        )


def _has_user(folder: Folder, version: ObjectVersion, user: str) -> bool:
    """Whether a chunk's working copy has a user in it."""
    number = int(version.key.rpartition("/")[2].removesuffix(".bin"))
    report = Partitions(folder).report(number)
    try:
        data = folder.objects.get_version(version)
    except CUT_OFF:
        return True
    if report is None or sum(report.lengths) != len(data):
        return True
    start = 0
    for length in report.lengths:
        if length:
            users, unreadable = users_in_slice(data[start : start + length])
            start += length
            if user in users or any(
                user == record.user_id
                if record.user_id
                else may_be_of(user, record.excerpt, record.detail)
                for record in unreadable
            ):
                return True
    return False


def _result_lines(objects: Objects, versions: list[ObjectVersion]) -> Iterator[bytes]:
    """The lines of an attempt's results, of each file that can be read."""
    for version in versions:
        if file := results_file(version.key):
            with suppress(InputNotFound, *DAMAGED):
                data = objects.get_version(version)
                yield from decode_table(data) if file.form == "parquet" else data.splitlines()


def _look(
    objects: Objects,
    user: str,
    rules: Iterable[tuple[ObjectVersion, Without | None]],
    found: Traces,
) -> None:
    """Read the objects that can have the user, and add those that have."""
    for group in _groups([(v, without) for v, without in rules if without is not None]):
        read = at_once(lambda each: _find(objects, user, *each), group)
        for (version, without), is_there in zip(group, read, strict=True):
            if is_there is None:
                found.unread.append(version.key)
            elif is_there:
                found.own.append(Trace(version, without))


def _find(objects: Objects, user: str, version: ObjectVersion, without: Without) -> bool | None:
    """Whether the user is in a version; None if it cannot be read."""
    try:
        data = objects.get_version(version)
        return without(data, user) != data
    except InputNotFound:
        return False
    except DAMAGED:
        return None


def _groups(
    rules: list[tuple[ObjectVersion, Without]],
) -> Iterator[list[tuple[ObjectVersion, Without]]]:
    for start in range(0, len(rules), _GROUP):
        yield rules[start : start + _GROUP]
