"""`kalmap forget`: delete what is stored about a user, and say what remains elsewhere."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kalmap import keys
from kalmap.plural import counted
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import DONE, FAILED, InterruptMessage, WrongUsage
from kalmap_cli.listed_batches import with_current_status
from kalmap_cli.operations.forget import Forgotten
from kalmap_cli.operations.forget import forget as forget_user
from kalmap_cli.operations.user_traces import Traces, find_traces
from kalmap_cli.terminal import fit_to_terminal

_NOTHING_DELETED = "Nothing was deleted."
#: Input objects that are named one by one.
_MOST_NAMED = 20
#: What this command cannot reach, on AWS.
_ELSEWHERE = (
    "backups of the tables: point-in-time recovery holds 35 days, unless you have deleted it",
    "answers to requests with an Idempotency-Key: 24 hours",
    "a shared cache and the API's containers: CacheSeconds, 15 minutes by default",
    "inputs of executions and of messages about failed ones, if they held records: 90 and 14 days",
)
#: The same for a data directory.
_ELSEWHERE_HERE = (
    "the last two saves and the log in the data directory: until two more commands have saved",
    "reports that the console has drawn: until `kalmap serve` ends",
)
_ON_DISKS = "files that commands have written: results, reports, exports of states"


def forget(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Delete a user's states and traces.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Returns:
        The exit code: that of a failure if something of the user remains in the stack.

    Raises:
        WrongUsage: The user's id is empty.
    """
    user = arguments.user
    if not user:
        raise WrongUsage("The user's id is empty.")
    with (
        InterruptMessage(_NOTHING_DELETED) as message,
        open_deployment(None, data_dir, stack) as deployment,
    ):
        running = _running(deployment)
        profiles = sorted(state.profile for state in deployment.states.of_user(user))
        traces = find_traces(deployment.objects, user, running.values())
        # All of it beforehand: a call that goes on where another was killed finds less.
        _tell(_plan(user, profiles, traces))
        _tell(_remains(traces, local=stack is None))
        _tell(_left(traces, running))
        if arguments.rehearse:
            _tell([_NOTHING_DELETED])
            return DONE
        message.sentence = "Some of it is deleted already. The same command goes on."
        done = forget_user(user, deployment.states, deployment.objects, traces.own)
        _tell(_outcome(done))
    return FAILED if done.failed or running or traces.unread else DONE


def _running(deployment: Deployment) -> dict[str, str]:
    """The running batches, and the prefixes of their attempts."""
    return {
        batch.batch_id: f"{keys.BATCHES}{batch.batch_id}/{batch.execution_arn.rpartition(':')[2]}"
        for batch in deployment.batches.newest()
        if batch.status == "RUNNING"
        and batch.execution_arn
        and with_current_status(deployment, batch).status == "RUNNING"
    }


def _plan(user: str, profiles: list[str], traces: Traces) -> Iterator[str]:
    shared = sum(trace.version.current and trace.without is not None for trace in traces.own)
    earlier = sum(not trace.version.current for trace in traces.own)
    whole = len(traces.own) - shared - earlier
    yield f"Forgetting {user}:"
    yield f"  states                       {', '.join(profiles) or 'none'}"
    yield f"  batches with the user        {traces.batches:,}"
    yield f"  objects to write without     {shared:,}"
    yield f"  objects to delete            {whole:,}"
    yield f"  earlier versions to delete   {earlier:,}"


def _outcome(done: Forgotten) -> Iterator[str]:
    yield (
        f"Done: {counted(done.states, 'state')} and {counted(done.deleted, 'version')} of objects "
        f"deleted; {counted(done.rewritten, 'object')} written anew without the user."
    )
    yield from done.failed


def _remains(traces: Traces, *, local: bool) -> Iterator[str]:
    yield "What remains, since this command does not reach it, or others share it:"
    for found in traces.inputs[:_MOST_NAMED]:
        until = f": deleted WorkDays after {found.put:%Y-%m-%d}" if found.put else ""
        yield f"  input s3://{found.bucket}/{found.key}{until}"
    if len(traces.inputs) > _MOST_NAMED:
        yield f"  {len(traces.inputs) - _MOST_NAMED:,} more objects of input"
    for sentence in (*(_ELSEWHERE_HERE if local else _ELSEWHERE), _ON_DISKS):
        yield f"  {sentence}"


def _left(traces: Traces, running: Iterable[str]) -> Iterator[str]:
    for batch in running:
        yield f"Batch {batch[:12]} is running and was left out. Forget the user again after it."
    if traces.unread:
        yield (
            f"{counted(len(traces.unread), 'object')} could not be read and stay: "
            f"{', '.join(traces.unread[:3])}."
        )


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        print(fit_to_terminal(line, sys.stderr, 4), file=sys.stderr)
