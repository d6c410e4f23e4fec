"""Forgetting where something is damaged, or begins while it looks."""

import argparse
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from botocore.exceptions import IncompleteReadError

from kalmap.keys import ANSWERS
from kalmap.store.objects import ObjectVersion
from kalmap.store.ports import ListedBatch
from kalmap_cli.commands import forget as command
from kalmap_cli.operations.user_traces import Trace, Traces, find_traces

PREFIX = "batches/b1/run-1"


def version(key):
    return ObjectVersion(key, "1", True, datetime(2026, 3, 1, tzinfo=UTC))


class CutOff:
    """A bucket with one object, whose file is shorter than it should be."""

    bucket = "work"

    def versions(self, prefix):
        return [version(f"{ANSWERS}a.jsonl")] if prefix == ANSWERS else []

    def get_version(self, _):
        raise IncompleteReadError(actual_bytes=5, expected_bytes=9)


def test_an_object_that_is_cut_off_is_named_and_the_search_goes_on():
    assert find_traces(CutOff(), "anna", ()).unread == [f"{ANSWERS}a.jsonl"]


@pytest.fixture
def searched(monkeypatch):
    """Runs the command while a batch begins during its search; returns what it has deleted."""
    listed, deleted = [], []
    running = ListedBatch(
        batch_id="b1", status="RUNNING", execution_arn="arn:aws:states:r:1:execution:m:run-1"
    )
    states = SimpleNamespace(of_user=lambda _: [])
    stepfunctions = SimpleNamespace(describe_execution=lambda **_: {"status": "RUNNING"})
    objects = SimpleNamespace(bucket="work", delete_version=lambda each: deleted.append(each.key))
    deployment = SimpleNamespace(
        states=states,
        objects=objects,
        options="",
        clients=lambda _: stepfunctions,
        batches=SimpleNamespace(newest=lambda: listed),
    )

    @contextmanager
    def opened(*_):
        yield deployment

    def search(_objects, _user, left_out):
        assert not left_out
        listed.append(running)
        keys = (f"{PREFIX}/partitions/000000.bin", "batches/b0/run-0/partitions/000000.bin")
        return Traces([Trace(version(key), None) for key in keys], [], [f"{PREFIX}/x.json"])

    monkeypatch.setattr(command, "open_deployment", opened)
    monkeypatch.setattr(command, "find_traces", search)

    def run(user):
        code = command.forget(argparse.Namespace(user=user, rehearse=False), None, "stack")
        return code, deleted

    return run


def test_a_batch_that_begins_during_the_search_keeps_its_working_copies(searched, capsys):
    code, deleted = searched("anna")
    assert (code, deleted) == (1, ["batches/b0/run-0/partitions/000000.bin"])
    said = capsys.readouterr().err
    assert "Batch b1 is running and was left out." in said
    assert "batches with the user        1\n" in said
    assert "could not be read" not in said


def test_an_id_is_printed_without_what_a_terminal_would_obey(searched, capsys):
    searched("a\x1b[31mred\nb")
    assert capsys.readouterr().err.startswith("Forgetting a_[31mred_b:\n")
