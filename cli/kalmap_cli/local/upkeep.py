"""What the local cloud may hold while it runs: workers, logs, and what is known of executions.

The emulator starts a worker for every call that finds none free, and forgets nothing. Served for
days on a laptop, that is every core's memory several times over, and a log without an end.
"""

import asyncio
import operator
import threading
import time
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, lambda_svc, stepfunctions

#: Newest invocations whose logs are kept in each log group, and newest executions of which every
#: step is known. Of older ones there are input, output, times and status.
MAX_INVOCATIONS = 1000
MAX_EXECUTIONS = 20
#: Newest values of a metric, and newest events, that are kept.
MAX_POINTS = 1000
MAX_EVENTS = 100

_TIDY_EVERY = 5.0
#: Until a waiting call looks again by itself, since a worker that died is released by nobody.
_LOOK_AGAIN = 0.2


def limit_workers(most: int) -> None:
    """Let a function have so many workers at most; a call that finds none free waits for one.

    A call waits no longer than its function may run. Then it is throttled, as on AWS.
    """
    acquire, release = lambda_svc.acquire_worker, lambda_svc.release_worker
    free = threading.Condition()

    def acquire_in_turn(name: str, config: dict[str, Any], *given: Any, **more: Any) -> Any:
        patience = time.monotonic() + float(config.get("Timeout", 30))
        with free:
            while True:
                worker, how = acquire(name, config, *given, **more)
                if worker is not None or time.monotonic() > patience:
                    return worker, how
                free.wait(_LOOK_AGAIN)

    def release_and_tell(worker: Any) -> None:
        release(worker)
        with free:
            free.notify_all()

    lambda_runtime._LOCAL_MAX_WORKERS = most  # noqa: SLF001 - the version is pinned exactly
    lambda_svc.acquire_worker, lambda_svc.release_worker = acquire_in_turn, release_and_tell


def end_idle_workers(most: float) -> None:
    """End workers that have been idle for `most` seconds, for as long as we live.

    A batch goes from one function to the next, so that most of them would be kept for nothing, at
    50 MB each.
    """
    idle_since: dict[int, float] = {}
    while True:
        time.sleep(most / 4)
        _end_idle_workers(most, idle_since)


async def trim_regularly() -> None:
    """Forget what nobody asks for any more, again and again.

    On the emulator's own loop, where nothing else is looking at it meanwhile.
    """
    while True:
        await asyncio.sleep(_TIDY_EVERY)
        trim_logs(cloudwatch_logs._log_groups._data)  # noqa: SLF001
        trim_executions(stepfunctions._executions._data, stepfunctions._map_runs._data)  # noqa: SLF001
        # Alarms look at the newest; nothing ever looks at the events.
        keep_newest(MAX_POINTS, cloudwatch._metrics._data.values())  # noqa: SLF001
        keep_newest(MAX_EVENTS, eventbridge._events_log._data.values())  # noqa: SLF001


def _end_idle_workers(most: float, idle_since: dict[int, float]) -> None:
    now = time.monotonic()
    ended = []
    with lambda_runtime._lock:  # noqa: SLF001
        for workers in lambda_runtime._workers.values():  # noqa: SLF001
            for worker in tuple(workers):
                if worker.in_use:
                    idle_since.pop(id(worker), None)
                elif now - idle_since.setdefault(id(worker), now) >= most:
                    workers.remove(worker)
                    idle_since.pop(id(worker))
                    ended.append(worker)
    lambda_runtime.kill_workers(ended)


def keep_newest(most: int, lists: Iterable[list[Any]]) -> None:
    """Shorten lists, each in order of time, to their newest entries."""
    for entries in tuple(lists):
        del entries[:-most]


def trim_logs(groups: Mapping[Any, Any]) -> None:
    """Keep the newest logs. Each invocation's is a stream, and they stand in order of time."""
    for group in tuple(groups.values()):
        for name in tuple(group["streams"])[:-MAX_INVOCATIONS]:
            del group["streams"][name]


def trim_executions(executions: MutableMapping[Any, Any], runs: MutableMapping[Any, Any]) -> None:
    """Forget the Maps' children, and most of the history, of all but the newest executions."""
    known = tuple(executions.values())
    ended = [each for each in known if "mapRunArn" not in each and each["stopDate"]]
    old = sorted(ended, key=operator.itemgetter("stopDate"))[:-MAX_EXECUTIONS]
    for execution in old:
        # The first event says what it was started with, the last one how it ended.
        del execution["events"][1:-1]
    arns = {execution["executionArn"] for execution in old}
    gone = {run["mapRunArn"] for run in runs.values() if run["executionArn"] in arns}
    for place, each in tuple(executions.items()):
        if each.get("mapRunArn") in gone:
            del executions[place]
    for place, run in tuple(runs.items()):
        if run["mapRunArn"] in gone:
            del runs[place]
