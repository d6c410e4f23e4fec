"""The table of batches: who claimed what, and how it ended."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from kalmap.moments import iso

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


#: What every record that is listed has under `listed`, so that one index holds them by time.
_LISTED = "batches"
_PAGE = 1000


class Last(msgspec.Struct, array_like=True, frozen=True):
    """Where a page of records ended."""

    started_at: str
    batch_id: str

    def key(self) -> dict[str, Any]:
        """The record's keys, in the table and in the index."""
        return {
            "listed": {"S": _LISTED},
            "started_at": {"S": self.started_at},
            "batch_id": {"S": self.batch_id},
        }


class BatchRecords:
    """Records of batches, keyed by `batch_id`; ClaimBatch puts them, the last step ends them."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def finish(
        self,
        batch_id: str,
        attempt: str,
        status: str,
        reason: str | None,
        summary_key: str,
        summary: Mapping[str, Any],
        finished: datetime,
    ) -> bool:
        """Mark a batch as ended, if this attempt still holds the claim."""
        readings, users = summary["readings"], summary["users"]
        return self._mark(
            batch_id,
            attempt,
            {
                "status": {"S": status},
                "reason": {"S": reason} if reason else {"NULL": True},
                "summary": {"S": summary_key},
                "finished_at": {"S": iso(finished)},
                "received": {"N": str(readings["received"])},
                "accepted": {"N": str(readings["accepted"])},
                "users": {"N": str(users["total"])},
                "changed": {"N": str(users["changed"])},
            },
        )

    def release(self, attempt: str, reason: str, finished: datetime) -> list[str]:
        """Mark failed whatever an execution that was stopped, aborted or timed out holds.

        Returns:
            The ids of the batches released.
        """
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
        """Mark a batch failed, if this attempt holds it and has not ended it."""
        fields = {
            "status": {"S": "FAILED"},
            "reason": {"S": reason},
            "finished_at": {"S": iso(finished)},
        }
        return self._mark(batch_id, attempt, fields, only="RUNNING")

    def get(self, batch_id: str) -> dict[str, Any] | None:
        """A batch's record."""
        answer = self._client.get_item(
            TableName=self._table, Key={"batch_id": {"S": batch_id}}, ConsistentRead=True
        )
        return dict(answer["Item"]) if "Item" in answer else None

    def page(
        self, limit: int, after: Last | None = None
    ) -> tuple[list[dict[str, Any]], Last | None]:
        """Some records, the newest first.

        One that has just begun may come a moment later. Records from before there was the index
        are not in it; by their id they are found.

        Args:
            limit: Records at most.
            after: The last one of the page before.

        Returns:
            The records, and what to ask for the next page with; None on the last one.
        """
        start: Any = {} if after is None else {"ExclusiveStartKey": after.key()}
        answer = self._client.query(
            TableName=self._table,
            IndexName="by-start",
            KeyConditionExpression="#listed = :all",
            ExpressionAttributeNames={"#listed": "listed"},
            ExpressionAttributeValues={":all": {"S": _LISTED}},
            ScanIndexForward=False,
            Limit=limit,
            **start,
        )
        last = answer.get("LastEvaluatedKey")
        more = Last(last["started_at"]["S"], last["batch_id"]["S"]) if last else None
        return list(answer["Items"]), more

    def newest(self) -> Iterator[dict[str, Any]]:
        """All records, the newest first."""
        after = None
        while True:
            records, after = self.page(_PAGE, after)
            yield from records
            if after is None:
                return

    def _mark(
        self,
        batch_id: str,
        attempt: str,
        fields: Mapping[str, Any],
        only: str | None = None,
    ) -> bool:
        condition = "#execution = :execution"
        names = {"#execution": "execution"}
        values: dict[str, Any] = {":execution": {"S": attempt}}
        if only:
            condition += " AND #status = :only"
            names["#status"] = "status"
            values[":only"] = {"S": only}
        for place, (name, value) in enumerate(fields.items()):
            names[f"#f{place}"] = name
            values[f":f{place}"] = value
        sets = ", ".join(f"#f{place} = :f{place}" for place in range(len(fields)))
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
