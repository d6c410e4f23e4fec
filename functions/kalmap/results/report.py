"""A step's report: what one Lambda did for one shard, as later steps judge and sum it."""

import msgspec

from kalmap.store.ports import DatabaseUse


class Report(msgspec.Struct, kw_only=True):
    """Counts and costs of one step; steps leave out what they do not know."""

    step: str
    """partition, load, filter, write, or a single step's name."""
    round: int = 0
    shard: int = 0
    """The shard, or for `partition` the chunk."""
    error: str | None = None
    """The sentence why the step was given up; its shard's readings are then `failed`."""

    records: int = 0
    """Records received; of `partition` only."""
    notes: list[str] = []
    """Sentences about what was ignored; of `partition` only."""
    readings: dict[str, int] = {}
    """Readings by "status/reason", such as "rejected/outlier" or "accepted/"."""
    superseded: dict[str, int] = {}
    """Of the readings the same shard's filter step counted, those that no longer hold."""
    users: int = 0
    new_users: int = 0
    failed_users: int = 0
    changed: int = 0
    written: int = 0
    conflicts: list[str] = []
    """Users whose state another batch changed meanwhile."""
    unknown: int = 0
    """Users whose write may or may not have been made."""
    quality_sum: float = 0.0
    quality_count: int = 0

    started: float = 0.0
    """Seconds since 1970; with `ended`, of one step's work."""
    ended: float = 0.0
    memory_mb: float = 0.0
    configured_mb: int = 0
    database: DatabaseUse = msgspec.field(default_factory=DatabaseUse)
    puts: int = 0
    gets: int = 0
