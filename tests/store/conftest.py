import pytest

from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.states import DynamoDBStateStore
from tests.support.dynamodb import new_client, new_table


@pytest.fixture(scope="session")
def client():
    return new_client()


@pytest.fixture
def table(client):
    return new_table(client)


@pytest.fixture
def impatient():
    """Retries at once, so that no test waits for a pause."""
    return RetryPolicy(base=1e-9, cap=1e-9, attempts=10)


@pytest.fixture
def store(client, table, impatient):
    return DynamoDBStateStore(client, table, retry=impatient, parallelism=2)
