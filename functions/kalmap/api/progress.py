"""The progress of a running batch, from the files that its steps have put into its folder."""

from kalmap.api.schemas import Phase, Progress
from kalmap.batch.folder import Folder
from kalmap.results.report import StepName


def progress(folder: Folder) -> Progress:
    """Find the phase that a batch is in, and how many of its parts have finished the phase.

    The batch continues while the folder is read, so the counts may be a little too low.
    """
    if not folder.has_plan():
        return Progress("planning", 0, 0, 0)
    round_ = folder.rounds() - 1
    if round_ < 0 or not folder.has_shards(round_):
        chunks = folder.plan_counts().chunks
        return Progress("partitioning", 0, min(len(folder.partition_report_keys()), chunks), chunks)
    total = len(folder.shards(round_))
    phases: tuple[tuple[Phase, StepName], ...]
    phases = (("writing", "write"), ("filtering", "filter"), ("loading", "load"))
    for phase, step in phases:
        finished = len(folder.report_keys(round_, step))
        # A phase begins after all shards have finished the phase before it.
        if finished or phase == "loading":
            if phase == "writing" and finished >= total:
                return Progress("completing", round_, total, total)
            return Progress(phase, round_, finished, total)
    raise AssertionError("unreachable")
