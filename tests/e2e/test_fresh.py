"""`--fresh` deletes earlier data when the new batch has succeeded, and never before."""

import signal

import pytest

from kalmap.profile import builtin_profile
from tests.support.deployed_stack import daily_readings
from tests.support.expected_files import fold_files, stored
from tests.support.kalmap_command import kalmap, start

KEPT = "--fresh has deleted nothing: all earlier states and batches are there again."


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A data directory in which a batch of two users was run, and a file of a third."""
    directory = tmp_path_factory.mktemp("fresh")
    (directory / "two.jsonl").write_text(
        daily_readings("one", days=3) + "\n" + daily_readings("other", days=3)
    )
    (directory / "third.jsonl").write_text(daily_readings("third", days=3))
    (directory / "header.csv").write_text("user_id,timestamp,value\n")
    assert kalmap("run", "two.jsonl", cwd=directory).code == 0
    return directory


def states(directory):
    return stored(kalmap("states", "--exact", cwd=directory).out)


def expected(directory, file):
    return fold_files(builtin_profile("body-weight"), [directory / file])


def test_a_failed_batch_deletes_no_states_and_says_so(directory):
    failed = kalmap("run", "header.csv", "--fresh", cwd=directory)
    assert failed.code == 1
    assert failed.err.rstrip().endswith(f"No state was changed. {KEPT}")
    assert states(directory) == expected(directory, "two.jsonl")


def test_a_rehearsal_deletes_no_states(directory):
    rehearsed = kalmap(
        *("run", "third.jsonl", "--fresh", "--write-mode", "none", "--out", "rehearsal"),
        cwd=directory,
    )
    assert rehearsed.code == 0, rehearsed.err
    assert KEPT in rehearsed.out
    assert states(directory) == expected(directory, "two.jsonl")


def test_an_interrupted_batch_deletes_no_states_and_says_so(directory):
    process = start("run", "third.jsonl", "--fresh", cwd=directory)
    assert process.stderr
    assert any(line.startswith("  PlanShards ") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == f"kalmap: Interrupted. The batch was stopped. {KEPT}"
    assert states(directory) == expected(directory, "two.jsonl")


def test_a_batch_that_succeeds_replaces_earlier_states_and_says_how_many_were_deleted(directory):
    ran = kalmap("run", "third.jsonl", "--fresh", cwd=directory)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1] == "--fresh has deleted 2 earlier states."
    assert states(directory) == expected(directory, "third.jsonl")
