"""Follow a batch from its start to its files, and say how far it came when Ctrl-C ends it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from kalmap.store.dynamodb.batches import DynamoDBBatchStore
from kalmap.store.objects import Objects
from kalmap.store.ports import BatchRecord
from kalmap.wording import counted
from kalmap_cli import drive
from kalmap_cli.batch_options import as_typed
from kalmap_cli.exits import HowFar, Interrupted, RunFailed
from kalmap_cli.given_names import GivenNames
from kalmap_cli.results_folder import Fetched, fetch
from kalmap_cli.screen import ID_SHOWN, Screen
from kalmap_cli.target import Target

#: What is true until a batch was started.
NOT_STARTED = "Nothing was started."


class Followed(NamedTuple):
    """A batch that was followed to its end."""

    ended: drive.Ended
    fetched: Fetched | None
    """None where it has left no results."""
    place: Target
    """Where it ran."""

    @property
    def kept(self) -> str:
        """What is true of the states that `--fresh` has set aside, as a sentence, or empty."""
        return _kept(self.place, self.ended)


def follow(
    screen: Screen, place: Target, batch: Mapping[str, Any], out: Path | None, how_far: HowFar
) -> Followed:
    """Start a batch, show its progress to its end, and fetch what came out.

    Args:
        screen: shows the progress.
        place: where to run it.
        batch: the execution's input.
        out: the output directory; None for one of the batch's own.
        how_far: is told how far the batch has come.

    Raises:
        RunFailed: The batch has ended, and its results could not be written.
    """
    execution = drive.new_execution(place.stack)
    try:
        drive.start(place.clients, place.stack, batch, execution)
        for progress in drive.watch(place.clients, execution, place.pauses):
            screen.show(progress)
        names = GivenNames(Objects(place.clients("s3"), place.stack.bucket))
        ended = drive.ended(place.clients, execution)
        ended = ended._replace(reason=names.in_text(ended.reason))
        _accept(place, ended)
        how_far.sentence = _fate(place, ended)
    except KeyboardInterrupt as error:
        screen.interrupt("Stopping the batch")
        how_far.sentence = _stop(place, execution)
        raise Interrupted(f"Interrupted. {how_far.sentence}") from error
    if ended.ran_before:
        ended = _before(place, ended)
    if ended.prefix is None:
        return Followed(ended, None, place)
    screen.note("Fetching the results")
    try:
        fetched = fetch(Objects(place.clients("s3"), place.stack.bucket), ended.prefix, out)
    except RunFailed as error:
        raise RunFailed(f"{error} {how_far.sentence}") from error
    if fetched:
        how_far.sentence = f"{_ended(ended)} Its results are in {fetched.summary.parent}."
    return Followed(ended, fetched, place)


def _stop(place: Target, execution: str) -> str:
    """Stop a batch; says what is true of it then."""
    try:
        wrote = drive.stop(place.clients, execution)
        if wrote is None:
            return NOT_STARTED
        ended = drive.ended(place.clients, execution)
        record = _record(place, ended.batch_id)
    except (BotoCoreError, ClientError):
        return (
            f"The cloud does not answer whether the batch was stopped; "
            f"`kalmap status{place.options}` lists how batches ended."
        )
    if ended.succeeded or ended.ran_before:
        _accept(place, ended)
        return _fate(place, ended)
    if place.set_aside:
        return f"The batch was stopped. {_kept(place, ended)}"
    if record is None:
        return "The batch was stopped before it had begun; no state was written."
    short = record.batch_id[:ID_SHOWN]
    again = f"`kalmap retry {short}{place.options}` runs it again"
    if wrote:
        return (
            f"Batch {short} was stopped while it wrote states, and some may have been written; "
            f"{again}, and what was written counts once."
        )
    return f"Batch {short} was stopped before it wrote any state; {again}."


def _record(place: Target, batch_id: str | None) -> BatchRecord | None:
    records = DynamoDBBatchStore(place.clients("dynamodb"), place.stack.batches_table)
    return records.get(batch_id) if batch_id else None


def _before(place: Target, ended: drive.Ended) -> drive.Ended:
    """The end of the execution that ran this batch before, where it succeeded."""
    record = _record(place, ended.batch_id)
    if record is None or record.status != "SUCCEEDED":
        return ended
    return ended._replace(succeeded=True, reason="", prefix=record.prefix)


def _fate(place: Target, ended: drive.Ended) -> str:
    """How a batch ended, and how to get at its results."""
    kept = _kept(place, ended)
    if ended.batch_id is None or (kept and not _is_accepted(ended)):
        return f"{_ended(ended)} {kept}".rstrip()
    fetch_them = f"`kalmap results {ended.batch_id[:ID_SHOWN]}{place.options} --out DIR`"
    return f"{_ended(ended)} {fetch_them} fetches its results. {kept}".rstrip()


def _ended(ended: drive.Ended) -> str:
    batch = f"Batch {ended.batch_id[:ID_SHOWN]}" if ended.batch_id else "The batch"
    if ended.succeeded:
        return f"{batch} has succeeded, and what it wrote is stored."
    return f"{batch} has failed: {as_typed(ended.reason)}"


def _is_accepted(ended: drive.Ended) -> bool:
    return ended.succeeded and not ended.rehearsed


def _accept(place: Target, ended: drive.Ended) -> None:
    """Forget what was set aside for this batch, once it has taken its place."""
    if place.set_aside and _is_accepted(ended):
        place.set_aside.forget()


def _kept(place: Target, ended: drive.Ended) -> str:
    if place.set_aside is None:
        return ""
    if not _is_accepted(ended):
        return "--fresh has forgotten nothing: what was stored before is there again."
    if place.set_aside.states is None:
        return "--fresh has forgotten what was stored before; it could not be read."
    if not place.set_aside.states:
        return ""
    return f"--fresh has forgotten {counted(place.set_aside.states, 'state')} from before."
