"""Delete old executions and logs, as AWS does. The local cloud never does."""

from datetime import datetime, timedelta
from typing import Any

#: AWS keeps the history of an ended execution as long.
_EXECUTION_AGE = timedelta(days=90)
#: For log groups without a retention of their own.
_LOG_AGE = timedelta(days=30)


def delete_old_history(stepfunctions: Any, cloudwatch_logs: Any, now: datetime) -> None:
    """Delete ended executions, their Map Runs, and logs that have reached their age.

    Args:
        stepfunctions: ministack's module of that name.
        cloudwatch_logs: ministack's module of that name.
        now: The time, aware.
    """
    for store in (stepfunctions._executions, stepfunctions._map_runs):  # noqa: SLF001
        for key, run in tuple(store._data.items()):  # noqa: SLF001
            ended = run.get("stopDate")
            if ended and now - datetime.fromisoformat(ended) > _EXECUTION_AGE:
                del store._data[key]  # noqa: SLF001
    for group in cloudwatch_logs._log_groups._data.values():  # noqa: SLF001
        days = group["retentionInDays"]
        oldest = now - (timedelta(days=days) if days else _LOG_AGE)
        for name, stream in tuple(group["streams"].items()):
            events = stream["events"]
            if events and events[-1]["timestamp"] < oldest.timestamp() * 1000:
                del group["streams"][name]
