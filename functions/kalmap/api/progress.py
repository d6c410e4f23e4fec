"""How far a running batch is, seen from what its steps have put into its folder."""

from kalmap.api.wire import Progress
from kalmap.batch.folder import Folder


def progress(folder: Folder) -> Progress:
    """The phase a batch is in, and how many of its parts are through.

    Between two looks at the folder the batch goes on, so that the counts may lag behind.
    """
    if folder.objects.find(folder.key("plan.json")) is None:
        return Progress("planning", 0, 0, 0)
    round_ = folder.rounds() - 1
    if round_ < 0 or folder.objects.find(folder.key(f"round-{round_}/shards.json")) is None:
        chunks = folder.cut().chunks
        # Of each chunk its slices, and the report that says where they lie.
        names = [name for name in _names(folder, "partitions/") if name.endswith(".report")]
        return Progress("partitioning", 0, min(len(names), chunks), chunks)
    total = len(folder.shards(round_))
    for phase, place in (
        ("writing", "writes/write-"),
        ("filtering", "reports/filter-"),
        ("loading", "reports/load-"),
    ):
        names = _names(folder, f"round-{round_}/{place}")
        # Every phase begins when the one before it has ended, for all shards.
        if names or phase == "loading":
            if phase == "writing" and len(names) >= total:
                return Progress("completing", round_, total, total)
            return Progress(phase, round_, len(names), total)
    raise AssertionError("unreachable")


def _names(folder: Folder, place: str) -> list[str]:
    return list(folder.objects.keys(folder.key(place)))
