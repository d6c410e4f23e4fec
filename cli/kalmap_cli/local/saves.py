"""Saves of the local cloud: each one is whole, or not there at all.

<cloud>/saves/000012/       every service's state of one moment, and a manifest with checksums
<cloud>/saves/000012.part   one that never became whole
<cloud>/state/              the only save of a directory of format 1, without a manifest

The newest one counts. The one before is kept: with the log of changes since (see `change_log`)
it has everything that the newest has.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from kalmap_cli.errors import Damaged, WrongUsage
from kalmap_cli.local import change_log

FOLDER = "saves"
_FORMAT_1 = "state"
_MANIFEST = "manifest.json"
_FORMAT = 1
_NAME = re.compile(r"\d{6,}")
_PART = ".part"
#: Where ministack writes objects, by account and bucket.
_OBJECTS = "s3"


class Save(NamedTuple):
    """A save that is whole."""

    number: int
    folder: Path
    first_log: int
    """Number of the first file of the log that has what changed since."""


def newest(cloud: Path) -> Save | None:
    """The save to begin with, checked, as is the log since; None where nothing was ever saved.

    Raises:
        Damaged: It is not what was saved. The sentence says what is wrong, and how to go on.
        WrongUsage: A newer kalmap made it.
    """
    there = _numbers(cloud)
    if not there:
        _refuse_what_had_saves(cloud)
        return None
    try:
        return _checked(cloud, there[-1])
    except Damaged as damage:
        raise Damaged(f"{damage}. {_way_on(cloud, there)}") from damage


def write(cloud: Path, files: Iterable[tuple[str, bytes]], first_log: int) -> Save:
    """Make a save of files by their names; afterwards the one before the last is removed.

    Raises:
        OSError: It could not be made. All earlier ones are as they were.
    """
    number = (_numbers(cloud) or [0])[-1] + 1
    folder = _folder(cloud, number)
    part = folder.with_name(folder.name + _PART)
    folder.parent.mkdir(exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(mode=0o700)
        listed = {}
        for name, content in files:
            (part / name).parent.mkdir(exist_ok=True)
            _write(part / name, content)
            listed[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        manifest = {"format": _FORMAT, "first_log": first_log, "files": listed}
        _write(part / _MANIFEST, _sealed(manifest))
        for parent in {(part / name).parent for name in listed} | {part}:
            _sync(parent)
        part.rename(folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _sync(folder.parent)
    _prune(cloud)
    return Save(number, folder, first_log)


def _prune(cloud: Path) -> None:
    """Remove all saves but the newest two, and what of the log neither of them needs."""
    *old, before, _ = [-1, -1, *_numbers(cloud)]
    for number in old:
        if number >= 0:
            shutil.rmtree(_folder(cloud, number), ignore_errors=True)
    with contextlib.suppress(WrongUsage, OSError):
        needed = _manifest(_folder(cloud, before))["first_log"] if before > 0 else 0
        for number in change_log.log_numbers(cloud):
            if number < needed:
                change_log.log_path(cloud, number).unlink()


def _numbers(cloud: Path) -> list[int]:
    """The saves there are, ascending; 0 is that of format 1."""
    found = (cloud / FOLDER).iterdir() if (cloud / FOLDER).is_dir() else ()
    numbers = sorted(int(path.name) for path in found if _NAME.fullmatch(path.name))
    return [0, *numbers] if any((cloud / _FORMAT_1).glob("*.json")) else numbers


def _folder(cloud: Path, number: int) -> Path:
    return cloud / FOLDER / f"{number:06d}" if number else cloud / _FORMAT_1


def _checked(cloud: Path, number: int) -> Save:
    """A save all of whose files, and of whose log's, are what was written."""
    folder = _folder(cloud, number)
    if number == 0:
        _check_format_1(folder)
        first = 1
    else:
        manifest = _manifest(folder)
        for name, listed in manifest["files"].items():
            _check(folder / name, listed)
        first = manifest["first_log"]
    if number and first not in change_log.log_numbers(cloud):
        raise Damaged(f"{change_log.log_path(cloud, first)} is missing")
    for _ in change_log.read_since(cloud, first):
        pass
    return Save(number, folder, first)


def _check(path: Path, listed: dict[str, Any]) -> None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path} is missing") from None
    if len(content) != listed["bytes"]:
        raise Damaged(
            f"{path} is damaged: it has {len(content):,} bytes, and {listed['bytes']:,} were saved"
        )
    if hashlib.sha256(content).hexdigest() != listed["sha256"]:
        raise Damaged(f"{path} is damaged: its content is not what was saved")


def _check_format_1(folder: Path) -> None:
    """What can be checked without checksums: that files are whole, and the tables there."""
    for path in sorted({*folder.glob("*.json"), folder / "dynamodb.json"}):
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            raise Damaged(f"{path} is missing") from None
        except ValueError:
            raise Damaged(f"{path} is damaged: it is no longer JSON") from None


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        checksum, _, text = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        raise Damaged(f"{path} is missing") from None
    if checksum.decode(errors="replace") != hashlib.sha256(text).hexdigest():
        raise Damaged(f"{path} is damaged: its content is not what was saved")
    manifest: dict[str, Any] = json.loads(text)
    if manifest["format"] != _FORMAT:
        # Not damaged: going back to the save before would give up what the newer kalmap stored.
        raise WrongUsage(
            f"{folder} has format {manifest['format']}, and this kalmap knows format {_FORMAT}. "
            f"Nothing was changed. Use a newer kalmap, or another directory with --data-dir."
        )
    return manifest


def _sealed(manifest: dict[str, Any]) -> bytes:
    text = json.dumps(manifest, indent=1).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def _way_on(cloud: Path, there: list[int]) -> str:
    """What to do about a newest save that is damaged, or whose log is."""
    damaged = _folder(cloud, there[-1])
    with contextlib.suppress(WrongUsage, IndexError):
        _checked(cloud, there[-2])
        aside = cloud.parent / f"damaged-{damaged.name}"
        return (
            f"The save before it and the log of changes are complete, and have the same states. To "
            f"use them, move the damaged save away: mv '{damaged}' '{aside}'"
        )
    return (
        f"Nothing was changed. There is no other complete save. Restore the file from a backup, "
        f"or start without these states: name another --data-dir, or remove {cloud.parent}."
    )


def _refuse_what_had_saves(cloud: Path) -> None:
    """Take a folder for a new one only where nothing was ever stored in it."""
    numbers = change_log.log_numbers(cloud)
    if numbers:
        log = "the log of changes is useless without them"
        # Starts that were killed, or found the disk full, before the first save leave a file each.
        logs = (change_log.read_log(change_log.log_path(cloud, number)) for number in numbers)
        is_new = numbers[0] == 1 and not any(content.records for content in logs)
    else:
        log = "the log of changes is missing, too"
        is_new = not any((cloud / _OBJECTS).glob("[0-9]*/*"))
    if not is_new:
        raise Damaged(
            f"All saves are missing from {cloud / FOLDER}, and {log}. Nothing was changed. "
            f"Restore the folder from a backup, or start without these states: name another "
            f"--data-dir, or remove {cloud.parent}."
        )


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        written = 0
        while written < len(content):
            written += os.write(file, content[written : written + 2**20])
        os.fsync(file)
    finally:
        os.close(file)


def _sync(folder: Path) -> None:
    """Make the names in a folder survive the machine's end."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
