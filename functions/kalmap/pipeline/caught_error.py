"""The error that a Catch of the state machine has caught, as a name and a sentence."""

from collections.abc import Mapping
from typing import Any

import msgspec

from kalmap import errors


def describe_error(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the sentence of an error.

    Args:
        error: The Catch's `Error` and `Cause`. A Lambda's cause is JSON with errorType and
            errorMessage; others are text.
    """
    name, cause = str(error.get("Error", "")), str(error.get("Cause", ""))
    try:
        failure = msgspec.json.decode(cause)
    except msgspec.DecodeError:
        failure = None
    if not isinstance(failure, dict):
        # States.Timeout has no cause.
        # What AWS says ends without a full stop now and then.
        sentence = cause if cause.endswith((".", "!", "?")) else f"{cause}."
        return name, sentence if cause else f"A step failed with {name}, and gave no cause."
    message = str(failure.get("errorMessage") or cause)
    kind = str(failure.get("errorType") or name)
    if kind == "Runtime.HandlerError":  # the local cloud's name for any exception
        return kind, message
    if not issubclass(getattr(errors, kind, Exception), errors.KalmapError):
        message = f"A step failed with {kind}: {message.rstrip('.')}."
    return kind, message
