"""RecordFailure: the end of every top-level Catch."""

from typing import TYPE_CHECKING, Any

import msgspec

from handlers.edge import Event, batch_records, bucket, encode, logger, now
from kalmap.batch.folder import Folder
from kalmap.batch.identity import Pointer
from kalmap.pipeline.complete_batch import Failed, record_failure, sentence_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Write the summary and mark the batch failed, with the reason in a sentence."""
    error, reason = sentence_of(event["state"]["error"])
    logger.warning("batch failed", error=error)
    if "batch" not in event["state"]:  # not even identified: there is no record to mark
        return encode(Failed(error, f"{reason} No state was changed.", None))
    pointer = msgspec.convert(event["state"]["batch"], Pointer)
    folder = Folder.of(bucket(pointer.bucket), pointer)
    return encode(record_failure(folder, batch_records(), error, reason, now()))
