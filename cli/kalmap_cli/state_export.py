"""The exact states of users as JSON lines: written, and brought back without losing newer ones."""

import base64
import binascii
import gzip
import io
import math
import sys
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress, groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import numpy as np

from kalmap.moments import iso, moment_at
from kalmap.profile import MAX_NAME
from kalmap.records.gzipped import MAGIC, is_gzipped
from kalmap.records.measurement import MAX_ID_BYTES
from kalmap.store.ports import Change, StateStore, UserState
from kalmap_cli.errors import WrongUsage
from kalmap_cli.inputs import STDIN
from kalmap_cli.output_files import STDOUT
from kalmap_cli.stored_bodies import read_bodies

#: States that are decoded and written at once.
_BLOCK = 5000
#: No state is as long as this, as base64 in a line with its user.
_MOST_LINE_BYTES = 64 * 1024


class Exported(msgspec.Struct):
    """A line of an export."""

    user_id: str
    profile: str
    level: float | None
    slope: float | None
    as_of: str | None
    state: str
    """The exact state in base64."""


class Loaded(NamedTuple):
    """What became of the states of an export."""

    new: int
    replaced: int
    same: int
    kept: list[str]
    """Users whose stored state differs and was not replaced."""
    failed: list[tuple[str, str]]
    """Users whose state could not be written, each with a sentence."""


def write_export(states: Iterable[UserState], file: BinaryIO) -> None:
    """Write states exactly.

    Version and tokens are omitted. They identify writes, and say nothing about a user.
    """
    for state in states:
        line = Exported(
            state.user,
            state.profile,
            state.level,
            state.slope,
            None if state.as_of is None else iso(moment_at(state.as_of)),
            base64.b64encode(state.state.body).decode(),
        )
        file.write(msgspec.json.encode(line) + b"\n")


def read_export(path: Path) -> list[tuple[str, Change]]:
    """Read an export, gzipped or not: the profile's name and the state of each line.

    Args:
        path: The file; `-` for stdin.

    Raises:
        WrongUsage: A line is no exact state. The sentence says which, and what is wrong.
    """
    file = STDIN if path == STDOUT else path
    try:
        with _open(file) as opened:
            lines = list(_lines(opened, file))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise WrongUsage(f"{file} cannot be read: {reason}. Nothing was written.") from error
    if not lines:
        raise WrongUsage(f"{file} is empty. `kalmap states --exact --out FILE` writes an export.")
    seen: dict[tuple[str, str], int] = {}
    for number, (profile, change) in lines:
        before = seen.setdefault((change.user, profile), number)
        if before != number:
            raise WrongUsage(
                f"{file} has two states of {change.user} under {profile}: in line {before:,} and "
                f"line {number:,}. Keep one of them."
            )
    return _sound([each for _, each in lines], [number for number, _ in lines], file)


@contextmanager
def _open(file: Path) -> Iterator[BinaryIO]:
    """Open a file, or stdin, to read what it has, inflated if it is gzipped."""
    if file is STDIN and sys.stdin.isatty():
        print("Reading from the terminal until Ctrl-D.", file=sys.stderr)
    with open(
        sys.stdin.fileno() if file is STDIN else file, "rb", closefd=file is not STDIN
    ) as raw:
        if not is_gzipped(raw.peek(len(MAGIC))):
            yield raw
            return
        with io.BufferedReader(gzip.open(raw)) as inflated:
            yield inflated


def _lines(opened: BinaryIO, file: Path) -> Iterator[tuple[int, tuple[str, Change]]]:
    decode = msgspec.json.Decoder(Exported).decode
    number = 0
    while raw := opened.readline(_MOST_LINE_BYTES):
        number += 1
        if not raw.strip():
            continue
        try:
            line = decode(raw)
            body = base64.b64decode(line.state, validate=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError) as error:
            raise WrongUsage(
                f"{file} line {number:,} is no state that `kalmap states --exact` has written: "
                f"{error}. A table that was written without --exact lacks most of a state. Nothing "
                "was written."
            ) from error
        fits = 0 < len(line.user_id.encode(errors="replace")) <= MAX_ID_BYTES
        is_printable = f"{line.user_id}{line.profile}".isprintable()
        if not fits or not is_printable or not 0 < len(line.profile) <= MAX_NAME:
            raise WrongUsage(
                f"{file} line {number:,}: its user or its profile has a name that is empty or too "
                "long, or holds a control character. Nothing was written."
            )
        level, slope = line.level, line.slope
        yield number, (
            line.profile,
            # The table's readable numbers are for people: no code computes with them.
            Change(line.user_id, None, body, math.nan if level is None else level,
                   math.nan if slope is None else slope, 0),
        )  # fmt: skip


def _sound(
    states: Sequence[tuple[str, Change]], numbers: Sequence[int], file: Path
) -> list[tuple[str, Change]]:
    """The states with their times, if all are sound."""
    sound: list[tuple[str, Change]] = []
    for start in range(0, len(states), _BLOCK):
        block = states[start : start + _BLOCK]
        is_sound, times = read_bodies([change.body for _, change in block])
        if not is_sound.all():
            number = numbers[start + int(np.argmin(is_sound))]
            raise WrongUsage(
                f"{file} line {number:,}: its state was cut off or altered. Nothing was written."
            )
        sound += [
            (profile, change._replace(as_of=time))
            for (profile, change), time in zip(block, times.tolist(), strict=True)
        ]
    return sound


def load_states(
    exported: Sequence[tuple[str, Change]], store: StateStore, *, replace: bool
) -> Loaded:
    """Write the states of an export.

    A stored state that differs is replaced if its newest reading is older than the export's.
    Writes are conditional: a state that another command changes meanwhile is kept.

    Args:
        exported: From `read_export`.
        store: The table of states.
        replace: Also replace stored states that are not older.
    """
    loaded = Loaded(0, 0, 0, [], [])
    attempt = uuid.uuid4().hex
    by_profile = sorted(exported, key=lambda each: (each[0], each[1].user))
    for profile, group in groupby(by_profile, key=lambda each: each[0]):
        changes = [change for _, change in group]
        for start in range(0, len(changes), _BLOCK):
            block = changes[start : start + _BLOCK]
            loaded = _load(loaded, profile, block, store, attempt, replace=replace)
    return loaded


def _load(
    loaded: Loaded,
    profile: str,
    changes: Sequence[Change],
    store: StateStore,
    attempt: str,
    *,
    replace: bool,
) -> Loaded:
    present = store.load(profile, [change.user for change in changes]).states
    is_sound, times = read_bodies([old.body for old in present.values()])
    newest = dict(compress(zip(present, times.tolist(), strict=True), is_sound))
    wanted: list[Change] = []
    same, kept = 0, []
    for change in changes:
        old = present.get(change.user)
        if old is not None and old.body == change.body:
            same += 1
        elif old is None or replace or newest.get(change.user, change.as_of) < change.as_of:
            wanted.append(change._replace(old=old))
        else:
            kept.append(change.user)
    written = store.write(profile, wanted, batch="states", attempt=attempt, round_=0)
    new = sum(change.old is None for change in wanted if change.user in written.stored)
    return Loaded(
        loaded.new + new,
        loaded.replaced + len(written.stored) - new,
        loaded.same + same,
        loaded.kept + kept + list(written.conflicts),
        loaded.failed + list(written.failed.items()),
    )
