import boto3
import pytest

from kalmap.store.objects import Objects
from tests.support.dynamodb import endpoint, new_client, new_table


@pytest.fixture(scope="session")
def client():
    return new_client()


@pytest.fixture
def table(client):
    return new_table(client)


@pytest.fixture(scope="session")
def bucket():
    s3 = boto3.client("s3", endpoint_url=endpoint())
    s3.create_bucket(Bucket="online")
    return Objects(s3, "online")
