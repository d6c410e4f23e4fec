"""Calls to a DynamoDB table, repeated after temporary failures, and their cost."""

from collections.abc import Mapping
from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import ChecksumError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from kalmap.errors import StoreRefused, StoreUnavailable
from kalmap.store.backoff import Retry
from kalmap.store.ports import DatabaseUse

#: Error codes of a response, or of one statement or action in it: the table needs fewer requests.
THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingError",
        "ThrottlingException",
    }
)
#: Error codes after which the same request is sent again. Such a write may have been made.
TRANSIENT = frozenset(
    {
        "InternalServerError",
        "RequestTimeout",
        "ServiceUnavailable",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


#: A field that every complete response has. botocore turns bytes that are not JSON into a response
#: without it.
_RESPONSE_FIELD = {
    "batch_execute_statement": "Responses",
    "batch_get_item": "Responses",
    "batch_write_item": "UnprocessedItems",
    "query": "Items",
    "scan": "Items",
}


class DynamoDB(Protocol):
    """The methods of a boto3 DynamoDB client that the store calls."""

    def batch_get_item(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def batch_execute_statement(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def batch_write_item(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def transact_write_items(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def get_item(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def query(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def scan(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102


def client_config(*, parallelism: int = 8, timeout: float = 5.0) -> Config:
    """Make the options of a client that leaves retries to `RetryPolicy`.

    Args:
        parallelism: Requests in flight at a time. Each needs its own connection.
        timeout: Seconds to wait for a response. A deadline must leave at least this much time,
            since a call that has begun is not interrupted.
    """
    return Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=min(timeout, 2.0),
        read_timeout=timeout,
        max_pool_connections=max(10, parallelism),
        tcp_keepalive=True,
        # Validation takes a quarter of a write's processor time. DynamoDB checks requests anyway.
        parameter_validation=False,
    )


class Table:
    """A table and its client.

    The client must not retry by itself (see `client_config`). Then each call has one retry policy,
    and every throttle is counted.
    """

    def __init__(self, client: DynamoDB, name: str) -> None:
        self._client = client
        self.name = name

    def call(self, operation: str, retry: Retry, use: DatabaseUse, **request: Any) -> Any:
        """Make one call, and repeat it while it fails as a whole for a temporary reason.

        A write that failed in this way may have been made. Its sender must recognise it.

        Args:
            operation: A method of the client.
            retry: The remaining tries, which all calls of an operation share.
            use: The cost is added to it.
            request: The call's parameters.

        Returns:
            The response. Parts of it may still have failed.

        Raises:
            StoreUnavailable: The retries or the time ended.
            StoreRefused: The table refused the call, and would refuse it again.
            ClientError: A transaction was cancelled.
        """
        if retry.expired:
            raise StoreUnavailable(
                f"No request was sent to the state table {self.name}: no time was left."
            )
        while True:
            use.requests += 1
            began = retry.now()
            try:
                response = getattr(self._client, operation)(**request)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "TransactionCanceledException":
                    raise
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if code not in THROTTLED and code not in TRANSIENT and status < 500:
                    raise StoreRefused(
                        f"The state table {self.name} refused a request: {_sentence(error)}"
                    ) from error
                use.throttles += code in THROTTLED
                cause: Exception = error
            except (
                NoConnectionError,
                HTTPClientError,
                ChecksumError,
                ResponseParserError,
            ) as error:
                cause = error
            else:
                if _RESPONSE_FIELD.get(operation, "ResponseMetadata") in response:
                    return response
                cause = ResponseParserError("The response is not DynamoDB's.")
            finally:
                use.seconds += retry.now() - began
            if not retry.pause():
                raise self.unavailable(str(cause)) from cause
            use.retries += 1

    def unavailable(self, last_response: str) -> StoreUnavailable:
        """Make the error for retries or time that ended, with the last response."""
        return StoreUnavailable(
            f"The state table {self.name} did not do its work within the allowed retries and time."
            f" Its last response: {_sentence(last_response)}"
        )


def capacity_units(response: Mapping[str, Any], default: float) -> float:
    """Capacity units that a response reports, or `default` if it reports none."""
    consumed = response.get("ConsumedCapacity")
    return sum(float(part["CapacityUnits"]) for part in consumed) if consumed else default


def _sentence(text: object) -> str:
    return f"{str(text).rstrip('.')}."
