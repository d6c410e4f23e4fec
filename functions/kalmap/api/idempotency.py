"""The header Idempotency-Key: the same request gets the same answer for 24 hours."""

import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple

from kalmap.errors import Contradiction, InvalidInput
from kalmap.store.ports import AnswerClaim, AnswerPending, AnswerStore, OtherRequest

_MAX_KEY_BYTES = 128
#: The form of an idempotency key.
KEY = re.compile(rf"[!-~]{{1,{_MAX_KEY_BYTES}}}")


class KeyedRequest(NamedTuple):
    """A request that carries an idempotency key."""

    caller: str
    """A key belongs to its caller."""
    key: str
    payload: bytes
    """The body as it was sent."""
    seconds: float
    """Time in which the request is answered or lost."""


class ComputedAnswer(NamedTuple):
    """An answer in JSON, and whether a repetition of the request may get the same one."""

    payload: bytes
    final: bool
    """False if readings failed. They may be sent again under the same key."""


class _NotFinal(Exception):
    """Carries an answer that is not final past the store, which would keep it."""

    def __init__(self, payload: bytes) -> None:
        super().__init__()
        self.payload = payload


def answer_once(
    request: KeyedRequest, answers: AnswerStore, compute: Callable[[], ComputedAnswer]
) -> bytes:
    """Return the stored answer to a request, or compute it, and store it if it is final.

    Raises:
        InvalidInput: The key is not one that a request may have.
        Contradiction: The key was used with another body, or its request is being answered now.
    """
    if not KEY.fullmatch(request.key):
        raise InvalidInput(
            f"The header Idempotency-Key must be 1 to {_MAX_KEY_BYTES} printable ASCII characters "
            "without spaces."
        )
    claim = AnswerClaim(
        key=f"{request.caller}\n{request.key}",
        payload_digest=hashlib.sha256(request.payload).hexdigest(),
        seconds=request.seconds,
    )

    def compute_final() -> bytes:
        answer = compute()
        if not answer.final:
            raise _NotFinal(answer.payload)
        return answer.payload

    try:
        return answers.answer_once(claim, compute_final)
    except _NotFinal as answer:
        return answer.payload
    except OtherRequest as error:
        raise Contradiction(
            "The Idempotency-Key was used before with another body. Use a new key."
        ) from error
    except AnswerPending as error:
        raise Contradiction(
            "A request with this Idempotency-Key is being answered right now. Send it again later."
        ) from error
