"""The frame of every step: decode the event, measure the work, save a report, encode the output."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from aws_lambda_powertools.metrics import MetricUnit

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.identity import Pointer
from kalmap.errors import StoreUnavailable
from kalmap.moments import parse_moment
from kalmap.outcome import Status
from kalmap.results.report import Report, StepName
from kalmap_handlers.clients import bucket
from kalmap_handlers.deadline import seconds_for_work
from kalmap_handlers.memory import peak_memory_mb
from kalmap_handlers.telemetry import log_failure, logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Event = dict[str, Any]
Handler = Callable[[Event, "LambdaContext"], dict[str, Any]]

#: Seconds of an invocation that are left for a call that has begun, and for the report.
_RESERVE_SECONDS = 10.0
#: Counts the calls of this process.
_calls = itertools.count(1)
#: Metrics of the readings without an estimate, by what was decided.
_ERRORS = {
    "RejectedReadings": Status.REJECTED,
    "UnreadableReadings": Status.UNREADABLE,
    "FailedReadings": Status.FAILED,
}


@dataclass(frozen=True)
class Task:
    """The decoded event of a step."""

    event: Event
    folder: Folder
    round: int
    deadline: float
    """When to stop and report, on the monotonic clock."""

    @property
    def shard(self) -> Shard:
        """The Map's item as a shard."""
        return msgspec.convert(self.event["shard"], Shard)


def step(name: StepName) -> Callable[[Callable[[Task], Any]], Handler]:
    """Make a Lambda handler of a step: decode, measure, save its report, log, encode.

    If the step returns a Report, the output is an empty object, so that payloads stay small. If it
    returns anything else, that is the output, and a report of its costs is saved.

    Args:
        name: The step's name in reports.
    """

    def decorate(run: Callable[[Task], Any]) -> Handler:
        @logger.inject_lambda_context
        @metrics.log_metrics
        def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:
            started, cpu, call = time.time(), time.process_time(), next(_calls)
            allowed = context.get_remaining_time_in_millis() / 1000
            task = _task(event, context)
            _name_log_lines(name, task)
            objects = task.folder.objects
            gets, puts = objects.gets, objects.puts
            try:
                output = run(task)
            except Exception as error:
                log_failure("step failed", error)
                if isinstance(error, StoreUnavailable):
                    # No report tells of a try that the table has not let finish.
                    metrics.add_dimension("step", name)
                    metrics.add_metric("Throttles", MetricUnit.Count, 1)
                raise
            report = output if isinstance(output, Report) else Report(step=name, round=task.round)
            report.started, report.ended = started, time.time()
            report.cpu_seconds = time.process_time() - cpu
            report.allowed_seconds = allowed
            report.lost_tries, report.lost_seconds = _lost(event, started, allowed)
            report.gets, report.puts = objects.gets - gets, objects.puts - puts + 1
            report.memory_mb = peak_memory_mb()
            report.configured_mb = int(context.memory_limit_in_mb)
            report.call = call
            task.folder.save_report(report)
            _observe(report)
            return {} if output is report else encode(output)

        return handler

    return decorate


def encode(output: Any) -> dict[str, Any]:
    """Encode a step's output as a JSON object."""
    if hasattr(output, "_asdict"):
        output = output._asdict()
    return dict(msgspec.to_builtins(output))


def _task(event: Mapping[str, Any], context: "LambdaContext") -> Task:
    pointer = msgspec.convert(event["batch"], Pointer)
    return Task(
        event=dict(event),
        folder=Folder.of(bucket(pointer.bucket), pointer),
        round=int(event.get("round", 0)),
        deadline=time.monotonic() + seconds_for_work(context, _RESERVE_SECONDS),
    )


def _lost(event: Event, started: float, allowed: float) -> tuple[int, float]:
    """How many tries were lost before this one, and the seconds that they took at most."""
    tries = int(event.get("tries", 0))
    if not tries:
        return 0, 0.0
    since = started - parse_moment(event["entered"]).timestamp()
    return tries, max(0.0, min(since, tries * allowed))


def _name_log_lines(name: StepName, task: Task) -> None:
    """Let every line of this invocation's log say which batch, attempt, step and shard it is of."""
    batch, item = task.event["batch"], task.event.get("shard") or task.event.get("chunk") or {}
    logger.thread_safe_append_keys(
        batch=batch["batch_id"],
        attempt=batch["attempt"],
        step=name,
        round=task.round,
        shard=item.get("shard", item.get("chunk", 0)),
    )


def _observe(report: Report) -> None:
    """Log a step and publish its metrics, without user ids and values."""
    logger.info(
        "step done",
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
        for name, status in _ERRORS.items():
            number = sum(report.readings.of_status(status).values())
            metrics.add_metric(name, MetricUnit.Count, number)
    if report.database.requests:
        metrics.add_metric("DatabaseRequests", MetricUnit.Count, report.database.requests)
        metrics.add_metric("Throttles", MetricUnit.Count, report.database.throttles)
    if report.conflicts:
        metrics.add_metric("Conflicts", MetricUnit.Count, len(report.conflicts))
