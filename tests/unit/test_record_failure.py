"""The log of RecordFailure has the error that failed the batch, whatever follows."""

import io
import logging
from types import SimpleNamespace

import pytest

from kalmap_handlers.steps import record_failure as step
from kalmap_handlers.telemetry import logger

CONTEXT = SimpleNamespace(
    function_name="RecordFailureFunction",
    memory_limit_in_mb=128,
    invoked_function_arn="arn",
    aws_request_id="request",
)


def test_the_error_of_a_batch_is_logged_although_its_failure_cannot_be_recorded(monkeypatch):
    def fail(*_arguments):
        raise ConnectionError

    monkeypatch.setattr(step, "batch_store", lambda: None)
    monkeypatch.setattr(step, "record_failure", fail)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        with pytest.raises(ConnectionError):
            step.handler({"state": {"error": {"Error": "States.Timeout"}}}, CONTEXT)
    finally:
        logger.removeHandler(handler)
    assert "batch failed" in stream.getvalue()
