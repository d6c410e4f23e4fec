"""Logs and metrics of a function, and the clock for them and for records."""

from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics

# Both take the stack's name from POWERTOOLS_SERVICE_NAME.
logger = Logger()
metrics = Metrics(namespace="kalmap")


def now() -> datetime:
    """Wall-clock time for logs and records; never used to judge a reading."""
    return datetime.now(UTC)
