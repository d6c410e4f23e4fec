"""Deleting states: a statement per user, each with an outcome of its own.

A statement that finds no item has nothing to delete. So it is safe to send any of them again.
"""

from collections.abc import Mapping
from typing import Any

from kalmap.errors import StoreUnavailable
from kalmap.store.backoff import Retry
from kalmap.store.dynamodb.item import key
from kalmap.store.dynamodb.table import Table, capacity_units
from kalmap.store.dynamodb.write_modes import Verdict, read_outcome
from kalmap.store.ports import DatabaseUse, DeleteResult, StoredState


def delete_group(
    table: Table, profile: str, states: Mapping[str, StoredState | None], retry: Retry
) -> DeleteResult:
    """Delete the states of one request's users until each has an outcome or the retries end."""
    result = DeleteResult(set(), {}, {}, DatabaseUse())
    pending = list(states)
    while pending:
        try:
            response = table.call(
                "batch_execute_statement",
                retry,
                result.use,
                Statements=[_statement(table, profile, user, states[user]) for user in pending],
                ReturnConsumedCapacity="TOTAL",
            )
        except StoreUnavailable as error:
            result.failed.update(dict.fromkeys(pending, str(error)))
            return result
        outcomes = [read_outcome(part.get("Error")) for part in response["Responses"]]
        result.use.write_units += capacity_units(response, len(outcomes))
        repeated = []
        for user, outcome in zip(pending, outcomes, strict=True):
            if outcome is Verdict.STORED or outcome is Verdict.LOOK_UP:
                # LOOK_UP: the condition failed because there is no item.
                result.deleted.add(user)
            elif isinstance(outcome, Verdict):
                repeated.append(user)
            elif isinstance(outcome, StoredState):
                result.conflicts[user] = outcome
            else:
                result.failed[user] = outcome
        result.use.throttles += Verdict.THROTTLED in outcomes
        if repeated and not retry.pause(progress=len(repeated) < len(pending)):
            unavailable = str(table.unavailable("try these users again"))
            result.failed.update(dict.fromkeys(repeated, unavailable))
            return result
        result.use.retries += bool(repeated)
        pending = repeated
    return result


def _statement(table: Table, profile: str, user: str, state: StoredState | None) -> dict[str, Any]:
    conditions = dict(key(user, profile))
    if state is not None:
        conditions["version"] = {"N": str(state.version)}
    where = " AND ".join(f'"{name}" = ?' for name in conditions)
    return {
        # Names and values of users are parameters.
        "Statement": f'DELETE FROM "{table.name}" WHERE {where}',  # noqa: S608
        "Parameters": list(conditions.values()),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
