"""The three ways to write a group of new states in one request, and to read each outcome.

Status 200 does not mean success. The outcome of every statement, action and item is read.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from hashlib import blake2b
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from kalmap.store.backoff import Retry
from kalmap.store.dynamodb.item import key, stored_state, values
from kalmap.store.dynamodb.table import THROTTLED, TRANSIENT, Table, capacity_units
from kalmap.store.ports import Change, DatabaseUse, StoredState


class Verdict(Enum):
    """The outcome of a change that is neither in conflict nor refused."""

    STORED = auto()
    THROTTLED = auto()
    AGAIN = auto()
    """Not made, or unknown. It is sent again."""
    LOOK_UP = auto()
    """Not made. The item shows the reason."""


#: A verdict, the state that won a conflict, or a sentence why the table refused the write.
WriteOutcome = Verdict | StoredState | str


class Work(NamedTuple):
    """What all requests for one group of users share."""

    profile: str
    tokens: Mapping[str, int]
    """Version token of each user's write."""
    retry: Retry
    use: DatabaseUse


#: Sends changes in one request and returns each one's outcome, in the same order. Raises
#: StoreUnavailable if the whole request got no answer or was refused.
Send = Callable[[Table, Sequence[Change], Work], list[WriteOutcome]]


def send_statements(table: Table, pending: Sequence[Change], work: Work) -> list[WriteOutcome]:
    """Send one conditional PartiQL statement per user, each with an outcome of its own."""
    response = table.call(
        "batch_execute_statement",
        work.retry,
        work.use,
        Statements=[_statement(table, change, work) for change in pending],
        ReturnConsumedCapacity="TOTAL",
    )
    outcomes = [read_outcome(part.get("Error")) for part in response["Responses"]]
    carried_out = [o for o in outcomes if o not in {Verdict.THROTTLED, Verdict.AGAIN}]
    work.use.write_units += capacity_units(response, len(carried_out))
    return outcomes


def _statement(table: Table, change: Change, work: Work) -> dict[str, Any]:
    sets = values(change, work.tokens[change.user])
    keys = key(change.user, work.profile)
    # All names are quoted, since several are reserved words. If the condition fails, the response
    # has the item, which costs nothing.
    if change.old is None:
        names = ", ".join(f"'{name}': ?" for name in (*keys, *sets))
        text = f'INSERT INTO "{table.name}" VALUE {{{names}}}'
        parameters = [*keys.values(), *sets.values()]
    else:
        assignments = " ".join(f'SET "{name}" = ?' for name in sets)
        conditions = " AND ".join(f'"{name}" = ?' for name in (*keys, "version"))
        text = f'UPDATE "{table.name}" {assignments} WHERE {conditions}'
        version = {"N": str(change.old.version)}
        parameters = [*sets.values(), *keys.values(), version]
    return {
        "Statement": text,
        "Parameters": parameters,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def send_transaction(table: Table, pending: Sequence[Change], work: Work) -> list[WriteOutcome]:
    """Send one conditional action per user. Either all are carried out, or none is."""
    actions = [_action(table, change, work) for change in pending]
    # For ten minutes DynamoDB answers a request with a known token without comparing the rest. The
    # token is therefore a digest of everything that is written: the group's table, keys and bytes,
    # and, by the version tokens, batch, attempt and round.
    request_token = blake2b(repr(actions).encode(), digest_size=16).hexdigest()
    try:
        response = table.call(
            "transact_write_items",
            work.retry,
            work.use,
            TransactItems=actions,
            ClientRequestToken=request_token,
            ReturnConsumedCapacity="TOTAL",
        )
    except ClientError as error:
        # A cancelled transaction costs as much as a complete one, and reports no cost.
        work.use.write_units += 2 * len(pending)
        reasons: Any = error.response.get("CancellationReasons", [])
        # An action without a reason only shared the transaction with a failed one.
        return [
            Verdict.AGAIN if reason.get("Code", "None") == "None" else read_outcome(reason)
            for reason in reasons
        ]
    work.use.write_units += capacity_units(response, 2 * len(pending))
    return [Verdict.STORED] * len(pending)


def _action(table: Table, change: Change, work: Work) -> dict[str, Any]:
    sets = values(change, work.tokens[change.user])
    names = {f"#{name}": name for name in sets}
    parameters: dict[str, Any] = {f":{name}": value for name, value in sets.items()}
    if change.old is None:
        names["#user_id"] = "user_id"
        condition = "attribute_not_exists(#user_id)"
    else:
        parameters[":old"] = {"N": str(change.old.version)}
        condition = "#version = :old"
    update = {
        "TableName": table.name,
        "Key": key(change.user, work.profile),
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in sets),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": parameters,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    return {"Update": update}


def send_puts(table: Table, pending: Sequence[Change], work: Work) -> list[WriteOutcome]:
    """Send one unconditional put per user."""
    items = [
        {**key(change.user, work.profile), **values(change, work.tokens[change.user])}
        for change in pending
    ]
    response = table.call(
        "batch_write_item",
        work.retry,
        work.use,
        RequestItems={table.name: [{"PutRequest": {"Item": item}} for item in items]},
        ReturnConsumedCapacity="TOTAL",
    )
    unprocessed = response.get("UnprocessedItems", {}).get(table.name, [])
    left = {put["PutRequest"]["Item"]["user_id"]["S"] for put in unprocessed}
    work.use.write_units += capacity_units(response, len(pending) - len(left))
    return [Verdict.THROTTLED if c.user in left else Verdict.STORED for c in pending]


def read_outcome(error: Mapping[str, Any] | None) -> WriteOutcome:
    """Read the error of one statement or action: of a write, or of a deletion."""
    if not error:
        return Verdict.STORED
    code = error["Code"]
    if code in THROTTLED:
        return Verdict.THROTTLED
    if code in TRANSIENT:
        return Verdict.AGAIN
    if code == "ConditionalCheckFailed" and error.get("Item"):
        return stored_state(error["Item"])
    if code in {"ConditionalCheckFailed", "DuplicateItem"}:
        return Verdict.LOOK_UP
    return f"The state table refused the write: {code}: {error.get('Message', '')}."
