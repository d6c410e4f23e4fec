"""The table of batches in DynamoDB, and how its items are read.

The key is `batch_id`. The state ClaimBatch puts an item with the fields that `batch_record` reads.
The last step of the batch adds how it ended.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from kalmap.errors import BrokenRecord
from kalmap.moments import iso
from kalmap.store.ports import (
    BatchEnd,
    BatchPosition,
    BatchRecord,
    EndStatus,
    ListedBatch,
    RecordStatus,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


#: The value of `listed` in every item of the list. It makes one index of all batches by time.
_LISTED = "batches"
_PAGE = 1000
_COUNTS = ("received", "accepted", "users", "changed")
_FIELDS = BatchRecord.__struct_fields__
_REQUIRED = tuple(field.name for field in msgspec.structs.fields(BatchRecord) if field.required)


class DynamoDBBatchStore:
    """The records of batches in a DynamoDB table.

    `kalmap.store.ports.BatchStore` describes the methods.

    Args:
        client: A boto3 DynamoDB client.
        table: The table's name.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, batch_id: str) -> BatchRecord | None:
        """Read a batch's record; None if there is none."""
        response = self._client.get_item(
            TableName=self._table, Key={"batch_id": {"S": batch_id}}, ConsistentRead=True
        )
        return batch_record(response["Item"]) if "Item" in response else None

    def page(
        self, limit: int, after: BatchPosition | None = None
    ) -> tuple[list[ListedBatch], BatchPosition | None]:
        """Read one page of the batches, the newest first."""
        start: Any = {} if after is None else {"ExclusiveStartKey": _index_key(after)}
        response = self._client.query(
            TableName=self._table,
            IndexName="by-start",
            KeyConditionExpression="#listed = :all",
            ExpressionAttributeNames={"#listed": "listed"},
            ExpressionAttributeValues={":all": {"S": _LISTED}},
            ScanIndexForward=False,
            Limit=limit,
            **start,
        )
        last = response.get("LastEvaluatedKey")
        position = BatchPosition(last["started_at"]["S"], last["batch_id"]["S"]) if last else None
        return list(map(_listed_batch, response["Items"])), position

    def newest(self) -> Iterator[ListedBatch]:
        """Read all batches, the newest first."""
        after = None
        while True:
            batches, after = self.page(_PAGE, after)
            yield from batches
            if after is None:
                return

    def finish(self, batch_id: str, attempt: str, end: BatchEnd) -> bool:
        """Record how a batch ended, if this attempt still holds it; return whether it does."""
        return self._update(
            batch_id,
            attempt,
            {
                "status": {"S": end.status},
                "reason": {"S": end.reason} if end.reason else {"NULL": True},
                "summary": {"S": end.summary},
                "finished_at": {"S": iso(end.finished_at)},
                **{name: {"N": str(getattr(end, name))} for name in _COUNTS},
            },
        )

    def release(self, attempt: str, reason: str, finished: datetime) -> list[str]:
        """Record every batch as failed that this attempt holds and has not ended."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName="by-execution",
            KeyConditionExpression="#execution = :execution",
            ExpressionAttributeNames={"#execution": "execution"},
            ExpressionAttributeValues={":execution": {"S": attempt}},
        )
        return [
            item["batch_id"]["S"]
            for page in pages
            for item in page["Items"]
            if self.give_up(item["batch_id"]["S"], attempt, reason, finished)
        ]

    def give_up(self, batch_id: str, attempt: str, reason: str, finished: datetime) -> bool:
        """Record a batch as failed, if this attempt holds it and has not ended it."""
        failed: EndStatus = "FAILED"
        fields = {
            "status": {"S": failed},
            "reason": {"S": reason},
            "finished_at": {"S": iso(finished)},
        }
        return self._update(batch_id, attempt, fields, required_status="RUNNING")

    def take_back(self, batch_id: str, attempt: str, reason: str) -> bool:
        """Record a batch that succeeded as failed, if this attempt still holds it."""
        failed: EndStatus = "FAILED"
        fields = {"status": {"S": failed}, "reason": {"S": reason}}
        return self._update(batch_id, attempt, fields, required_status="SUCCEEDED")

    def _update(
        self,
        batch_id: str,
        attempt: str,
        fields: Mapping[str, Any],
        required_status: RecordStatus | None = None,
    ) -> bool:
        """Set fields of a record, if the attempt holds it and it has the required status.

        Returns:
            Whether the fields were set.
        """
        condition = "#execution = :execution"
        names = {"#execution": "execution"}
        values: dict[str, Any] = {":execution": {"S": attempt}}
        if required_status:
            condition += " AND #status = :required"
            names["#status"] = "status"
            values[":required"] = {"S": required_status}
        for number, (name, value) in enumerate(fields.items()):
            names[f"#f{number}"] = name
            values[f":f{number}"] = value
        sets = ", ".join(f"#f{number} = :f{number}" for number in range(len(fields)))
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"batch_id": {"S": batch_id}},
                UpdateExpression=f"SET {sets}",
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def batch_record(item: Mapping[str, Any]) -> BatchRecord:
    """Read a batch's record from its item; absent optional attributes keep their defaults.

    Raises:
        BrokenRecord: The item lacks a field that every batch has.
    """
    values = {name: attribute.get("S") for name, attribute in item.items()}
    values |= {name: int(item[name]["N"]) for name in _COUNTS if "N" in item.get(name, {})}
    fields = {name: value for name, value in values.items() if value is not None}
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise BrokenRecord(
            f"The record of the batch {fields.get('batch_id')} is broken: it has no "
            f"{' and no '.join(missing)}. Delete the record from the table of batches, and start "
            "the batch again."
        )
    return BatchRecord(**{name: fields[name] for name in _FIELDS if name in fields})


def _listed_batch(item: Mapping[str, Any]) -> ListedBatch:
    """Read a batch of the list, whose index requires its id and start. It may be broken."""
    try:
        return batch_record(item)
    except BrokenRecord as error:
        return ListedBatch(
            batch_id=item["batch_id"]["S"],
            status="BROKEN",
            reason=str(error),
            started_at=item["started_at"]["S"],
        )


def _index_key(position: BatchPosition) -> dict[str, Any]:
    """A record's keys, in the table and in the index by time."""
    return {
        "listed": {"S": _LISTED},
        "started_at": {"S": position.started_at},
        "batch_id": {"S": position.batch_id},
    }
