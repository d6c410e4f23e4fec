"""Batches as reports see them, made of figures: no cloud, and nothing drawn at random twice."""

from datetime import UTC, datetime

import numpy as np

from kalmap.profile import builtin_profile
from kalmap.store.ports import BatchRecord
from kalmap_cli.reporting.batch_view import BatchView, Count
from kalmap_cli.reporting.calibration import calibration_of
from kalmap_cli.reporting.estimates import nothing_known
from kalmap_cli.reporting.execution_view import ExecutionView, Visit
from kalmap_cli.reporting.people import People
from kalmap_cli.reporting.sample import Sample
from kalmap_cli.reporting.timeline import Task, arrange
from tests.support.template import definition

BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
ATTACK = "<script>alert('u')</script>"
DECISIONS = [("accepted", None), ("rejected", "outlier")]


def sample(users: list[str], readings: int, scatter: float = 1.0) -> Sample:
    """Readings of users, a day apart, whose innovations scatter so many times too far."""
    total = len(users) * readings
    innovation = scatter * np.random.default_rng(1).normal(size=total)
    day = np.tile(np.arange(readings), len(users))
    return Sample(
        users=users,
        user=np.repeat(np.arange(len(users), dtype=np.int32), readings),
        position=np.arange(total),
        time=np.datetime64(BEGAN.replace(tzinfo=None), "us") + day * np.timedelta64(1, "D"),
        decision=(day == 3).astype(np.uint8),
        decisions=DECISIONS,
        restarted=day == 5,
        numbers={
            "value": 80.0 + innovation, "level": np.full(total, 80.0), "level_sd": np.ones(total),
            "innovation": innovation,
            "nis": innovation**2, "quality": np.full(total, 0.9),
        },
        shards=[0],
        all_shards=1,
        one_user_in=1,
    )  # fmt: skip


def people(drawn: Sample) -> People:
    count = len(drawn.users)
    ones = np.ones(count, np.int64)
    return People(
        drawn.users, 9 * ones, ones, ones, 0.9 * ones, 0.5 * ones,
        nothing_known(count)._replace(
            level=80.0 * ones, level_sd=0.4 * ones, slope=0.2 * ones, slope_sd=0.05 * ones
        ),
    )  # fmt: skip


def executed(*states: str, status: str = "SUCCEEDED") -> ExecutionView:
    visits = [
        Visit(state, float(n), n + 0.5, 0, "", is_map=False) for n, state in enumerate(states)
    ]
    return ExecutionView(status, visits, definition())


def view(users: list[str], reason: str | None = None) -> BatchView:
    drawn = sample(users, 9)
    record = BatchRecord(
        batch_id="ab" * 16, status="FAILED" if reason else "SUCCEEDED", reason=reason,
        started_at="2026-03-01T08:00:00Z", execution="run-1", prefix="batches/ab/run-1",
    )  # fmt: skip
    return BatchView(
        record,
        reason or "",
        {"readings": {"received": 9}, "users": {"total": 1}, "hints": [f"A hint about {ATTACK}."]},
        builtin_profile("body-weight"),
        executed("IdentifyBatch", "ClaimBatch"),
        arrange([Task("filter", 0, 3, 1.0, 2.0, 7, f"It failed for {ATTACK}.")]),
        drawn,
        people(drawn),
        calibration_of(drawn),
        [Count(ATTACK, "accepted", None, 8), Count(ATTACK, "rejected", "outlier", 1)],
        [Count("2026-03-01", "accepted", None, 8), Count("2026-03-04", "rejected", "outlier", 1)],
        "",
    )
