"""The table of answered requests in DynamoDB, in the form of Powertools' idempotency records.

The key is `id`: "v1#" and the SHA-256 of the claim's key. Powertools makes the claim, compares the
body's digest, stores the answer, and releases the claim after an error. DynamoDB deletes a record
after its `expiration`.
"""

import base64
import gzip
from collections.abc import Callable
from typing import Any, NamedTuple

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)

from kalmap.store.ports import AnswerClaim, AnswerPending, OtherRequest

_ANSWER_SECONDS = 24 * 3600


class _TimeLeft(NamedTuple):
    """The part of a Lambda's context that Powertools reads."""

    seconds: float

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds after which the claim of a lost request ends."""
        return int(1000 * self.seconds)


class DynamoDBAnswerStore:
    """Answers in a DynamoDB table; `kalmap.store.ports.AnswerStore` describes the method.

    Args:
        table: The table's name.
    """

    def __init__(self, table: str) -> None:
        self._table = DynamoDBPersistenceLayer(table_name=table)

    def answer_once(self, claim: AnswerClaim, compute: Callable[[], bytes]) -> bytes:
        """Return the answer that is stored for a claim's key, or compute and store it."""
        config = IdempotencyConfig(
            event_key_jmespath="key",
            payload_validation_jmespath="payload",
            hash_function="sha256",
            expires_after_seconds=_ANSWER_SECONDS,
            lambda_context=_TimeLeft(claim.seconds),  # type: ignore[arg-type]
        )

        @idempotent_function(  # type: ignore[untyped-decorator]
            data_keyword_argument="record",
            persistence_store=self._table,
            config=config,
            key_prefix="v1",
        )
        def packed_answer(record: dict[str, str]) -> dict[str, str]:  # noqa: ARG001 - for the decorator
            return _pack(compute())

        try:
            packed = packed_answer(record={"key": claim.key, "payload": claim.payload_digest})
        except IdempotencyValidationError as error:
            raise OtherRequest from error
        except IdempotencyAlreadyInProgressError as error:
            raise AnswerPending from error
        except IdempotencyPersistenceLayerError as error:
            cause = error.__cause__
            raise cause if isinstance(cause, Exception) else error from error
        return _unpack(packed)


def _pack(answer: bytes) -> dict[str, str]:
    # An item has at most 400 KB. 500 results have 170 KB, and a fifth of that when compressed.
    return {"packed": base64.b64encode(gzip.compress(answer, 5, mtime=0)).decode()}


def _unpack(packed: dict[str, Any]) -> bytes:
    return gzip.decompress(base64.b64decode(packed["packed"]))
