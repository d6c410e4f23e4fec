"""A day of a stack in CloudWatch: batches and requests that the real handlers have answered.

Each kind of batch and request runs once, on the local cloud's table. What the handlers emit of it
is then repeated over the day, as often as the day has such a batch. What AWS itself publishes of
it follows from how it ended.
"""

import io
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import pytest

from kalmap_handlers import clients
from tests.support.api_function import Api
from tests.support.cloudwatch import CloudWatch, Metric, Sample, samples
from tests.support.dynamodb_faults import THROTTLED, Injector, SlowTable
from tests.support.moto_engine import Engine
from tests.support.statemachine_batches import batch, other_writer

MINUTE, HOUR, DAY = 60, 3600, 86_400
#: Starting a container of the API, and the gateway's own part of a request, in seconds.
_COLD_START, _GATEWAY = 3.0, 0.02


class Recording(NamedTuple):
    """What a batch or a request has emitted."""

    samples: list[Sample]
    """Their times are in seconds from its start."""
    seconds: float
    failed: bool


def record(run: Callable[[], bool]) -> Recording:
    """Run something, and keep what it emits.

    Args:
        run: Returns whether it has failed.
    """
    out = io.StringIO()
    with redirect_stdout(out):
        # The time of a sample is that of its line, in whole milliseconds.
        start = int(1000 * time.time()) / 1000
        failed = run()
        seconds = time.time() - start
    found = samples(out.getvalue().splitlines())
    return Recording([one._replace(time=one.time - start) for one in found], seconds, failed)


def weighings(users: int, start: int, days: int) -> list[dict[str, Any]]:
    """Readings of so many users on so many days of a month."""
    return [
        {
            "user_id": f"user-{user}",
            "timestamp": f"2026-03-{day:02d}T07:00:00Z",
            "value": 60.0 + user % 40 + 0.1 * (day % 3),
        }
        for day in range(start, start + days)
        for user in range(users)
    ]


