"""The folder of a batch's results. It has the complete results of one batch.

A folder that the user names must have no results, or earlier results of the same batch. If the
user names none, each batch gets a folder of its own in `kalmap-out`, and the link `latest` leads
to it.
"""

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kalmap import units
from kalmap.batch.folder import Folder
from kalmap.errors import KalmapError
from kalmap.keys import SUMMARY
from kalmap.results.merge import is_read_here, lines_of_kind, merge, result_keys, unreadable
from kalmap.store.objects import Objects
from kalmap_cli.errors import RunFailed, WrongUsage
from kalmap_cli.file_names import FileNames
from kalmap_cli.local_copy import LocalCopy
from kalmap_cli.output_files import move_into_place
from kalmap_cli.rejected_lines import RejectedReadings
from kalmap_cli.result_names import OTHERS
from kalmap_cli.results_files import RESULTS, WRITERS, write_lines
from kalmap_cli.screen import SHORT_ID

#: Has a folder for each batch for which the user named none.
DEFAULT = Path("kalmap-out")
LATEST = "latest"

_TEMPORARY = ".kalmap-fetching-"
_NAMES = (*(f"{RESULTS}.{name}" for name in WRITERS), *OTHERS)


class FetchedResults(NamedTuple):
    """The files in the folder; None for a file that does not exist."""

    results: Path | None
    unreadable: Path
    unreadable_lines: int
    rejected: Path | None
    """The readings that were not believed, with file and line."""
    rejected_lines: int
    summary: Path
    failed: Path | None
    """The measurements that failed and can be run again."""
    revisions: Path | None
    """New decisions about earlier readings, caused by late readings of this batch."""
    content: dict[str, Any]
    """The summary's content."""
    unit: str = ""
    """Of the readings, as people write it; empty if it is not known any more."""


def check_results_folder(out: Path | None, batch_id: str | None = None) -> None:
    """Refuse a folder that cannot be written to, or that has the results of another batch.

    Args:
        out: The folder that the user named; None for a folder of the batch's own.
        batch_id: The batch whose results go there; None if the id is not known yet.

    Raises:
        WrongUsage: The sentence says what to do. No folder was created.
    """
    folder = out or DEFAULT
    try:
        _check_can_be_created(folder)
        present_id = batch_in(folder) if out else None
    except OSError as error:
        raise WrongUsage(
            f"The output directory {folder} cannot be written to: {error.strerror or error}. "
            f"Name another one with --out."
        ) from error
    if present_id is not None and present_id != batch_id:
        batch = f"batch {present_id[:SHORT_ID]}" if present_id else "an unknown batch"
        raise WrongUsage(
            f"{folder} already holds the results of {batch}, which are not overwritten. Name "
            f"another directory with --out. Without --out, each batch gets its own in {DEFAULT}."
        )


def folder_of(out: Path | None, batch_id: str) -> Path:
    """The folder of a batch's results."""
    return out or DEFAULT / batch_id[:SHORT_ID]


def fetch_results(
    objects: Objects, prefix: str, out: Path | None, format_: str = "jsonl"
) -> FetchedResults | None:
    """Write a batch's results, unreadable records and summary into its folder.

    They appear together when all are written, and replace earlier files of the same batch.

    Args:
        objects: The work bucket.
        prefix: The prefix of the batch's objects.
        out: The folder; None for one of the batch's own.
        format_: The format of the results. Results in another format stay beside them.

    Returns:
        The files; None if the batch has no summary, and therefore no results.

    Raises:
        RunFailed: The folder cannot be written to, or has the results of another batch.
    """
    summary = Folder(objects, prefix).summary()
    if summary is None:
        return None
    content = FileNames(objects).decode_summary(summary)
    batch_id = str(content["batch_id"])
    folder = folder_of(out, batch_id)
    try:
        with _locked(folder):
            check_results_folder(folder, batch_id)
            # These are from commands that were killed: a running command would have the lock.
            for leftover in folder.glob(f"{_TEMPORARY}*/"):
                shutil.rmtree(leftover, ignore_errors=True)
            lines = _write(objects, prefix, content, folder, format_)
        if out is None:
            _link_latest(folder)
    except WrongUsage as error:
        raise RunFailed(str(error)) from error
    except OSError as error:
        raise RunFailed(
            f"The results could not be written to {folder}: {error.strerror or error}."
        ) from error
    results = f"{RESULTS}.{format_}"
    return FetchedResults(
        results=folder / results if lines[results] else None,
        unreadable=folder / "unreadable.jsonl",
        unreadable_lines=lines["unreadable.jsonl"],
        rejected=folder / "rejected.jsonl" if lines["rejected.jsonl"] else None,
        rejected_lines=lines["rejected.jsonl"],
        summary=folder / SUMMARY,
        failed=folder / "failed.jsonl" if lines["failed.jsonl"] else None,
        revisions=folder / "revisions.jsonl" if lines["revisions.jsonl"] else None,
        content=content,
        unit=_unit(objects, prefix),
    )


