"""A step's report: what one Lambda did for one shard or chunk, as later steps judge and sum it."""

from typing import Literal

import msgspec

from kalmap.results.tally import Tally
from kalmap.store.ports import DatabaseUse

StepName = Literal[
    "plan", "partition", "plan_shards", "load", "filter", "aggregate", "write", "collect",
    "complete", "fail_shard",
]  # fmt: skip
#: The steps of a round in their order, and the state of the state machine that each is the work of.
STATES: dict[StepName, str] = {
    "plan": "PlanBatch",
    "partition": "PartitionMeasurements",
    "plan_shards": "PlanShards",
    "load": "LoadStates",
    "filter": "FilterUsers",
    "aggregate": "AggregateResults",
    "write": "WriteStates",
    "collect": "CollectWrites",
    "complete": "CompleteBatch",
}
#: The steps that work on one chunk or shard of a Map.
MAP_STEPS: tuple[StepName, ...] = ("partition", "load", "filter", "write")


class Counts(msgspec.Struct, kw_only=True):
    """What reports count and totals sum. Every field can be added."""

    records: int = 0
    """Records received; counted by `partition` only."""
    left_out: int = 0
    """Records of users outside the batch's share; counted by `partition` only."""
    users: int = 0
    new_users: int = 0
    failed_users: int = 0
    written: int = 0
    """Users whose state was written."""
    unknown: int = 0
    """Users whose write may or may not have been made."""
    quality_sum: float = 0.0
    quality_count: int = 0
    database: DatabaseUse = msgspec.field(default_factory=DatabaseUse)
    puts: int = 0
    gets: int = 0
    lost_tries: int = 0
    """Tries before the one that reports: killed, out of time, or not let through by the table."""
    lost_seconds: float = 0.0
    """What they took at most."""


class Report(Counts, kw_only=True):
    """Counts and costs of one step. A step leaves out what it does not know."""

    step: StepName
    round: int = 0
    number: int = 0
    """Number of the shard or, for `partition`, of the chunk; 0 for a step of the whole batch."""
    error: str | None = None
    """The sentence why the step was given up; its shard's readings are then `failed`."""

    notes: list[str] = []
    """Sentences about what was ignored; of `partition` only."""
    readings: Tally = msgspec.field(default_factory=Tally)
    superseded: Tally = msgspec.field(default_factory=Tally)
    """Readings that the shard's filter step has counted and whose results no longer hold."""
    changed: int = 0
    conflicts: list[str] = []
    """Users whose state another batch has changed since it was loaded."""

    started: float = 0.0
    """Seconds since 1970; with `ended`, of one step's work."""
    ended: float = 0.0
    cpu_seconds: float = 0.0
    """Processor time of that work."""
    allowed_seconds: float = 0.0
    """What the function's timeout left for it when it began."""
    largest_user: int = 0
    """Readings of the user with most of them; of `filter` only, like `most_rejected`."""
    most_rejected: int = 0
    """Rejected readings of the user with most of them."""
    memory_mb: float = 0.0
    """The most that the function's process has held, also in calls before this one."""
    configured_mb: int = 0
    call: int = 0
    """Which call of its process this one was, from 1."""
