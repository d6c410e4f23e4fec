"""`kalmap rollback`: put states from before a batch back, unless something has touched them."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from kalmap.plural import counted
from kalmap.store.ports import BatchRecord
from kalmap.store.profiles import Profiles
from kalmap_cli.aws_errors import CUT_OFF
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import DONE, FAILED, InterruptMessage, RunFailed, WrongUsage, as_sentence
from kalmap_cli.file_names import first_of
from kalmap_cli.listed_batches import find_batch
from kalmap_cli.operations.rollback import RolledBack, roll_back
from kalmap_cli.operations.written_states import Attempt, attempts_of
from kalmap_cli.screen import SHORT_ID
from kalmap_cli.terminal import fit_to_terminal

_NOTHING_WRITTEN = "No state was written."
_ROLLED_BACK = "Its states were rolled back, so it can be started again."


def rollback(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Take back what a batch has written to states.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Returns:
        The exit code: that of a failure if a state stays as the batch, or something after it, has
        left it.

    Raises:
        WrongUsage: There is no such batch, or it is running, or it has written no state.
        RunFailed: The batch's files are no longer there, or are damaged.
    """
    with (
        InterruptMessage(_NOTHING_WRITTEN) as message,
        open_deployment(None, data_dir, stack) as deployment,
    ):
        record = find_batch(deployment, arguments.batch)
        profiles = Profiles(deployment.objects)
        try:
            attempts = _attempts(deployment, record)
            planned = roll_back(attempts, deployment.states, profiles, rehearse=True)
        except (msgspec.MsgspecError, *CUT_OFF) as error:
            load = f"`kalmap states --load FILE{deployment.options} --replace`"
            raise RunFailed(
                f"A file of batch {record.batch_id[:SHORT_ID]} with the states from before it is "
                f"damaged: {as_sentence(error)} Nothing was written. Restore a backup, or load an "
                f"export of states from before the batch with {load}."
            ) from error
        _tell(_plan(planned, record))
        if arguments.rehearse:
            _tell([_NOTHING_WRITTEN])
            return DONE
        message.sentence = "Some states may be as before already. The same command goes on."
        done = roll_back(attempts, deployment.states, profiles, rehearse=False)
        if not done.failed and record.status == "SUCCEEDED":
            deployment.batches.take_back(record.batch_id, record.execution, _ROLLED_BACK)
        _tell(_outcome(done, record, deployment.options))
    return FAILED if done.left or done.failed else DONE


def _attempts(deployment: Deployment, record: BatchRecord) -> list[Attempt]:
    short_id = record.batch_id[:SHORT_ID]
    if record.status == "RUNNING":
        raise WrongUsage(
            f"Batch {short_id} is still running. Stop its execution, or wait for its end: "
            f"`kalmap status {short_id}{deployment.options}` shows it."
        )
    attempts = attempts_of(deployment.objects, record.batch_id)
    if attempts and attempts[0].batch.write_mode == "none":
        raise WrongUsage(f"Batch {short_id} was a rehearsal and has written no state.")
    lost = sum(attempt.lost for attempt in attempts)
    if lost or (not attempts and record.status == "SUCCEEDED"):
        raise RunFailed(
            f"The states from before batch {short_id} are no longer stored: the files of batches "
            "are deleted after some days (the parameter WorkDays). Nothing was written."
        )
    if not attempts:
        raise WrongUsage(f"Batch {short_id} ended before it could write any state.")
    return attempts


def _plan(planned: RolledBack, record: BatchRecord) -> Iterator[str]:
    yield f"Rolling back batch {record.batch_id[:SHORT_ID]}:"
    yield f"  state from before it again   {counted(planned.restored, 'user')}"
    yield f"  made by it, no state again   {counted(planned.removed, 'user')}"
    yield f"  as before it already         {counted(planned.already, 'user')}"
    named = f" ({first_of(sorted(planned.left))})" if planned.left else ""
    yield f"  left, as changed since       {counted(len(planned.left), 'user')}{named}"
    if record.status == "SUCCEEDED":
        yield "  The batch will be listed as failed, so that it can be started again."


def _outcome(done: RolledBack, record: BatchRecord, options: str) -> Iterator[str]:
    short_id = record.batch_id[:SHORT_ID]
    yield (
        f"Done: {counted(done.restored, 'state')} as before, {done.removed:,} removed, "
        f"{done.already:,} were as before already, {len(done.left):,} left as they are."
    )
    for user, reason in done.failed[:3]:
        yield f"The state of {user} was not written: {reason}"
    if done.failed:
        yield f"{counted(len(done.failed), 'state')} not written. The same command goes on."
    elif record.status == "SUCCEEDED":
        yield f"`kalmap retry {short_id}{options}` runs the batch again, from the same input."


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        print(fit_to_terminal(line, sys.stderr, 4), file=sys.stderr)
