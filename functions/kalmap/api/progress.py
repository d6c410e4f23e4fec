"""The progress of a running batch, from the files that its steps have put into its folder."""

from kalmap.api.wire import Progress
from kalmap.batch.folder import Folder


def progress(folder: Folder) -> Progress:
    """Find the phase that a batch is in, and how many of its parts have finished the phase.

    The batch continues while the folder is read, so the counts may be a little too low.
    """
    if folder.objects.find(folder.key("plan.json")) is None:
        return Progress("planning", 0, 0, 0)
    round_ = folder.rounds() - 1
    if round_ < 0 or folder.objects.find(folder.key(f"round-{round_}/shards.json")) is None:
        chunks = folder.cut().chunks
        # Each chunk has two files there: its slices and their report.
        names = [name for name in _names(folder, "partitions/") if name.endswith(".report")]
        return Progress("partitioning", 0, min(len(names), chunks), chunks)
    total = len(folder.shards(round_))
    for phase, prefix in (
        ("writing", "writes/write-"),
        ("filtering", "reports/filter-"),
        ("loading", "reports/load-"),
    ):
        names = _names(folder, f"round-{round_}/{prefix}")
        # A phase begins after all shards have finished the phase before it.
        if names or phase == "loading":
            if phase == "writing" and len(names) >= total:
                return Progress("completing", round_, total, total)
            return Progress(phase, round_, len(names), total)
    raise AssertionError("unreachable")


def _names(folder: Folder, prefix: str) -> list[str]:
    return list(folder.objects.keys(folder.key(prefix)))
