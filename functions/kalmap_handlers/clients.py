"""AWS clients and stores of a function, made once per container from its environment."""

import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from kalmap.store.dynamodb.batches import DynamoDBBatchStore
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.dynamodb.table import client_config
from kalmap.store.objects import Objects
from kalmap.store.ports import AnswerStore, BatchStore, StateStore
from kalmap_handlers.settings import read_retry

_CONFIG = Config(max_pool_connections=16, retries={"mode": "standard", "max_attempts": 5})


@cache
def bucket(name: str) -> Objects:
    """The bucket with a name."""
    return Objects(_s3(), name)


def work_bucket() -> Objects:
    """The bucket of the batches' folders."""
    return bucket(os.environ["WORK_BUCKET"])


@cache
def state_store() -> StateStore:
    """The table of states."""
    client = boto3.client("dynamodb", config=client_config())
    return DynamoDBStateStore(client, os.environ["STATES_TABLE"], retry=read_retry(os.environ))


@cache
def batch_store() -> BatchStore:
    """The table of batches."""
    client = boto3.client("dynamodb", config=_CONFIG)
    return DynamoDBBatchStore(client, os.environ["BATCHES_TABLE"])


@cache
def answer_store() -> AnswerStore:
    """The table of answered requests."""
    # The import takes 0.1 s, and most containers need no answer store.
    from kalmap.store.dynamodb.answers import DynamoDBAnswerStore  # noqa: PLC0415

    return DynamoDBAnswerStore(os.environ["IDEMPOTENCY_TABLE"])


@cache
def _s3() -> Any:
    return boto3.client("s3", config=_CONFIG)


def is_running(execution: str) -> bool:
    """Whether the execution with an ARN is running."""
    client = step_functions()
    try:
        return bool(client.describe_execution(executionArn=execution)["status"] == "RUNNING")
    except client.exceptions.ExecutionDoesNotExist:
        return False


@cache
def step_functions() -> Any:
    """The client of Step Functions."""
    return boto3.client("stepfunctions", config=_CONFIG)
