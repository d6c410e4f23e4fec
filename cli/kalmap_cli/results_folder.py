"""The folder that gets a batch's results: those of one batch, whole, and never over another's.

A folder that the user names gets them where it holds none, or those of this very batch. Where the
user names none, each batch gets one of its own in `kalmap-out`, and a link, `latest`, leads there.
"""

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kalmap.results.merge import is_read_here, kept, merge, result_keys, unreadable
from kalmap.store.objects import Objects
from kalmap_cli.exits import RunFailed, WrongUsage
from kalmap_cli.given_names import GivenNames
from kalmap_cli.local_copy import LocalCopy
from kalmap_cli.outputs import replace_with
from kalmap_cli.screen import ID_SHOWN

#: Holds a folder for each batch whose results the user gave no other.
DEFAULT = Path("kalmap-out")
LATEST = "latest"

_APART = ".kalmap-fetching-"
_SUMMARY = "summary.json"
_NAMES = ("results.jsonl", "unreadable.jsonl", "failed.jsonl", "revisions.jsonl")
#: Earlier versions wrote this one.
_EARLIER = ("rejected.jsonl",)


class Fetched(NamedTuple):
    """What was written into the folder; None for a file that does not exist."""

    results: Path | None
    unreadable: Path
    unreadable_lines: int
    summary: Path
    failed: Path | None
    """The measurements that failed, to be run again."""
    revisions: Path | None
    """What this batch's late readings changed about earlier ones."""
    content: dict[str, Any]
    """Of the summary."""


def check_folder(out: Path | None, batch_id: str | None = None) -> None:
    """Refuse a folder that cannot be written to, or that holds the results of another batch.

    Args:
        out: as the user named it; None for a folder of the batch's own.
        batch_id: of the batch whose results it shall get; None before there is one.

    Raises:
        WrongUsage: A sentence saying what to do. Nothing was made.
    """
    folder = out or DEFAULT
    try:
        _check_can_be_made(folder)
        holder = _holder(folder) if out else None
    except OSError as error:
        raise WrongUsage(
            f"The output directory {folder} cannot be written to: {error.strerror or error}. "
            f"Name another one with --out."
        ) from error
    if holder is not None and holder != batch_id:
        whose = f"of batch {holder[:ID_SHOWN]}" if holder else "of a batch that is not known"
        raise WrongUsage(
            f"{folder} already holds the results {whose}, and they stay. Name another directory "
            f"with --out, or leave --out away: then each batch gets one of its own in {DEFAULT}."
        )


def folder_of(out: Path | None, batch_id: str) -> Path:
    """Where a batch's results go."""
    return out or DEFAULT / batch_id[:ID_SHOWN]


def fetch(objects: Objects, prefix: str, out: Path | None) -> Fetched | None:
    """Write a batch's results, unreadable records and summary into its folder.

    They appear together, when all are written; those of the same batch are replaced.

    Args:
        objects: the work bucket.
        prefix: where the batch's objects lie.
        out: the folder; None for one of the batch's own.

    Returns:
        What was written; None where the batch has left no summary, and so no results.

    Raises:
        RunFailed: The folder cannot be written to, or holds the results of another batch.
    """
    summary = objects.find(f"{prefix}/{_SUMMARY}")
    if summary is None:
        return None
    content = GivenNames(objects).in_summary(summary)
    batch_id = str(content["batch_id"])
    folder = folder_of(out, batch_id)
    try:
        with _made(folder):
            check_folder(folder, batch_id)
            # Left by a fetch that was killed; whoever is at it holds the lock.
            for left in folder.glob(f"{_APART}*/"):
                shutil.rmtree(left, ignore_errors=True)
            lines = _write(objects, prefix, content, folder)
        if out is None:
            _link_latest(folder)
    except WrongUsage as error:
        raise RunFailed(str(error)) from error
    except OSError as error:
        raise RunFailed(
            f"The results could not be written to {folder}: {error.strerror or error}."
        ) from error
    return Fetched(
        results=folder / "results.jsonl" if lines["results.jsonl"] else None,
        unreadable=folder / "unreadable.jsonl",
        unreadable_lines=lines["unreadable.jsonl"],
        summary=folder / _SUMMARY,
        failed=folder / "failed.jsonl" if lines["failed.jsonl"] else None,
        revisions=folder / "revisions.jsonl" if lines["revisions.jsonl"] else None,
        content=content,
    )


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder while we alone write into it; one made for nothing is removed."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # There are file systems without locks.
        with contextlib.suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
        if made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def _write(objects: Objects, prefix: str, summary: dict[str, Any], folder: Path) -> dict[str, int]:
    """Write all files apart, then give them their names; how many lines each has."""
    apart = folder / f"{_APART}{uuid.uuid4().hex}"
    apart.mkdir()
    try:
        (apart / "copy").mkdir()
        copy = LocalCopy(objects, f"{prefix}/", is_read_here, apart / "copy")
        contents: dict[str, Iterable[bytes]] = {
            "results.jsonl": merge(copy, result_keys(copy, prefix)),
            "unreadable.jsonl": GivenNames(objects).in_lines(unreadable(copy, prefix)),
            "failed.jsonl": kept(copy, prefix, "failed"),
            "revisions.jsonl": kept(copy, prefix, "revisions"),
        }
        lines = {name: _write_lines(apart / name, content) for name, content in contents.items()}
        _write_lines(apart / _SUMMARY, [json.dumps(summary, indent=2).encode()])
        # The summary first: whatever happens next, it says whose results lie here.
        replace_with(apart / _SUMMARY, folder / _SUMMARY)
        for name in _NAMES:
            if lines[name] or name == "unreadable.jsonl":
                replace_with(apart / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(apart, ignore_errors=True)
    return lines


def _write_lines(path: Path, lines: Iterable[bytes]) -> int:
    count = 0
    with path.open("wb") as file:
        for line in lines:
            file.write(line.rstrip(b"\n") + b"\n")
            count += 1
    return count


def _link_latest(folder: Path) -> None:
    link = folder.parent / LATEST
    if link.exists() and not link.is_symlink():
        return
    apart = folder.parent / f".kalmap-{uuid.uuid4().hex}"
    # A convenience: there are file systems without links.
    with contextlib.suppress(OSError):
        apart.symlink_to(folder.name, target_is_directory=True)
        apart.replace(link)


def _check_can_be_made(folder: Path) -> None:
    """Raise an OSError where a directory can be neither made nor written to."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a directory")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} is write-protected")


def _holder(folder: Path) -> str | None:
    """The batch whose results a folder holds; empty where it is not known, None without any."""
    if not any(os.path.lexists(folder / name) for name in (_SUMMARY, *_NAMES, *_EARLIER)):
        return None
    try:
        summary = json.loads((folder / _SUMMARY).read_bytes())
    except (OSError, ValueError):
        return ""
    found = summary.get("batch_id") if isinstance(summary, dict) else None
    return found if isinstance(found, str) else ""
