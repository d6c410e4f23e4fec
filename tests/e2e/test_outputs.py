"""Files that commands write for their user, from a cloud that stays up."""

import json
import os

from kalmap.batch.folder import Folder
from kalmap.results.expected_use import Size, expected_use
from kalmap.results.totals import total
from kalmap.store.objects import Objects
from kalmap_cli.execution import (
    PollIntervals,
    get_execution_end,
    new_execution_arn,
    stop_execution,
    watch_execution,
)
from kalmap_cli.execution import start_execution as start_batch
from kalmap_cli.local.deploy import STACK
from kalmap_cli.stack import find_stack
from tests.support.deployed_stack import daily_readings
from tests.support.kalmap_command import start


def test_states_are_written_through_a_link_and_into_a_pipe(shared, tmp_path):
    (tmp_path / "in.jsonl").write_text(daily_readings("output-1", days=2))
    ran = shared.run("in.jsonl", cwd=tmp_path)
    assert ran.code == 0, ran.err
    (tmp_path / "there.jsonl").touch()
    (tmp_path / "link").symlink_to("there.jsonl")
    os.mkfifo(tmp_path / "pipe")
    states = ("states", "--user", "output-1", "--out")
    linked = shared.kalmap(*states, "link", cwd=tmp_path)
    assert linked.code == 0, linked.err
    assert (tmp_path / "link").is_symlink()
    states_text = (tmp_path / "there.jsonl").read_text()
    assert json.loads(states_text)["user_id"] == "output-1"

    process = start(*states, "pipe", "--stack", "kalmap", cwd=tmp_path, **shared.variables)
    assert (tmp_path / "pipe").read_text() == states_text
    assert process.wait(30) == 0
    assert (tmp_path / "pipe").is_fifo()


def test_the_requests_and_units_of_a_batch_are_those_that_kalmap_cost_expects(shared, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        "\n".join(daily_readings(f"output-4-{user}", days=9) for user in range(9))
    )
    ran = shared.run("in.jsonl", "--quiet", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    batch, clients = json.loads(ran.out)["batch_id"], shared.cloud.clients
    objects = Objects(clients("s3"), find_stack(clients, STACK).bucket)
    [plan] = [key for key in objects.keys(f"batches/{batch}/") if key.endswith("/plan.json")]
    folder = Folder(objects, plan.removesuffix("/plan.json"))
    shards = len(folder.shards(0))
    assert shards > 1
    used, expected = total(folder.reports(0)), expected_use(Size(81, 9, 0, 1, shards))
    for name in ("invocations", "gets", "puts"):
        assert getattr(used, name) == getattr(expected, name)
    assert used.database.read_units == expected.read_units
    assert used.database.write_units == expected.write_units
    told = shared.kalmap("status", batch[:12], "--why-slow", cwd=tmp_path)
    assert told.code == 0, told.err
    assert [line.split()[0] for line in told.out.splitlines()[:6]] == [
        "step", "plan", "partition", "plan_shards", "load", "filter",
    ]  # fmt: skip


def test_running_a_file_again_never_overwrites_its_results(shared, tmp_path):
    (tmp_path / "in.jsonl").write_text(daily_readings("output-2", days=3))
    assert shared.run("in.jsonl", "--out", "out", cwd=tmp_path).code == 0
    before = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    batch = json.loads(before["summary.json"])["batch_id"]
    refused = shared.run("in.jsonl", "--out", "out", cwd=tmp_path)
    assert refused.code == 2
    assert f"already holds the results of batch {batch[:12]}" in refused.err

    # As the sentence says: without --out every batch has a folder of its own.
    again = shared.run("in.jsonl", cwd=tmp_path)
    assert again.code == 0, again.err
    assert "Every reading had been counted by earlier batches: no state has changed." in again.out
    third = shared.run("in.jsonl", cwd=tmp_path)
    for later in (again, third):
        words = " ".join(later.out.split())
        assert f"`kalmap results {batch[:12]} --stack kalmap` gets its results." in words
    assert '"level":null' in (tmp_path / "kalmap-out" / "latest" / "results.jsonl").read_text()
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == before

    for out in ("out", "fetched"):
        fetched = shared.kalmap("results", batch[:12], "--out", out, cwd=tmp_path)
        assert fetched.code == 0, fetched.err
        assert {path.name: path.read_text() for path in (tmp_path / out).iterdir()} == before
    other = shared.kalmap("results", "nothing-begins-so", cwd=tmp_path)
    assert other.code == 2


def test_a_script_gets_one_json_object_and_silence(shared, tmp_path):
    (tmp_path / "in.jsonl").write_text(daily_readings("output-3", days=3))
    ran = shared.run("in.jsonl", "--quiet", "--json", "--out", "out", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    printed = json.loads(ran.out)
    assert printed["readings"]["accepted"] == 3
    assert printed["files"]["results"] == "out/results.jsonl"
    assert printed["files"]["failed"] is None
    assert all((tmp_path / name).exists() for name in printed["files"].values() if name)
    quiet = shared.run("in.jsonl", "--quiet", cwd=tmp_path)
    assert quiet == (0, "", "")
    # A batch that failed is an object, too, and the reason stays on stderr.
    (tmp_path / "bad.jsonl").write_text(daily_readings("output-3", days=4) + "{}\n")
    refused = shared.run("bad.jsonl", "--json", "--limits", "unusable=0", "--quiet", cwd=tmp_path)
    assert refused.code == 1
    assert json.loads(refused.out)["status"] == "failed"
    assert refused.err.startswith("kalmap: The batch failed: ")


def test_stopping_distinguishes_an_execution_that_was_never_started(shared):
    stack = find_stack(shared.cloud.clients, STACK)
    assert stop_execution(shared.cloud.clients, new_execution_arn(stack)) is None
    execution = new_execution_arn(stack)
    start_batch(shared.cloud.clients, stack, {"source": {"records": []}}, execution)
    assert stop_execution(shared.cloud.clients, execution) is False
    # Stopping an execution that has ended is no error, and its end can be read.
    execution = new_execution_arn(stack)
    start_batch(shared.cloud.clients, stack, {"source": {}}, execution)
    for _ in watch_execution(shared.cloud.clients, execution, PollIntervals(0.1, 0.1)):
        pass
    assert stop_execution(shared.cloud.clients, execution) is False
    assert get_execution_end(shared.cloud.clients, execution).reason
