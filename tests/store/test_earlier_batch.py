"""The earlier batch that has the results of what this one met again: named only if it has them."""

from types import SimpleNamespace

import pytest

from kalmap.batch.folder import Folder
from kalmap.batch.identity import InputObject
from kalmap.outcome import Reason, Status
from kalmap.results.tally import Tally
from kalmap.results.totals import Totals
from kalmap.store.ports import BatchRecord
from kalmap_cli.earlier_batch import describe_earlier_batch
from tests.support.written_batches import new_bucket

ID, EARLIER = "b" * 32, "a" * 32
#: A file of ten readings, of which nine are met again.
SUMMARY = {"batch_id": ID, "readings": {"received": 10, "accepted": 1, "duplicate": 9}}


@pytest.fixture(scope="module")
def objects():
    return new_bucket()


def record(batch_id=EARLIER, *, received=10, accepted=10):
    return BatchRecord(
        batch_id=batch_id, status="SUCCEEDED", execution="x", prefix=f"batches/{batch_id}/x",
        received=received, accepted=accepted,
    )  # fmt: skip


def named(objects, *records, etag="1", own="1", summary=SUMMARY):
    """What is told about earlier batches, which have read a file with this etag."""
    for batch_id, read in ((ID, own), (EARLIER, etag)):
        folder = Folder(objects, f"batches/{batch_id}/x")
        folder.write("inputs.json", [InputObject("b", "weights.csv", 500, read)])
    batches = SimpleNamespace(newest=lambda: iter((record(ID), *records)))
    deployment = SimpleNamespace(objects=objects, batches=batches, options=" --stack s")
    return describe_earlier_batch(deployment, f"batches/{ID}/x", summary)


def test_a_batch_that_has_accepted_the_same_readings_is_named_with_the_command(objects):
    told = named(objects, record())
    assert told == (
        "Batch aaaaaaaaaaaa has read the same before: `kalmap results aaaaaaaaaaaa --stack s` "
        "gets its results."
    )


def test_no_batch_is_named_that_has_read_something_else_or_decided_nothing(objects):
    assert named(objects, record(), etag="2") is None
    # Records that were sent along have no etag, so nothing says that they are the same.
    assert named(objects, record(), etag="", own="") is None
    assert named(objects, record(received=11)) is None
    assert named(objects, record(accepted=0)) is None
    assert named(objects) is None


def test_nobody_is_sent_elsewhere_for_what_was_new_here(objects):
    readings = {"received": 10, "accepted": 5, "duplicate": 5}
    assert named(objects, record(), summary={"batch_id": ID, "readings": readings}) is None
    assert named(objects, record(), summary={"batch_id": ID, "readings": {"received": 10}}) is None


@pytest.mark.parametrize(("decided", "is_named"), [(9, True), (1, False), (0, False)])
def test_a_stopped_batch_is_named_if_it_had_accepted_more(objects, decided, is_named):
    folder = Folder(objects, f"batches/{EARLIER}/x")
    tally = Tally({(Status.ACCEPTED, Reason.NONE): decided})
    folder.save_totals(0, Totals(readings=tally))
    told = named(objects, record(received=None, accepted=None))
    assert (told is not None) == is_named
    assert told is None or "was stopped before its end" in told
