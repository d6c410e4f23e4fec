"""Some of a batch's results: those of a user, or of a status."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from kalmap.batch.folder import Folder
from kalmap.keys import results_file
from kalmap.records.shards import shard_of
from kalmap.results.merge import merge, result_keys
from kalmap.results.selection import Selection, read_labels
from kalmap.store.objects import Objects
from kalmap_cli.errors import RunFailed, WrongUsage
from kalmap_cli.local_copy import LocalCopy
from kalmap_cli.output_files import STDOUT, open_output
from kalmap_cli.results_files import RESULTS, WRITERS
from kalmap_cli.results_folder import batch_in


def write_selected(
    objects: Objects,
    prefix: str,
    out: Path,
    selection: Selection,
    format_: str,
    *,
    replace: bool = False,
) -> int | None:
    """Write some of a batch's results to stdout, or as the only file into a directory.

    Args:
        objects: The work bucket.
        prefix: The prefix of the batch's objects.
        out: The directory; `-` for stdout.
        selection: Which results.
        format_: Their format.
        replace: Whether they may replace results in the directory.

    Returns:
        How many there are; None if the batch has no results. A batch that was stopped has them if
        it may have written states.

    Raises:
        WrongUsage: The directory has results, which a part of them must not replace.
        RunFailed: The results could not be written.
    """
    folder = Folder(objects, prefix)
    if not folder.has_plan() or (folder.summary() is None and not folder.has_totals()):
        return None
    file = STDOUT if out == STDOUT else _file_in(out, format_, replace=replace)
    shards = folder.plan_counts().shards
    own = None if selection.user is None else shard_of(selection.user, shards)
    with tempfile.TemporaryDirectory(prefix="kalmap-") as temporary:
        copy = LocalCopy(objects, f"{prefix}/", lambda key: _holds(key, own), Path(temporary))
        lines = merge(copy, result_keys(copy, prefix))
        with open_output(file) as opened:
            return WRITERS[format_](_selected(lines, selection), opened)


def _holds(key: str, shard: int | None) -> bool:
    """Whether an object holds result lines, and those of a shard if one is named."""
    file = results_file(key)
    return file is not None and shard in {None, file.shard}


def _selected(lines: Iterator[bytes], selection: Selection) -> Iterator[bytes]:
    if selection == Selection():
        return lines
    return (line for line in lines if selection.takes(read_labels(line)))


def _file_in(out: Path, format_: str, *, replace: bool) -> Path:
    if not replace and batch_in(out) is not None:
        raise WrongUsage(
            f"{out} already holds results, which a part of them must not replace. Name another "
            "directory with --out, or leave it out: then the results go to stdout."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailed(f"{out} cannot be created: {error.strerror or error}.") from error
    return out / f"{RESULTS}.{format_}"
