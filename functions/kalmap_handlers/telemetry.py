"""Logs and metrics of a function, and the clock for them and for records."""

import traceback
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError

# Both take the stack's name from POWERTOOLS_SERVICE_NAME.
logger = Logger()
metrics = Metrics(namespace="kalmap")


def now() -> datetime:
    """Wall-clock time for logs and records; never used to judge a reading."""
    return datetime.now(UTC)


#: Batches of up to so many readings have their seconds in a metric of this name. Names and not
#: a dimension, so that each is one metric.
_SECONDS_BY_SIZE = {
    1_000: "BatchSecondsTo1000",
    100_000: "BatchSecondsTo100000",
    float("inf"): "BatchSecondsOver100000",
}


def observe_batch(readings: int, seconds: float) -> None:
    """Publish a batch's size, and its seconds among batches of that size."""
    metrics.add_metric("BatchReadings", MetricUnit.Count, readings)
    name = next(name for most, name in _SECONDS_BY_SIZE.items() if readings <= most)
    metrics.add_metric(name, MetricUnit.Seconds, seconds)


def log_failure(message: str, error: Exception) -> None:
    """Log an error by its kind, AWS's code and the lines of code.

    What it says is left out, since it may quote readings.
    """
    lines = [
        f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    cause = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    logger.error(message, error=type(error).__name__, cause=cause, places=lines[-6:])