def record_batches(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, largest: int
) -> dict[str, Recording]:
    """Record each kind of batch.

    Args:
        engine: Runs them.
        monkeypatch: Sets their environment.
        largest: Readings of the largest.
    """

    def run(name: str, users: int, start: int, days: int) -> Recording:
        source = engine.put(f"in/{name}.jsonl", weighings(users, start, days))
        return record(lambda: engine.run(batch(source))["status"] != "SUCCEEDED")

    moved = []

    def conflict(function: str, event: dict[str, Any], number: int) -> None:
        if function == "WriteFunction" and not moved:
            moved.append(True)
            other_writer(engine, [f"user-{user}" for user in range(8)])

    recorded = {"small": run("small", 20, 1, 3)}
    engine.fault = conflict
    recorded["in conflict"] = run("conflict", 20, 4, 4)
    engine.fault = None
    recorded["medium"] = run("medium", 300, 8, 5)
    # Most of a poisoned upload cannot be read, and the gate stays closed.
    poisoned = engine.put("in/poisoned.csv", b"user_id,timestamp,value\n" + 40 * b"u-1,,heavy\n")
    recorded["poisoned"] = record(lambda: engine.run(batch(poisoned))["status"] != "SUCCEEDED")
    # A table that is new, or has been idle, and less time for a try than its requests take.
    with monkeypatch.context() as patch:
        engine.milliseconds = 1000
        patch.setenv("RETRY_CAP_SECONDS", "0.2")
        for name, operation, day in (
            ("writes refused", "BatchExecuteStatement", 13),
            ("reads refused", "BatchGetItem", 14),
        ):
            with SlowTable(clients.state_store()._table._client, operation, 100):
                recorded[name] = run(name, 240, day, 1)
        engine.milliseconds = 300_000
    monkeypatch.setenv("READINGS_PER_SHARD", "50000")
    recorded["large"] = run("large", largest // 12, 15, 12)
    return recorded


def record_requests(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recording]:
    """Record each kind of request to the API."""
    api = Api(monkeypatch, BATCH_TIMEOUT_SECONDS="1")
    from kalmap_handlers.http.container import dynamodb

    def post(count: int, day: int) -> Recording:
        return record(lambda: api.post(weighings(count, day, 1)).status >= 500)

    recorded = {"new users": post(50, 1), "known users": post(50, 2), "one user": post(1, 3)}
    recorded["empty"] = record(lambda: api.call("POST", "/measurements", {}).status >= 500)
    with SlowTable(dynamodb(), "BatchExecuteStatement", 90):
        recorded["throttled"] = post(50, 4)
    api.cold_start()
    with SlowTable(dynamodb(), "BatchExecuteStatement", 0.1, first=10):
        recorded["timed out"] = post(50, 5)
    api.cold_start()
    with Injector(dynamodb(), 1, {THROTTLED: 1.0}):
        recorded["refused"] = post(1, 6)
    return recorded


class Day:
    """Samples of a day, as they are put together.

    Args:
        stack: The stack's name.
    """

    def __init__(self, stack: str) -> None:
        self._stack = stack
        self._samples: list[Sample] = []
        for period in range(0, DAY, 5 * MINUTE):
            self._add(self._queue(), period, 0)

    def batch(
        self,
        recording: Recording,
        at: float,
        *,
        seconds: float | None = None,
        timed_out: bool = False,
    ) -> None:
        """Let a batch begin at a second of the day; it takes `seconds`, or as long as it took."""
        stretched = (seconds or recording.seconds) / recording.seconds
        self._repeat(recording, at, stretched)
        machine = frozenset({("StateMachineArn", f"{self._stack}/FilterBatchStateMachine")})
        end = at + recording.seconds * stretched
        failed = recording.failed and not timed_out
        self._add(("AWS/States", "ExecutionsFailed", machine), end, failed)
        self._add(("AWS/States", "ExecutionsTimedOut", machine), end, timed_out)

    def refused_batch(self, recording: Recording, at: float, seconds: float) -> None:
        """Let the table refuse a batch's requests for so long, and the batch end after that.

        A worker whose time ends tells of it, and another goes on: some five at a time, for five
        minutes each.
        """
        refused = [one for one in recording.samples if one.metric[1] == "Throttles" and one.value]
        for number in range(int(seconds / MINUTE)):
            one = refused[number % len(refused)]
            self._tell(one._replace(time=at + number * MINUTE))
        self.batch(recording, at + seconds)

    def request(self, recording: Recording, at: float, *, cold: bool = False) -> None:
        """Let a request to the API be answered, also by a container that has to start first."""
        self._repeat(recording, at, 1.0)
        latency = recording.seconds + _GATEWAY + (_COLD_START if cold else 0)
        gateway = frozenset({("ApiName", self._stack), ("Stage", "v1")})
        self._add(("AWS/ApiGateway", "Latency", gateway), at, 1000 * latency)
        self._add(("AWS/ApiGateway", "5XXError", gateway), at, recording.failed)

    def undelivered(self, start: float, end: float) -> None:
        """Let an event lie in the dead-letter queue."""
        for period in range(int(start), int(end), 5 * MINUTE):
            self._add(self._queue(), period, 1)

    def changed(
        self, name: str, start: float, end: float, change: Callable[[float], float]
    ) -> None:
        """Change the values of a metric of the API within a span of the day."""
        self._samples = [
            one._replace(value=change(one.value))
            if one.metric[1] == name and start <= one.time < end
            else one
            for one in self._samples
        ]

    def cloudwatch(self) -> CloudWatch:
        """The day's samples."""
        return CloudWatch(self._samples, DAY)

    def _queue(self) -> Metric:
        name = frozenset({("QueueName", f"{self._stack}/DeadLetterQueue.QueueName")})
        return "AWS/SQS", "ApproximateNumberOfMessagesVisible", name

    def _repeat(self, recording: Recording, at: float, stretched: float) -> None:
        for one in recording.samples:
            self._tell(one._replace(time=at + one.time * stretched))

    def _tell(self, sample: Sample) -> None:
        """Add what a function has emitted, and what the table publishes of it."""
        self._samples.append(sample)
        step = dict(sample.metric[2])["step"]
        if sample.metric[1] == "Throttles" and sample.value:
            name = "ReadThrottleEvents" if step == "load" else "WriteThrottleEvents"
            table = frozenset({("TableName", f"{self._stack}/StatesTable")})
            self._add(("AWS/DynamoDB", name, table), sample.time, sample.value)

    def _add(self, metric: Metric, time: float, value: float) -> None:
        self._samples.append(Sample(metric, time, float(value), "None"))


def requests_every(
    day: Day, kinds: Iterable[Recording], seconds: float, start: float = 0, end: float = DAY
) -> None:
    """Let requests of some kinds come in turn, one in so many seconds."""
    turn = list(kinds)
    for number in range(int((end - start) / seconds)):
        day.request(turn[number % len(turn)], start + number * seconds)


def ordinary_day(stack: str, batches: dict[str, Recording], requests: dict[str, Recording]) -> Day:
    """A day without trouble: small batches, a nightly one, and requests, few of which are odd."""
    day = Day(stack)
    for hour in range(24):
        day.batch(batches["small"], hour * HOUR + 7 * MINUTE)
        if 7 <= hour < 20:
            day.batch(batches["medium"], hour * HOUR + 31 * MINUTE)
    day.batch(batches["in conflict"], 9.2 * HOUR)
    day.batch(batches["large"], 2.5 * HOUR, seconds=20 * MINUTE)
    usual = [requests["known users"]] * 8 + [requests["one user"]] * 10 + [requests["new users"]]
    requests_every(day, usual, 40, 6 * HOUR, 22 * HOUR)
    requests_every(day, [requests["one user"]], 13 * MINUTE)
    requests_every(day, [requests["empty"]], 47 * MINUTE)
    # At night a single request starts a container; one more is refused and one is not finished.
    day.request(requests["one user"], 3.3 * HOUR, cold=True)
    day.request(requests["refused"], 4.1 * HOUR)
    day.request(requests["timed out"], 5.2 * HOUR)
    return day
