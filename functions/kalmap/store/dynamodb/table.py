"""Calls to a DynamoDB table, repeated while their failure is passing, and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import ChecksumError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from kalmap.errors import StoreRefused, StoreUnavailable
from kalmap.store.backoff import Retry

#: Codes of a whole answer, or of one statement or action in it, that ask for less at a time.
THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingError",
        "ThrottlingException",
    }
)
#: Codes that ask for nothing but another try. Nobody knows whether such a write was made.
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


#: What a whole answer has at least. botocore gives bytes that are no JSON as an answer without.
_PART_OF_ANSWER = {
    "batch_execute_statement": "Responses",
    "batch_get_item": "Responses",
    "batch_write_item": "UnprocessedItems",
    "scan": "Items",
}


class DynamoDB(Protocol):
    """What the store uses of a boto3 DynamoDB client."""

    def batch_get_item(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def batch_execute_statement(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def batch_write_item(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def transact_write_items(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def get_item(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102
    def scan(self, *args: Any, **request: Any) -> Any: ...  # noqa: D102


@dataclass(slots=True)
class DatabaseUse:
    """What an operation cost the database; sums with +."""

    requests: int = 0
    """Calls made, repeated ones included."""
    read_units: float = 0.0
    write_units: float = 0.0
    throttles: int = 0
    """Calls that the table turned away, wholly or in part, for lack of capacity."""
    retries: int = 0
    """Calls that repeated another, or asked for what another had left."""

    def __add__(self, other: "DatabaseUse") -> "DatabaseUse":
        return DatabaseUse(
            self.requests + other.requests,
            self.read_units + other.read_units,
            self.write_units + other.write_units,
            self.throttles + other.throttles,
            self.retries + other.retries,
        )


def client_config(*, parallelism: int = 8, timeout: float = 5.0) -> Config:
    """The options of a client that leaves retries to `RetryPolicy`.

    Args:
        parallelism: Requests in flight at a time; each needs a connection of its own.
        timeout: Seconds to wait for an answer. A deadline must leave at least these, since a
            call that is under way is not broken off.
    """
    return Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=min(timeout, 2.0),
        read_timeout=timeout,
        max_pool_connections=max(10, parallelism),
        tcp_keepalive=True,
        # A quarter of the processor time of a write. DynamoDB checks requests anyway.
        parameter_validation=False,
    )


class Table:
    """A table and the client to reach it with.

    The client should not retry by itself (see `client_config`), so that each call's policy is
    the only one and every throttle is counted.
    """

    def __init__(self, client: DynamoDB, name: str) -> None:
        self._client = client
        self.name = name

    def call(self, operation: str, retry: Retry, use: DatabaseUse, **request: Any) -> Any:
        """Makes one call, again and again while the failure of the whole is passing.

        A write that failed so may have been made: its sender must recognise it.

        Args:
            operation: A method of the client.
            retry: The tries that are left, shared by all calls of an operation.
            use: Is added to.
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

    def unavailable(self, said: str) -> StoreUnavailable:
        """The error to raise once the retries or the time ended, with the last answer."""
        return StoreUnavailable(
            f"The state table {self.name} did not do its work within the retries and the time"
            f" allowed; its last answer: {_sentence(said)}"
        )


def units(answer: Mapping[str, Any], otherwise: float) -> float:
    """Capacity units that an answer reports, or `otherwise` where it reports none."""
    consumed = answer.get("ConsumedCapacity")
    return sum(float(part["CapacityUnits"]) for part in consumed) if consumed else otherwise


def _sentence(said: object) -> str:
    return f"{str(said).rstrip('.')}."
