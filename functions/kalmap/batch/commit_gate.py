"""The commit gate: whether what a round computed may be written, and whether it was."""

from collections.abc import Sequence
from itertools import groupby

from kalmap.batch.identity import Limits
from kalmap.results.lines import Unreadable
from kalmap.results.totals import Totals
from kalmap.wording import START_AGAIN, counted

#: Of fewer readings a share says little: as many may be unusable as of these.
_FEW = 20
_WHICH = "The results say which."
_UNUSABLE = ("unreadable/", "rejected/out_of_range", "rejected/in_future")


def closed_gate(totals: Totals, limits: Limits, examples: Sequence[Unreadable] = ()) -> str | None:
    """Why round 0 must not be committed, in a sentence; None where it may.

    Args:
        totals: Of the round.
        limits: The batch's limits.
        examples: Some records that could not be read, to be named with what is wrong with them.
    """
    chunks = [failure for failure in totals.failures if failure.step == "partition"]
    if chunks:
        return (
            f"{counted(len(chunks), 'chunk')} of the input, whose readings may be older than "
            f"others' of the same users, could not be read. {chunks[0].error}"
        )
    shards = [failure for failure in totals.failures if failure.step == "filter"]
    if len(shards) > limits.failed_shards * totals.shards:
        return (
            f"{len(shards)} of {counted(totals.shards, 'shard')} failed, more than the limit of "
            f"{limits.failed_shards:.0%}. {shards[0].error}"
        )
    if totals.users and totals.failed_users >= totals.users and not shards:
        return _nobody(totals)
    counts = {name: n for name, n in totals.readings.items() if n and name.startswith(_UNUSABLE)}
    unusable = sum(counts.values())
    most = sorted(counts.items(), key=lambda count: -count[1])
    reasons = ", ".join(f"{name.partition('/')[2]} {n:,}" for name, n in most)
    shown = " ".join(
        f"{file}, " + " ".join(f"line {one.line}: {one.detail}" for one in some)
        for file, some in groupby(examples, key=lambda one: one.file)
    )
    unreadable = sum(n for name, n in counts.items() if name.startswith("unreadable/"))
    if unreadable == totals.records and unreadable and limits.unusable < 1.0:
        return f"Nothing could be read ({reasons}). {shown}".rstrip()
    if unusable > limits.unusable * max(totals.records, _FEW):
        return (
            f"{unusable:,} of {counted(totals.records, 'reading')} are unreadable, out of range or "
            f"in the future ({reasons}), more than the limit of {limits.unusable:.0%}. "
            f"{shown or _WHICH} Check unit, columns and clock, or raise `limits.unusable`."
        )
    return None


def _nobody(totals: Totals) -> str:
    reasons = [name for name in totals.readings if name.startswith("failed/")]
    names = ", ".join(sorted(name.removeprefix("failed/") for name in reasons))
    advice = ""
    if "failed/profile_changed" in reasons:
        advice = (
            " The states were stored under this name by another version of the profile: to go on "
            "from them, run with `adopt_profile`; to begin anew, give the profile another name."
        )
    return f"{_all_users(totals.users)} failed ({names}), so there is nothing to commit.{advice}"


def _all_users(count: int) -> str:
    return "The only user" if count == 1 else f"All {count:,} users"


def failed_commit(totals: Totals, limits: Limits) -> str | None:
    """Why a batch whose gate was open has failed all the same; None where it has not.

    Args:
        totals: Of all rounds.
        limits: The batch's limits; the share of shards counts here, too.
    """
    failures = [f for f in totals.failures if f.step == "write" or f.round > 0]
    shards = len({failure.number for failure in failures})
    if shards <= limits.failed_shards * totals.first_shards:
        return None
    return (
        f"{shards} of {counted(totals.first_shards, 'shard')} could not be committed, more than "
        f"the limit of {limits.failed_shards:.0%}. {failures[0].error} {START_AGAIN}"
    )
