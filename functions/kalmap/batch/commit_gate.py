"""The commit gate: decides if a round's states may be written, and if enough were written."""

from collections.abc import Sequence
from itertools import groupby

from kalmap.batch.identity import Limits
from kalmap.batch.remedies import START_AGAIN
from kalmap.outcome import Reason, Status
from kalmap.plural import counted
from kalmap.results.totals import Totals
from kalmap.results.unreadable import Unreadable

#: Of fewer readings, a share says little. They may have as many unusable ones as so many readings.
_FEW = 20
_WHICH = "The results say which."
#: Rejected readings that count as unusable, like unreadable ones.
_UNUSABLE = (Reason.OUT_OF_RANGE, Reason.IN_FUTURE)


def closed_gate(totals: Totals, limits: Limits, examples: Sequence[Unreadable] = ()) -> str | None:
    """Judge whether round 0 may be committed.

    Args:
        totals: Of the round.
        limits: The batch's limits.
        examples: Some records that could not be read; the sentence quotes what is wrong with them.

    Returns:
        A sentence that says why the round must not be committed; None if it may be.
    """
    chunks = [failure for failure in totals.failures if failure.step == "partition"]
    if chunks:
        return (
            f"{counted(len(chunks), 'chunk')} of the input could not be read, and its readings may "
            f"be older than others of the same users. {chunks[0].error}"
        )
    shards = [failure for failure in totals.failures if failure.step == "filter"]
    if len(shards) > limits.failed_shards * totals.shards:
        return (
            f"{len(shards)} of {counted(totals.shards, 'shard')} failed, more than the limit of "
            f"{limits.failed_shards:.0%}. {shards[0].error}"
        )
    if totals.users and totals.failed_users >= totals.users and not shards:
        return _all_failed(totals)
    unreadable = totals.readings.of_status(Status.UNREADABLE)
    rejected = totals.readings.of_status(Status.REJECTED)
    counts = unreadable | {reason: rejected[reason] for reason in _UNUSABLE if reason in rejected}
    unusable = sum(counts.values())
    most = sorted(counts.items(), key=lambda count: -count[1])
    reasons = ", ".join(f"{reason.label} {number:,}" for reason, number in most)
    shown = " ".join(
        f"{file}, " + " ".join(f"line {one.line}: {one.detail}" for one in records)
        for file, records in groupby(examples, key=lambda one: one.file)
    )
    if unreadable and sum(unreadable.values()) == totals.records and limits.unusable < 1.0:
        return f"Nothing could be read ({reasons}). {shown}".rstrip()
    if unusable > limits.unusable * max(totals.records, _FEW):
        return (
            f"{unusable:,} of {counted(totals.records, 'reading')} are unreadable, out of range or "
            f"in the future ({reasons}), more than the limit of {limits.unusable:.0%}. "
            f"{shown or _WHICH} Check unit, columns and clock, or raise `limits.unusable`."
        )
    return None


def _all_failed(totals: Totals) -> str:
    reasons = totals.readings.of_status(Status.FAILED)
    names = ", ".join(sorted(str(reason.label) for reason in reasons))
    advice = ""
    if Reason.PROFILE_CHANGED in reasons:
        advice = (
            " The states were stored under this name by another version of the profile: to go on "
            "from them, run with `adopt_profile`; to begin anew, give the profile another name."
        )
    return f"{_all_users(totals.users)} failed ({names}), so there is nothing to commit.{advice}"


def _all_users(count: int) -> str:
    return "The only user" if count == 1 else f"All {count:,} users"


def failed_commit(totals: Totals, limits: Limits) -> str | None:
    """Judge whether a batch whose gate was open has failed at its writes.

    Args:
        totals: Of all rounds.
        limits: The batch's limits; the share of failed shards holds for writes, too.

    Returns:
        A sentence that says why it has failed; None if it has not.
    """
    failures = [f for f in totals.failures if f.step == "write" or f.round > 0]
    shards = len({failure.number for failure in failures})
    if shards <= limits.failed_shards * totals.first_shards:
        return None
    return (
        f"{shards} of {counted(totals.first_shards, 'shard')} could not be committed, more than "
        f"the limit of {limits.failed_shards:.0%}. {failures[0].error} {START_AGAIN}"
    )
