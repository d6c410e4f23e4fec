"""The commit gate: whether what a round computed may be written, and whether it was."""

from kalmap.batch.identity import Limits
from kalmap.results.totals import Totals

#: Below this many readings the share of unusable ones says too little to stop a batch.
_UNUSABLE_FROM = 100
_UNUSABLE = ("unreadable/", "rejected/out_of_range", "rejected/in_future")


def closed_gate(totals: Totals, limits: Limits) -> str | None:
    """Why round 0 must not be committed, in a sentence; None where it may."""
    chunks = [failure for failure in totals.failures if failure.step == "partition"]
    if chunks:
        return (
            f"{len(chunks)} chunk(s) of the input could not be read, and their readings may be "
            f"older than others' of the same users. {chunks[0].error}"
        )
    shards = [failure for failure in totals.failures if failure.step == "filter"]
    if len(shards) > limits.failed_shards * totals.shards:
        return (
            f"{len(shards)} of {totals.shards} shards failed, more than the limit of "
            f"{limits.failed_shards:.0%}. {shards[0].error}"
        )
    if totals.users and totals.failed_users >= totals.users and not shards:
        return _nobody(totals)
    unusable = sum(n for name, n in totals.readings.items() if name.startswith(_UNUSABLE))
    if totals.records >= _UNUSABLE_FROM and unusable > limits.unusable * totals.records:
        return (
            f"{unusable:,} of {totals.records:,} readings are unreadable, out of range or in the "
            f"future, more than the limit of {limits.unusable:.0%}. The unreadable file and the "
            "results say which; check unit, columns and clock, or raise `limits.unusable`."
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
    return f"All {totals.users:,} users failed ({names}), so there is nothing to commit.{advice}"


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
        f"{shards} of {totals.first_shards} shards could not be committed, more than the limit of "
        f"{limits.failed_shards:.0%}. {failures[0].error} Start the same batch again: what was "
        "written counts once."
    )
