"""`kalmap forget`: delete what is stored about a user, and say what remains elsewhere."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kalmap import keys
from kalmap.plural import counted
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import DONE, FAILED, InterruptMessage, WrongUsage
from kalmap_cli.file_names import printable
from kalmap_cli.listed_batches import with_current_status
from kalmap_cli.operations.forget import Forgotten
from kalmap_cli.operations.forget import forget as forget_user
from kalmap_cli.operations.user_traces import Traces, find_traces
from kalmap_cli.screen import SHORT_ID
from kalmap_cli.terminal import fit_to_terminal

#: DynamoDB's longest key. Records with an id of more than 128 bytes are stored as unreadable.
_MOST_ID_BYTES = 2048
_NOTHING_DELETED = "Nothing was deleted."
#: Input objects that are named one by one.
_MOST_NAMED = 20
#: What this command cannot reach.
_ELSEWHERE = (
    "answers to requests with an Idempotency-Key: 24 hours",
    "a shared cache and the API's containers: CacheSeconds, 15 minutes by default",
    "inputs of executions and of messages about failed ones, if they held records: 90 and 14 days",
)
#: The same on AWS only.
_ELSEWHERE_ON_AWS = (
    "backups of the tables: point-in-time recovery holds 35 days, unless you have deleted it",
)
#: The same in a data directory only.
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
        WrongUsage: The user's id is empty or too long.
    """
    user = arguments.user
    if not user:
        raise WrongUsage("The user's id is empty.")
    if (size := len(user.encode())) > _MOST_ID_BYTES:
        raise WrongUsage(
            f"The user's id has {size:,} bytes. No state has a key of more than {_MOST_ID_BYTES:,}."
        )
    with (
        InterruptMessage(_NOTHING_DELETED) as message,
        open_deployment(None, data_dir, stack) as deployment,
    ):
        ended, running = _attempts(deployment)
        profiles = sorted(state.profile for state in deployment.states.of_user(user))
        traces = find_traces(deployment.objects, user, running)
        # The search may take long. A batch that has begun meanwhile needs its working copies, and
        # was found in part only.
        running |= {
            prefix: batch
            for found in _attempts(deployment)
            for prefix, batch in found.items()
            if prefix not in ended
        }
        traces = traces.outside(running)
        # All of it beforehand: a call that goes on where another was killed finds less.
        _tell(_plan(user, profiles, traces))
        _tell(_remains(traces, local=stack is None))
        _tell(_left(traces, running.values()))
        if arguments.rehearse:
            _tell([_NOTHING_DELETED])
            return DONE
        message.sentence = "Some of it is deleted already. The same command goes on."
        done = forget_user(user, deployment.states, deployment.objects, traces.own)
        _tell(_outcome(done))
    return FAILED if done.failed or running or traces.unread else DONE


def _attempts(deployment: Deployment) -> tuple[dict[str, str], dict[str, str]]:
    """The batches that have ended and those that run, by the prefix of their newest attempt."""
    ended: dict[str, str] = {}
    running: dict[str, str] = {}
    for batch in deployment.batches.newest():
        if batch.execution_arn:
            attempt = batch.execution_arn.rpartition(":")[2]
            is_running = with_current_status(deployment, batch).status == "RUNNING"
            into = running if is_running else ended
            into[f"{keys.BATCHES}{batch.batch_id}/{attempt}"] = batch.batch_id
    return ended, running


def _plan(user: str, profiles: list[str], traces: Traces) -> Iterator[str]:
    shared = sum(trace.version.current and trace.without is not None for trace in traces.own)
    earlier = sum(not trace.version.current for trace in traces.own)
    whole = len(traces.own) - shared - earlier
    yield f"Forgetting {printable(user)}:"
    if not profiles and not traces.own:
        yield "  Nothing is stored under this id. Ids are compared letter by letter."
        return
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
        yield f"  input s3://{printable(f'{found.bucket}/{found.key}')}{until}"
    if len(traces.inputs) > _MOST_NAMED:
        yield f"  {len(traces.inputs) - _MOST_NAMED:,} more objects of input"
    there = _ELSEWHERE_HERE if local else _ELSEWHERE_ON_AWS
    for sentence in (*there, *_ELSEWHERE, _ON_DISKS):
        yield f"  {sentence}"


def _left(traces: Traces, running: Iterable[str]) -> Iterator[str]:
    for batch in running:
        yield (
            f"Batch {batch[:SHORT_ID]} is running and was left out. When it has ended, run the "
            "same command again."
        )
    if traces.unread:
        yield (
            f"{counted(len(traces.unread), 'object')} could not be read and stay: "
            f"{', '.join(map(printable, traces.unread[:3]))}. Put a backup in the place of what is "
            "damaged, or wait until it is deleted after WorkDays."
        )


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        print(fit_to_terminal(line, sys.stderr, 4), file=sys.stderr)
