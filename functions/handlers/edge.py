"""The edge: settings from the environment, clients made once, every step measured and logged."""

import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

from handlers.settings import read_retry
from kalmap.batch.folder import Folder, Shard
from kalmap.batch.identity import Pointer
from kalmap.results.report import Report
from kalmap.store.dynamodb.batches import DynamoDBBatchStore
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.dynamodb.table import client_config
from kalmap.store.objects import Objects
from kalmap.store.ports import BatchStore, StateStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Event = dict[str, Any]
Handler = Callable[[Event, "LambdaContext"], dict[str, Any]]

# Both take the stack's name from POWERTOOLS_SERVICE_NAME.
logger = Logger()
metrics = Metrics(namespace="kalmap")

#: Left of a Lambda's time for a call that is under way, and for the report.
_RESERVE_SECONDS = 10.0
_IN_FLIGHT = Config(max_pool_connections=16, retries={"mode": "standard", "max_attempts": 5})


@cache
def bucket(name: str) -> Objects:
    """A bucket by its name."""
    return Objects(_s3(), name)


def work_bucket() -> Objects:
    """The bucket that the batches' folders lie in."""
    return bucket(os.environ["WORK_BUCKET"])


@cache
def store() -> StateStore:
    """The table of states."""
    client = boto3.client("dynamodb", config=client_config())
    return DynamoDBStateStore(client, os.environ["STATES_TABLE"], retry=read_retry(os.environ))


@cache
def batch_records() -> BatchStore:
    """The table of batches."""
    client = boto3.client("dynamodb", config=_IN_FLIGHT)
    return DynamoDBBatchStore(client, os.environ["BATCHES_TABLE"])


@cache
def _s3() -> Any:
    return boto3.client("s3", config=_IN_FLIGHT)


def is_running(execution: str) -> bool:
    """Whether the execution of an ARN is running."""
    states = _states()
    try:
        return bool(states.describe_execution(executionArn=execution)["status"] == "RUNNING")
    except states.exceptions.ExecutionDoesNotExist:
        return False


@cache
def _states() -> Any:
    return boto3.client("stepfunctions", config=_IN_FLIGHT)


def now() -> datetime:
    """The time, for records of what happened; no decision about a reading looks at it."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Task:
    """What a Map's child, or a single step, was invoked with."""

    event: Event
    folder: Folder
    round: int
    deadline: float
    """On the monotonic clock: when to stop and report."""

    @property
    def shard(self) -> Shard:
        """The Map item, where it is a shard."""
        return msgspec.convert(self.event["shard"], Shard)


def step(name: str) -> Callable[[Callable[[Task], Any]], Handler]:
    """Make a Lambda handler of a step: decode, measure, keep its report, log, encode.

    The step gives a Report, which is kept and answered by an empty object, so that payloads
    stay small; or its answer, and a report of its costs is kept.

    Args:
        name: The step's name in reports.
    """

    def decorate(run: Callable[[Task], Any]) -> Handler:
        @logger.inject_lambda_context
        @metrics.log_metrics
        def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:
            started = time.time()
            task = _task(event, context)
            objects = task.folder.objects
            gets, puts = objects.gets, objects.puts
            answer = run(task)
            report = answer if isinstance(answer, Report) else Report(step=name, round=task.round)
            report.started, report.ended = started, time.time()
            report.gets, report.puts = objects.gets - gets, objects.puts - puts + 1
            report.memory_mb = peak_memory_mb()
            report.configured_mb = int(context.memory_limit_in_mb)
            task.folder.save_report(report)
            _observe(report)
            return {} if answer is report else encode(answer)

        return handler

    return decorate


def peak_memory_mb() -> float:
    """The most memory this process has held at a time."""
    # Unlike getrusage's figure, this one forgets the process that started this one.
    return _memory_mb("VmHWM")


def resident_mb() -> float:
    """Memory that the process holds now; where that cannot be read, what it held at most."""
    return _memory_mb("VmRSS")


def _memory_mb(field: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            [kilobytes] = [line.split()[1] for line in status if line.startswith(field)]
        return int(kilobytes) / 1024
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes


def encode(answer: Any) -> dict[str, Any]:
    """An answer as a JSON object."""
    if hasattr(answer, "_asdict"):
        answer = answer._asdict()
    return dict(msgspec.to_builtins(answer))


def _task(event: Mapping[str, Any], context: "LambdaContext") -> Task:
    pointer = msgspec.convert(event["batch"], Pointer)
    left = context.get_remaining_time_in_millis() / 1000
    return Task(
        event=dict(event),
        folder=Folder.of(bucket(pointer.bucket), pointer),
        round=int(event.get("round", 0)),
        deadline=time.monotonic() + max(left - _RESERVE_SECONDS, left / 2),
    )


def _observe(report: Report) -> None:
    """Log and count what a step did. Neither user ids nor values belong here."""
    logger.info(
        "step done",
        step=report.step,
        round=report.round,
        shard=report.shard,
        seconds=round(report.ended - report.started, 3),
        readings=sum(report.readings.values()),
        users=report.users,
        failed=report.error is not None,
    )
    metrics.add_dimension("step", report.step)
    metrics.add_metric("Duration", MetricUnit.Seconds, report.ended - report.started)
    metrics.add_metric("Memory", MetricUnit.Megabytes, report.memory_mb)
    if report.readings:
        metrics.add_metric("Readings", MetricUnit.Count, sum(report.readings.values()))
    if report.database.requests:
        metrics.add_metric("DatabaseRequests", MetricUnit.Count, report.database.requests)
        metrics.add_metric("Throttles", MetricUnit.Count, report.database.throttles)
    if report.conflicts:
        metrics.add_metric("Conflicts", MetricUnit.Count, len(report.conflicts))