def _unit(objects: Objects, prefix: str) -> str:
    try:
        return units.shown(Folder(objects, prefix).batch().profile.unit)
    except (KalmapError, msgspec.ValidationError):
        return ""


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Create the folder if necessary, and lock it. At the end, remove it if it is new and empty."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some file systems have no locks.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
        if is_new:
            with contextlib.suppress(OSError):  # the folder is not empty
                folder.rmdir()


def _write(
    objects: Objects, prefix: str, summary: dict[str, Any], folder: Path, format_: str
) -> dict[str, int]:
    """Write all files into a temporary folder, then move them; returns the lines of each."""
    temporary = folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        (temporary / "copy").mkdir()
        copy = LocalCopy(objects, f"{prefix}/", is_read_here, temporary / "copy")
        results, names = f"{RESULTS}.{format_}", FileNames(objects)
        contents: dict[str, Iterable[bytes]] = {
            "unreadable.jsonl": names.rename_lines(unreadable(copy, prefix)),
            "failed.jsonl": lines_of_kind(copy, prefix, "failed"),
            "revisions.jsonl": lines_of_kind(copy, prefix, "revisions"),
        }
        lines = {name: write_lines(temporary / name, each) for name, each in contents.items()}
        merged = merge(copy, result_keys(copy, prefix))
        with (temporary / "rejected.jsonl").open("wb") as file:
            watcher = RejectedReadings(Folder(objects, prefix), names.name_of, file)
            lines[results] = write_lines(temporary / results, watcher.watch(merged), format_)
            lines["rejected.jsonl"] = watcher.count
        _refuse_worse(folder, summary, lines[results])
        write_lines(temporary / SUMMARY, [json.dumps(summary, indent=2).encode()])
        # The summary first: it names the batch even if this process ends before the next step.
        move_into_place(temporary / SUMMARY, folder / SUMMARY)
        for name in (results, *OTHERS):
            if lines[name] or name == "unreadable.jsonl":
                move_into_place(temporary / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return lines


def _refuse_worse(folder: Path, summary: Mapping[str, Any], lines: int) -> None:
    """Refuse results of which a part is no longer stored, if the folder has earlier ones.

    Raises:
        RunFailed: They would replace better ones.
    """
    received = (summary.get("readings") or {}).get("received") or 0
    has_results = any((folder / f"{RESULTS}.{name}").exists() for name in WRITERS)
    if has_results and lines < received:
        raise RunFailed(
            f"Only {lines:,} of the {received:,} results of batch "
            f"{str(summary['batch_id'])[:SHORT_ID]} are still stored. The files in {folder} stay "
            "as they are. --out names another directory for what is left."
        )


def _link_latest(folder: Path) -> None:
    link = folder.parent / LATEST
    if link.exists() and not link.is_symlink():
        return
    temporary = folder.parent / f".kalmap-{uuid.uuid4().hex}"
    # The link is a convenience, and some file systems have no links.
    with contextlib.suppress(OSError):
        temporary.symlink_to(folder.name, target_is_directory=True)
        temporary.replace(link)


def _check_can_be_created(folder: Path) -> None:
    """Raise an OSError if a directory cannot be created, or cannot be written to."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a directory")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} is write-protected")


def batch_in(folder: Path) -> str | None:
    """The batch whose results a folder has; empty if unknown, None if there are no results."""
    if not any(os.path.lexists(folder / name) for name in (SUMMARY, *_NAMES)):
        return None
    try:
        summary = json.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return ""
    batch_id = summary.get("batch_id") if isinstance(summary, dict) else None
    return batch_id if isinstance(batch_id, str) else ""
