"""Where a user is found: not in what runs, and input is deleted only where all of it is theirs."""

import uuid

import pytest

from kalmap import keys
from kalmap.batch.folder import Folder, Plan
from kalmap.batch.identity import InputObject
from kalmap.batch.partitions import Partitions
from kalmap.outcome import Reason, Status
from kalmap.results.tally import Tally
from kalmap.results.totals import Failure, Totals
from kalmap_cli.operations.user_traces import find_traces
from tests.support.written_batches import SHARDS, new_bucket, run_batch

UNREADABLE = Tally({(Status.UNREADABLE, Reason.MALFORMED): 1})
ALONE = Totals(users=1)
LOST = Failure("partition", 0, 3, "It ran out of memory.")


@pytest.fixture(scope="module")
def objects():
    return new_bucket(versions=True)


@pytest.fixture
def batch(objects, store):
    """A batch of the user `a` that has read one file: its id, and what says how it read it."""
    batch_id = uuid.uuid4().hex
    folder = Folder(objects, f"{keys.BATCHES}{batch_id}/first")
    Partitions(folder).save_plan(Plan(0, SHARDS, []), [])
    run_batch(objects, store, {"a": [1, 2]}, batch=batch_id)

    def read(key, totals=ALONE):
        objects.put(key, b"lines")
        folder.write("inputs.json", [InputObject(objects.bucket, key, 5, "e")])
        folder.save_totals(0, totals)
        return folder.prefix

    return read


def found_in(objects, prefix, *, running=()):
    """The traces in a batch's folder, and the keys of inputs that go and that stay."""
    traces = find_traces(objects, "a", running)
    own = [trace.version.key for trace in traces.own]
    stay = [found.key for found in traces.inputs]
    return [key for key in own if key.startswith(prefix)], own, stay


def test_a_batch_that_runs_is_left_out(objects, batch):
    prefix = batch(f"{keys.UPLOADS}runs.jsonl")
    inside, _, _ = found_in(objects, prefix)
    assert inside
    inside, own, stay = found_in(objects, prefix, running=[prefix])
    assert inside == []
    assert f"{keys.UPLOADS}runs.jsonl" not in own + stay


@pytest.mark.parametrize(
    ("key", "totals", "goes"),
    [
        (f"{keys.UPLOADS}own.jsonl", ALONE, True),
        (f"{keys.INCOMING}own.jsonl", ALONE, True),
        ("exports/own.jsonl", ALONE, False),
        (f"{keys.UPLOADS}two.jsonl", Totals(users=2), False),
        # What could not be read may be somebody else's.
        (f"{keys.UPLOADS}odd.jsonl", Totals(users=1, readings=UNREADABLE), False),
        # The batch of a share of the users leaves the others to another batch.
        (f"{keys.UPLOADS}share.jsonl", Totals(users=1, left_out=9), False),
        (f"{keys.UPLOADS}lost.jsonl", Totals(users=1, failures=[LOST]), False),
    ],
)
def test_input_goes_only_if_it_was_staged_for_a_batch_and_all_of_it_is_theirs(
    objects, batch, key, totals, goes
):
    prefix = batch(key, totals)
    inside, own, stay = found_in(objects, prefix)
    assert inside
    assert (key in own, key in stay) == (goes, not goes)
