"""Limit what the local cloud holds while it runs: workers, logs and executions.

ministack starts a worker for each call that finds none free, and never deletes anything. Without
limits, a local cloud that runs for days would fill the memory.
"""

import asyncio
import operator
import threading
import time
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, lambda_svc, stepfunctions

from kalmap_cli.local import saves
from kalmap_cli.local.retention import delete_empty_folders, delete_old_history

#: Logs of this many of the newest invocations stay in each log group.
MAX_INVOCATIONS = 1000
#: This many of the newest executions keep their whole history. Older ones keep input, output,
#: times and status.
MAX_EXECUTIONS = 20
#: This many of the newest values of a metric, and of the newest events, stay.
MAX_POINTS = 1000
MAX_EVENTS = 100

_TRIM_INTERVAL = 5.0
#: Seconds between two deletions of history that has reached its age.
_AGE_INTERVAL = 3600.0
#: Seconds after which a waiting call tries again, because a dead worker notifies no one.
_RETRY_INTERVAL = 0.2


def limit_workers(most: int) -> None:
    """Limit the workers of each function. A call that finds none free waits for one.

    A call waits at most as long as its function may run. Then it is throttled, as on AWS.
    """
    acquire, release = lambda_svc.acquire_worker, lambda_svc.release_worker
    free = threading.Condition()

    def acquire_or_wait(name: str, config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        deadline = time.monotonic() + float(config.get("Timeout", 30))
        with free:
            while True:
                worker, detail = acquire(name, config, *args, **kwargs)
                if worker is not None or time.monotonic() > deadline:
                    return worker, detail
                free.wait(_RETRY_INTERVAL)

    def release_and_notify(worker: Any) -> None:
        release(worker)
        with free:
            free.notify_all()

    lambda_runtime._LOCAL_MAX_WORKERS = most  # noqa: SLF001 - the version is pinned exactly
    lambda_svc.acquire_worker, lambda_svc.release_worker = acquire_or_wait, release_and_notify


def end_idle_workers(most: float) -> None:
    """End workers that have been idle for `most` seconds. Never returns.

    A batch uses one function after the other, so most workers are soon useless, at 50 MB each.
    """
    idle_since: dict[int, float] = {}
    while True:
        time.sleep(most / 4)
        _end_idle_workers(most, idle_since)


async def trim_regularly() -> None:
    """Delete old logs, executions, metrics and events every few seconds.

    It runs on ministack's own event loop, so that nothing else uses this data at the same time.
    """
    aged = time.monotonic()
    while True:
        await asyncio.sleep(_TRIM_INTERVAL)
        if time.monotonic() - aged > _AGE_INTERVAL:
            delete_old_history(stepfunctions, cloudwatch_logs, datetime.now(UTC))
            delete_empty_folders(Path(saves.OBJECTS), datetime.now(UTC))
            aged = time.monotonic()
        trim_logs(cloudwatch_logs._log_groups._data)  # noqa: SLF001
        trim_executions(stepfunctions._executions._data, stepfunctions._map_runs._data)  # noqa: SLF001
        # Alarms use only the newest values, and nothing uses the events.
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
    """Delete all but the newest streams. Each invocation has one, and they are in order of time."""
    for group in tuple(groups.values()):
        for name in tuple(group["streams"])[:-MAX_INVOCATIONS]:
            del group["streams"][name]


def trim_executions(executions: MutableMapping[Any, Any], runs: MutableMapping[Any, Any]) -> None:
    """Delete Map children, and most of the history, of all but the newest executions."""
    ended = [
        execution
        for execution in tuple(executions.values())
        if "mapRunArn" not in execution and execution["stopDate"]
    ]
    old = sorted(ended, key=operator.itemgetter("stopDate"))[:-MAX_EXECUTIONS]
    for execution in old:
        # The first event has the input, and the last one has the result.
        del execution["events"][1:-1]
    arns = {execution["executionArn"] for execution in old}
    old_runs = {run["mapRunArn"] for run in runs.values() if run["executionArn"] in arns}
    for key, execution in tuple(executions.items()):
        if execution.get("mapRunArn") in old_runs:
            del executions[key]
    for key, run in tuple(runs.items()):
        if run["mapRunArn"] in old_runs:
            del runs[key]
