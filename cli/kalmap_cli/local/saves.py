"""Saves of the local cloud. Each is complete, or does not exist.

<cloud>/saves/000012/       the state of all services at one moment, and a manifest with checksums
<cloud>/saves/000012.part   a save that was never completed
<cloud>/state/              the only save of a directory of format 1, without a manifest

The newest save counts. The one before it stays as a reserve: together with the log of changes
since then (see `change_log`) it has the same data.
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
#: ministack writes objects there, by account and bucket.
OBJECTS = "s3"


class Save(NamedTuple):
    """A complete save."""

    number: int
    folder: Path
    first_log: int
    """Number of the first file of the log with changes since the save."""


def newest(cloud: Path) -> Save | None:
    """Find the newest save, and check it and the log since then.

    Returns:
        None if nothing was ever saved.

    Raises:
        Damaged: The save is not what was written. The sentence says what to do.
        WrongUsage: A newer kalmap wrote the save.
    """
    numbers = _numbers(cloud)
    if not numbers:
        _check_never_saved(cloud)
        return None
    try:
        return _checked(cloud, numbers[-1])
    except Damaged as damage:
        raise Damaged(f"{damage}. {_remedy(cloud, numbers)}") from damage


def write(cloud: Path, files: Iterable[tuple[str, bytes]], first_log: int) -> Save:
    """Write a save, and remove all earlier saves but one.

    Args:
        cloud: The folder of the local cloud.
        files: Name and content of each file of the save.
        first_log: Number of the first file of the log with later changes.

    Raises:
        OSError: The save failed. All earlier saves are unchanged.
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
        _write(part / _MANIFEST, _with_checksum(manifest))
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
    """Remove all saves but the newest two, and the files of the log that neither of them needs."""
    *old, reserve, _ = [-1, -1, *_numbers(cloud)]
    for number in old:
        if number >= 0:
            shutil.rmtree(_folder(cloud, number), ignore_errors=True)
    with contextlib.suppress(WrongUsage, OSError):
        first_log = _manifest(_folder(cloud, reserve))["first_log"] if reserve > 0 else 0
        for number in change_log.log_numbers(cloud):
            if number < first_log:
                change_log.log_path(cloud, number).unlink()


def _numbers(cloud: Path) -> list[int]:
    """The numbers of all saves, ascending; 0 is the save of format 1."""
    paths = (cloud / FOLDER).iterdir() if (cloud / FOLDER).is_dir() else ()
    numbers = sorted(int(path.name) for path in paths if _NAME.fullmatch(path.name))
    return [0, *numbers] if any((cloud / _FORMAT_1).glob("*.json")) else numbers


def _folder(cloud: Path, number: int) -> Path:
    return cloud / FOLDER / f"{number:06d}" if number else cloud / _FORMAT_1


def _checked(cloud: Path, number: int) -> Save:
    """Check all files of a save, and of the log since then."""
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
    """Check what is possible without checksums: files are complete, and the tables exist."""
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
        # Not Damaged: its remedy, the save before, would lose what the newer kalmap stored.
        raise WrongUsage(
            f"{folder} has format {manifest['format']}, and this kalmap knows format {_FORMAT}. "
            f"Nothing was changed. Use a newer kalmap, or another directory with --data-dir."
        )
    return manifest


def _with_checksum(manifest: dict[str, Any]) -> bytes:
    text = json.dumps(manifest, indent=1).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def _remedy(cloud: Path, numbers: list[int]) -> str:
    """What the user can do if the newest save, or the log since then, is damaged."""
    damaged = _folder(cloud, numbers[-1])
    with contextlib.suppress(WrongUsage, IndexError):
        _checked(cloud, numbers[-2])
        aside = cloud.parent / f"damaged-{damaged.name}"
        return (
            f"The save before it and the log of changes are complete, and have the same states. To "
            f"use them, move the damaged save away: mv '{damaged}' '{aside}'"
        )
    return (
        f"Nothing was changed. There is no other complete save. Restore the file from a backup, "
        f"or start without these states: name another --data-dir, or remove {cloud.parent}."
    )


def _check_never_saved(cloud: Path) -> None:
    """Refuse a folder without saves if something was stored in it."""
    numbers = change_log.log_numbers(cloud)
    if numbers:
        log = "the log of changes is useless without them"
        # Each start that failed before the first save leaves one file without records.
        logs = (change_log.read_log(change_log.log_path(cloud, number)) for number in numbers)
        is_new = numbers[0] == 1 and not any(content.records for content in logs)
    else:
        log = "the log of changes is missing, too"
        is_new = not any((cloud / OBJECTS).glob("[0-9]*/*"))
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
    """Make the names in a folder survive a crash of the machine."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
