"""The ways to write a group of new states in one request, and to read what became of each.

A 200 is not success: every statement's, action's and item's own outcome is read.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from hashlib import blake2b
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from kalmap.store.backoff import Retry
from kalmap.store.dynamodb.item import Change, StoredState, key, stored_state, values
from kalmap.store.dynamodb.table import THROTTLED, TRANSIENT, DatabaseUse, Table, units


class Verdict(Enum):
    """What an answer says of one change, where it is neither a conflict nor a refusal."""

    WRITTEN = auto()
    THROTTLED = auto()
    AGAIN = auto()
    """Not made, or not known; to be sent again."""
    LOOK_UP = auto()
    """Not made, for a reason that only the item tells."""


#: A verdict, the winner of a conflict, or a sentence why the write was refused for good.
Outcome = Verdict | StoredState | str


class Work(NamedTuple):
    """What the requests of one group of users share."""

    profile: str
    tokens: Mapping[str, int]
    """Version token of each user's write."""
    retry: Retry
    use: DatabaseUse


#: Sends changes in one request and gives each one's outcome, in the same order. Raises
#: StoreUnavailable where the whole request got no answer or was refused.
Send = Callable[[Table, Sequence[Change], Work], list[Outcome]]


def send_statements(table: Table, pending: Sequence[Change], work: Work) -> list[Outcome]:
    """One PartiQL statement per user, each conditional and with an outcome of its own."""
    answer = table.call(
        "batch_execute_statement",
        work.retry,
        work.use,
        Statements=[_statement(table, change, work) for change in pending],
        ReturnConsumedCapacity="TOTAL",
    )
    outcomes = [_outcome(response.get("Error")) for response in answer["Responses"]]
    carried_out = [o for o in outcomes if o not in {Verdict.THROTTLED, Verdict.AGAIN}]
    work.use.write_units += units(answer, len(carried_out))
    return outcomes


def _statement(table: Table, change: Change, work: Work) -> dict[str, Any]:
    sets = values(change, work.tokens[change.user])
    keys = key(change.user, work.profile)
    # Names are quoted throughout: several are reserved words. The reply's item, where
    # the condition fails, comes at no cost.
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


def send_transaction(table: Table, pending: Sequence[Change], work: Work) -> list[Outcome]:
    """One conditional action per user, all carried out or none."""
    actions = [_action(table, change, work) for change in pending]
    # DynamoDB answers a request with a known token without looking further, for ten minutes.
    # The token therefore stands for all that is written: through the version tokens for
    # batch, attempt and round, and for the group's table, keys and bytes.
    name = blake2b(repr(actions).encode(), digest_size=16).hexdigest()
    try:
        answer = table.call(
            "transact_write_items",
            work.retry,
            work.use,
            TransactItems=actions,
            ClientRequestToken=name,
            ReturnConsumedCapacity="TOTAL",
        )
    except ClientError as error:
        # Cancelled work costs what the work would have, and goes unreported.
        work.use.write_units += 2 * len(pending)
        reasons: Any = error.response.get("CancellationReasons", [])
        # Cancelled without a reason of its own: it only shared the transaction.
        return [
            Verdict.AGAIN if reason.get("Code", "None") == "None" else _outcome(reason)
            for reason in reasons
        ]
    work.use.write_units += units(answer, 2 * len(pending))
    return [Verdict.WRITTEN] * len(pending)


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


def send_puts(table: Table, pending: Sequence[Change], work: Work) -> list[Outcome]:
    """One unconditional put per user."""
    items = [
        {**key(change.user, work.profile), **values(change, work.tokens[change.user])}
        for change in pending
    ]
    answer = table.call(
        "batch_write_item",
        work.retry,
        work.use,
        RequestItems={table.name: [{"PutRequest": {"Item": item}} for item in items]},
        ReturnConsumedCapacity="TOTAL",
    )
    unprocessed = answer.get("UnprocessedItems", {}).get(table.name, [])
    left = {put["PutRequest"]["Item"]["user_id"]["S"] for put in unprocessed}
    work.use.write_units += units(answer, len(pending) - len(left))
    return [Verdict.THROTTLED if c.user in left else Verdict.WRITTEN for c in pending]


def _outcome(error: Mapping[str, Any] | None) -> Outcome:
    """Reads one statement's or action's own error."""
    if not error:
        return Verdict.WRITTEN
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
