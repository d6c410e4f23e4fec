"""Run a batch from its start to its result files, or stop it on Ctrl-C and say what was done."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from kalmap.batch.folder import Folder
from kalmap.plural import counted
from kalmap.store.ports import BatchRecord
from kalmap_cli.batch_counts import BatchCounter
from kalmap_cli.batch_report import WrittenReport, prepare_report, write_report
from kalmap_cli.deployment import Deployment
from kalmap_cli.earlier_batch import describe_earlier_batch
from kalmap_cli.errors import Interrupted, InterruptMessage, RunFailed
from kalmap_cli.execution import (
    ExecutionEnd,
    get_batch_prefix,
    get_execution_end,
    new_execution_arn,
    start_execution,
    stop_execution,
    watch_execution,
)
from kalmap_cli.file_names import FileNames
from kalmap_cli.option_names import with_option_names
from kalmap_cli.results_folder import FetchedResults, fetch_results
from kalmap_cli.screen import SHORT_ID, Screen
from kalmap_cli.usual_speed import usual_speed

#: True until a batch is started.
NOT_STARTED = "Nothing was started."


class BatchRun(NamedTuple):
    """A batch that has run to its end."""

    end: ExecutionEnd
    fetched: FetchedResults | None
    """None if the batch has no results."""
    deployment: Deployment
    """Where it ran."""
    report: WrittenReport | None = None
    """None if the user wants none, or the batch has no results."""
    earlier: str | None = None
    """A sentence about the earlier batch whose readings this one met again, if there is one."""

    @property
    def fresh_note(self) -> str:
        """What `--fresh` has done to the earlier states, as a sentence, or empty."""
        return _fresh_note(self.deployment, self.end)


def run_batch(
    screen: Screen,
    deployment: Deployment,
    batch: Mapping[str, Any],
    out: Path | None,
    message: InterruptMessage,
    *,
    format_: str = "jsonl",
) -> BatchRun:
    """Start a batch, show its progress to its end, and fetch its results.

    Args:
        screen: Shows the progress.
        deployment: Where to run it.
        batch: The execution's input.
        out: The output directory; None for a directory of the batch's own.
        message: Is updated as the batch proceeds.
        format_: The format of the results.

    Raises:
        RunFailed: The batch has ended, and its results could not be written.
    """
    arn = new_execution_arn(deployment.stack)
    try:
        start_execution(deployment.clients, deployment.stack, batch, arn)
        prepare_report()
        watch_batch(screen, deployment, arn)
        names = FileNames(deployment.objects)
        end = get_execution_end(deployment.clients, arn)
        end = end._replace(reason=names.replace_keys(end.reason))
        _delete_set_aside(deployment, end)
        message.sentence = _describe_end(deployment, end)
    except KeyboardInterrupt as error:
        screen.interrupt("Stopping the batch")
        message.sentence = _stop(deployment, arn)
        raise Interrupted(f"Interrupted. {message.sentence}") from error
    if end.ran_before:
        end = _end_of_earlier_run(deployment, end)
    if end.prefix is None:
        return BatchRun(end, None, deployment)
    screen.note("Fetching the results")
    try:
        objects = deployment.objects
        fetched = fetch_results(objects, end.prefix, out, format_)
    except RunFailed as error:
        raise RunFailed(f"{error} {message.sentence}") from error
    if fetched:
        message.sentence = (
            f"{_success_or_failure(end)} Its results are in {fetched.summary.parent}."
        )
    report = earlier = None
    if fetched and (record := _batch_record(deployment, end.batch_id)):
        report = write_report(screen, deployment, record, fetched.summary.parent)
        earlier = describe_earlier_batch(deployment, end.prefix, fetched.content)
    return BatchRun(end, fetched, deployment, report, earlier)


def watch_batch(screen: Screen, deployment: Deployment, arn: str) -> None:
    """Show an execution to its end: its states, and what is decided about its readings."""
    counter: BatchCounter | None = None
    for progress in watch_execution(deployment.clients, arn, deployment.poll_intervals):
        if counter is None and progress.total:
            prefix = get_batch_prefix(deployment.clients, arn)
            if prefix:
                counter = BatchCounter(Folder(deployment.objects, prefix), usual_speed(deployment))
        screen.show(progress, counter.count(progress) if counter else None)


def _stop(deployment: Deployment, arn: str) -> str:
    """Stop a batch; returns a sentence that says what it had done."""
    try:
        wrote_states = stop_execution(deployment.clients, arn)
        if wrote_states is None:
            return NOT_STARTED
        end = get_execution_end(deployment.clients, arn)
        record = _batch_record(deployment, end.batch_id)
    except (BotoCoreError, ClientError):
        return (
            f"The cloud did not answer, so the batch may still be running. "
            f"`kalmap status{deployment.options}` shows whether it is."
        )
    if end.succeeded or end.ran_before:
        _delete_set_aside(deployment, end)
        return _describe_end(deployment, end)
    if deployment.set_aside:
        return f"The batch was stopped. {_fresh_note(deployment, end)}"
    if record is None:
        return "The batch was stopped before it began. No state was written."
    short_id = record.batch_id[:SHORT_ID]
    again = f"`kalmap retry {short_id}{deployment.options}` runs it again."
    if wrote_states:
        return (
            f"Batch {short_id} was stopped while it wrote states, and some may have been written. "
            f"{again} No reading counts twice."
        )
    return f"Batch {short_id} was stopped before it wrote any state. {again}"


def _batch_record(deployment: Deployment, batch_id: str | None) -> BatchRecord | None:
    return deployment.batches.get(batch_id) if batch_id else None


def _end_of_earlier_run(deployment: Deployment, end: ExecutionEnd) -> ExecutionEnd:
    """The end of the execution that ran this batch before, if that one succeeded."""
    record = _batch_record(deployment, end.batch_id)
    if record is None or record.status != "SUCCEEDED":
        return end
    return end._replace(succeeded=True, reason="", prefix=record.prefix)


def _describe_end(deployment: Deployment, end: ExecutionEnd) -> str:
    """How a batch ended, and how to fetch its results."""
    fresh_note = _fresh_note(deployment, end)
    if end.batch_id is None or (fresh_note and not _replaces_earlier_states(end)):
        return f"{_success_or_failure(end)} {fresh_note}".rstrip()
    fetch = f"`kalmap results {end.batch_id[:SHORT_ID]}{deployment.options} --out DIR`"
    return f"{_success_or_failure(end)} {fetch} fetches its results. {fresh_note}".rstrip()


def _success_or_failure(end: ExecutionEnd) -> str:
    batch = f"Batch {end.batch_id[:SHORT_ID]}" if end.batch_id else "The batch"
    if end.succeeded:
        return f"{batch} has succeeded, and what it wrote is stored."
    return f"{batch} has failed: {with_option_names(end.reason)}"


def _replaces_earlier_states(end: ExecutionEnd) -> bool:
    return end.succeeded and not end.rehearsed


def _delete_set_aside(deployment: Deployment, end: ExecutionEnd) -> None:
    """Delete the earlier states that `--fresh` set aside, once new states replace them."""
    if deployment.set_aside and _replaces_earlier_states(end):
        deployment.set_aside.delete()


def _fresh_note(deployment: Deployment, end: ExecutionEnd) -> str:
    if deployment.set_aside is None:
        return ""
    if not _replaces_earlier_states(end):
        return "--fresh has deleted nothing: all earlier states and batches are there again."
    if deployment.set_aside.states is None:
        return "--fresh has deleted the earlier states, which could not be read."
    if not deployment.set_aside.states:
        return ""
    return f"--fresh has deleted {counted(deployment.set_aside.states, 'earlier state')}."
