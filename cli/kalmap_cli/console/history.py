"""What the states of an execution were given and gave, from its history."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from kalmap_cli.local.clients import Clients


class Attempt(NamedTuple):
    """An attempt of a Task."""

    resource: str
    """What it called."""
    output: str
    error: str
    """Empty if it has not failed."""
    cause: str


class Step(NamedTuple):
    """One visit of a state. Texts are JSON, or empty if they are not there."""

    state: str
    kind: str
    """Task, Map, Choice, Pass, Wait, Succeed or Fail."""
    entered: float
    """Seconds since 1970, by the cloud's clock."""
    left: float | None
    """None if the execution is in it, or ended in it."""
    input: str
    output: str
    attempts: list[Attempt]
    map: int
    """The place of its Map Run in the execution, from 1; 0 if it is no Map."""

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that failed."""
        return [attempt for attempt in self.attempts if attempt.error]


def steps_of(clients: Clients, arn: str) -> list[Step]:
    """The visits of an execution's states, in their order."""
    steps: list[Step] = []
    maps = 0
    for event in _events(clients, arn):
        kind, when = event["type"], event["timestamp"].timestamp()
        if entered := event.get("stateEnteredEventDetails"):
            is_map = kind == "MapStateEntered"
            maps += is_map
            steps.append(
                Step(
                    entered["name"], kind.removesuffix("StateEntered"), when, None,
                    entered.get("input") or "", "", [], maps * is_map,
                )
            )  # fmt: skip
        elif steps and (left := event.get("stateExitedEventDetails")):
            steps[-1] = steps[-1]._replace(left=when, output=left.get("output") or "")
        elif steps:
            _add(steps[-1].attempts, event)
    return steps


def attempts_of(clients: Clients, arn: str) -> list[Attempt]:
    """The attempts of all Tasks of an execution, in their order."""
    attempts: list[Attempt] = []
    for event in _events(clients, arn):
        _add(attempts, event)
    return attempts


def _events(clients: Clients, arn: str) -> Iterator[dict[str, Any]]:
    pages = clients("stepfunctions").get_paginator("get_execution_history")
    for each in pages.paginate(executionArn=arn, includeExecutionData=True):
        yield from each["events"]


def _add(attempts: list[Attempt], event: dict[str, Any]) -> None:
    """Add what an event says of an attempt. Of Tasks, and of Map Runs that failed."""
    kind: str = event["type"]
    name = f"{kind[:1].lower()}{kind[1:]}EventDetails"
    details: dict[str, Any] = event.get(name) or {}
    if kind.endswith("Scheduled"):
        attempts.append(Attempt(str(details.get("resource", "")), "", "", ""))
    elif kind.endswith("Succeeded") and attempts and not kind.startswith("Execution"):
        attempts[-1] = attempts[-1]._replace(output=details.get("output") or "")
    elif kind.endswith(("Failed", "TimedOut")) and not kind.startswith("Execution"):
        if not attempts or attempts[-1].error or attempts[-1].output:
            attempts.append(Attempt("", "", "", ""))
        error, cause = details.get("error") or kind, details.get("cause") or ""
        attempts[-1] = attempts[-1]._replace(error=error, cause=cause)
