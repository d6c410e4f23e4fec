"""What AWS forgets by itself, and the local cloud would keep for ever: old executions and logs."""

from datetime import datetime, timedelta
from typing import Any

#: As long as AWS keeps the history of an execution that has ended.
_EXECUTIONS = timedelta(days=90)
#: Of log groups that say nothing else.
_LOGS = timedelta(days=30)


def forget_old(stepfunctions: Any, cloudwatch_logs: Any, now: datetime) -> None:
    """Forget ended executions, their Map Runs, and logs that are older than they are kept.

    Args:
        stepfunctions: ministack's module of that name, as are its stores.
        cloudwatch_logs: likewise.
        now: the time, aware.
    """
    for store in (stepfunctions._executions, stepfunctions._map_runs):  # noqa: SLF001
        for key, run in tuple(store._data.items()):  # noqa: SLF001
            ended = run.get("stopDate")
            if ended and now - datetime.fromisoformat(ended) > _EXECUTIONS:
                del store._data[key]  # noqa: SLF001
    for group in cloudwatch_logs._log_groups._data.values():  # noqa: SLF001
        days = group["retentionInDays"]
        oldest = now - (timedelta(days=days) if days else _LOGS)
        for name, stream in tuple(group["streams"].items()):
            events = stream["events"]
            if events and events[-1]["timestamp"] < oldest.timestamp() * 1000:
                del group["streams"][name]
