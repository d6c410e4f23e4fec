"""Calls to a DynamoDB table, repeated after failures that pass, and what they cost."""

from collections.abc import Mapping
from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import ChecksumError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from kalmap.errors import StoreRefused, StoreUnavailable
from kalmap.store.backoff import Retry
from kalmap.store.ports import DatabaseUse

#: Codes of a whole answer, or of one statement or action in it: the table asks for less at a time.
THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingError",
        "ThrottlingException",
    }
)
#: Codes after which the same request is sent again. It is unknown whether such a write was made.
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


#: A field that every complete answer has. botocore turns bytes that are not JSON into an answer
#: without it.
_PART_OF_ANSWER = {
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
    """The options of a client that leaves retries to `RetryPolicy`.

    Args:
        parallelism: Requests in flight at a time; each needs a connection of its own.
        timeout: Seconds to wait for an answer. A deadline must leave at least this much time,
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
        """Make one call, and repeat it while it fails as a whole for a reason that passes.

        A write that failed in this way may have been made; its sender must recognise it.

        Args:
            operation: A method of the client.
            retry: The tries that are left, shared by all calls of an operation.
            use: The cost is added to it.
            request: The call's parameters.

        Returns:
            The answer, in which parts may still have failed.

        Raises:
            StoreUnavailable: The retries or the time ended.
            StoreRefused: The call was refused for good.
            ClientError: A transaction was cancelled.
        """
        if retry.expired:
            raise StoreUnavailable(f"The state table {self.name} was not asked: no time was left.")
        while True:
            use.requests += 1
            try:
                answer = getattr(self._client, operation)(**request)
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
                if _PART_OF_ANSWER.get(operation, "ResponseMetadata") in answer:
                    return answer
                cause = ResponseParserError("An answer that is not DynamoDB's.")
            if not retry.pause():
                raise self.unavailable(str(cause)) from cause
            use.retries += 1

    def unavailable(self, last_answer: str) -> StoreUnavailable:
        """The error for retries or time that ended, with the last answer."""
        return StoreUnavailable(
            f"The state table {self.name} did not do its work within the retries and the time"
            f" allowed; its last answer: {_sentence(last_answer)}"
        )


def capacity_units(answer: Mapping[str, Any], otherwise: float) -> float:
    """Capacity units that an answer reports, or `otherwise` if it reports none."""
    consumed = answer.get("ConsumedCapacity")
    return sum(float(part["CapacityUnits"]) for part in consumed) if consumed else otherwise


def _sentence(text: object) -> str:
    return f"{str(text).rstrip('.')}."
