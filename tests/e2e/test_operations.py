"""What whoever runs kalmap does to stored data, by the commands."""

import json
import shutil

import msgspec
import pytest

from kalmap.profile import builtin_profile
from kalmap.results.table import decode_table
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.objects import Objects
from kalmap_cli.operations.forget import forget
from kalmap_cli.operations.user_traces import find_traces
from tests.support.deployed_stack import Stack, daily_readings


def batch_of(folder):
    return json.loads((folder / "summary.json").read_text())["batch_id"]


def exact(shared, user, cwd):
    return shared.kalmap("states", "--user", user, "--exact", cwd=cwd).out


def test_a_batch_is_rolled_back_and_run_again_as_the_screen_says(shared, tmp_path):
    (tmp_path / "good.jsonl").write_text(daily_readings("back"))
    (tmp_path / "bad.jsonl").write_text(daily_readings("back", 6) + "\n" + daily_readings("made"))
    assert shared.run("good.jsonl", "--out", "good", cwd=tmp_path).code == 0
    before = exact(shared, "back", tmp_path)
    assert shared.run("bad.jsonl", "--out", "bad", cwd=tmp_path).code == 0
    bad = exact(shared, "back", tmp_path)
    batch = batch_of(tmp_path / "bad")

    rehearsed = shared.kalmap("rollback", batch[:12], "--rehearse", cwd=tmp_path)
    assert (rehearsed.code, rehearsed.out) == (0, "")
    assert "state from before it again   1 user\n" in rehearsed.err
    assert "made by it, no state again   1 user\n" in rehearsed.err
    assert rehearsed.err.endswith("No state was written.\n")
    assert exact(shared, "back", tmp_path) == bad

    done = shared.kalmap("rollback", batch[:12], cwd=tmp_path)
    assert done.code == 0, done.err
    assert exact(shared, "back", tmp_path) == before
    assert (
        "There is no stored state of user 'made'."
        in shared.kalmap("states", "--user", "made", cwd=tmp_path).err
    )
    listed = shared.kalmap("status", batch, cwd=tmp_path).out
    assert "FAILED" in listed
    assert "were rolled back" in listed

    again = shared.kalmap("retry", batch, "--out", "again", cwd=tmp_path)
    assert again.code == 0, again.err
    assert exact(shared, "back", tmp_path) == bad
    twice = shared.kalmap("rollback", batch, cwd=tmp_path)
    assert twice.code == 1
    assert "left, as changed since       2 users (back, made)" in twice.err
    assert exact(shared, "back", tmp_path) == bad

    objects = Objects(Stack(shared.cloud).client("s3"), Stack(shared.cloud).bucket)
    for key in objects.keys(f"batches/{batch}/"):
        if key.endswith(".changed"):
            objects.put(key, b"no states")
    damaged = shared.kalmap("rollback", batch, cwd=tmp_path)
    assert damaged.code == 1
    assert f"A file of batch {batch[:12]} with the states from before it is damaged" in damaged.err
    assert exact(shared, "back", tmp_path) == bad
    # Other tests search all versions of all objects.
    for version in list(objects.versions(f"batches/{batch}/")):
        if version.current and version.key.endswith(".changed"):
            objects.delete_version(version)


def test_a_rehearsal_is_compared_with_what_is_stored_and_has_nothing_to_roll_back(shared, tmp_path):
    (tmp_path / "r.jsonl").write_text(
        daily_readings("rehearsed", 9) + "\n" + daily_readings("rehearsed-2")
    )
    (tmp_path / "stored.jsonl").write_text(daily_readings("rehearsed", 9))
    assert shared.run("stored.jsonl", "--out", "stored", cwd=tmp_path).code == 0
    changed = msgspec.structs.replace(builtin_profile("body-weight"), measurement_noise=0.8)
    (tmp_path / "p.json").write_bytes(msgspec.json.encode(changed))
    words = ("r.jsonl", "--write-mode", "none", "--out", "r", "--profile", "p.json")
    assert shared.run(*words, "--adopt-profile", cwd=tmp_path).code == 0
    before = exact(shared, "rehearsed", tmp_path)
    compared = shared.kalmap(
        "compare", batch_of(tmp_path / "r"), "--out", "changes.jsonl", cwd=tmp_path
    )
    assert compared.code == 0, compared.err
    assert "compared                1 user, 9 readings" in compared.out
    assert "not compared            1 user: without a stored state" in compared.out
    [user] = map(json.loads, (tmp_path / "changes.jsonl").read_text().splitlines())
    assert user["user_id"] == "rehearsed"
    assert user["new_sd"] > user["stored_sd"]
    assert exact(shared, "rehearsed", tmp_path) == before
    refused = shared.kalmap("rollback", batch_of(tmp_path / "r"), cwd=tmp_path)
    assert refused.code == 2
    assert "was a rehearsal and has written no state" in refused.err


def test_states_come_back_from_a_table_that_a_backup_was_restored_to(shared, tmp_path):
    stack = Stack(shared.cloud)
    (tmp_path / "then.jsonl").write_text(daily_readings("then"))
    assert shared.run("then.jsonl", "--out", "then", cwd=tmp_path).code == 0
    before = exact(shared, "then", tmp_path)
    stack.client("dynamodb").restore_table_to_point_in_time(
        SourceTableName=stack.outputs["StatesTable"],
        TargetTableName="restored",
        UseLatestRestorableTime=True,
    )
    (tmp_path / "now.jsonl").write_text(daily_readings("then", 6))
    assert shared.run("now.jsonl", "--out", "now", cwd=tmp_path).code == 0
    words = ("--user", "then", "--table", "restored", "--exact", "--out", "backup.jsonl")
    assert shared.kalmap("states", *words, cwd=tmp_path).code == 0
    assert (tmp_path / "backup.jsonl").read_text() == before
    loaded = shared.kalmap("states", "--load", "backup.jsonl", "--replace", cwd=tmp_path)
    assert loaded.code == 0, loaded.err
    assert exact(shared, "then", tmp_path) == before


def everything(stack):
    """All versions of all objects, by key: their contents."""
    s3, contents = stack.client("s3"), {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=stack.bucket):
        for version in page.get("Versions", []):
            read = s3.get_object(
                Bucket=stack.bucket, Key=version["Key"], VersionId=version["VersionId"]
            )
            contents.setdefault(version["Key"], []).append(read["Body"].read())
    return contents


def holding(contents, user, other):
    """The keys of objects that have a user in them, whose id begins that of another one."""
    found = set()
    for key, versions in contents.items():
        for data in versions:
            lines = decode_table(data) if data.startswith(b"PAR1") else [data]
            if any(user.encode() in line.replace(other.encode(), b"") for line in lines):
                found.add(key)
    return found


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_forgotten_user_is_gone_from_the_stack_and_others_keep_every_line(shared, tmp_path, form):
    stack, user, other = Stack(shared.cloud), f"gone-{form}", f"gone-{form}-2"
    broken = json.dumps({"user_id": user, "timestamp": "never", "value": 1})
    lines = [daily_readings(user), daily_readings(other, 9), broken, broken.replace(user, other)]
    s3, key = stack.client("s3"), f"uploads/{form}.jsonl"
    s3.put_object(Bucket=stack.bucket, Key=key, Body="\n".join(lines).encode())
    batch = {"source": {"bucket": stack.bucket, "key": key}, "results": form}
    stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["StateMachineArn"],
        input=json.dumps(batch | {"limits": {"unusable": 1.0}}),
    )
    [ended] = stack.ended(key)
    record = json.loads(ended["output"])
    # A batch of this user alone, whose staged input is deleted.
    (tmp_path / "alone.jsonl").write_text(daily_readings(user, 5))
    assert shared.run("alone.jsonl", "--out", "alone", cwd=tmp_path).code == 0
    # An input of which not every record is known to be theirs.
    mixed = f"uploads/{form}-mixed.jsonl"
    records = f"{daily_readings(user, 2)}\n{broken.replace(user, other)}"
    s3.put_object(Bucket=stack.bucket, Key=mixed, Body=records.encode())
    stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["StateMachineArn"],
        input=json.dumps({"source": {"bucket": stack.bucket, "key": mixed}}),
    )
    stack.ended(mixed)

    def lines_of_others():
        shared.kalmap("results", record["batch_id"], "--out", "all", cwd=tmp_path)
        got = [(tmp_path / "all" / name).read_text().splitlines()
               for name in ("results.jsonl", "unreadable.jsonl")]  # fmt: skip
        shutil.rmtree(tmp_path / "all")
        return [[line for line in each if other in line] for each in got], got

    before, _ = lines_of_others()
    assert [len(each) for each in before] == [10, 1]
    state = exact(shared, other, tmp_path)
    rehearsed = shared.kalmap("forget", user, "--rehearse", cwd=tmp_path)
    assert rehearsed.code == 0
    assert rehearsed.err.endswith("Nothing was deleted.\n")
    held = holding(everything(stack), user, other)
    assert {"states", "results", "unreadable", "partitions"} <= {
        name for found in held for name in found.split("/")
    }
    assert f"input s3://{stack.bucket}/{key}: deleted WorkDays after" in rehearsed.err
    assert "answers to requests with an Idempotency-Key: 24 hours" in rehearsed.err

    # Killed after most of the objects.
    objects = Objects(s3, stack.bucket)
    traces = find_traces(objects, user, ())
    store = DynamoDBStateStore(stack.client("dynamodb"), stack.outputs["StatesTable"])
    forget(user, store, objects, traces.own[:-2])

    done = shared.kalmap("forget", user, cwd=tmp_path)
    assert done.code == 0, done.err
    assert holding(everything(stack), user, other) == {key, mixed}
    after, all_lines = lines_of_others()
    assert after == before == all_lines
    assert exact(shared, other, tmp_path) == state
    assert (
        f"no stored state of user '{user}'"
        in shared.kalmap("states", "--user", user, cwd=tmp_path).err
    )
    again = shared.kalmap("forget", user, cwd=tmp_path)
    assert again.code == 0
    assert "Done: 0 states and 0 versions of objects deleted; 0 objects" in again.err


def test_names_of_nothing_and_days_to_come_are_refused_with_what_to_type(shared, tmp_path):
    for words, sentence in (
        (("prune", "--before", "2999-01-01"), "--before is 2999-01-01, which has not come yet"),
        (("compare", "missing.jsonl"), "There is no file missing.jsonl. Check the path, or name"),
        (("compare", "x" * 5000), "There is no file xxx"),
        (("rollback", "x" * 5000), "There is no batch whose id begins with xxx"),
        (("rollback", "a\x1b[31mb"), "There is no batch whose id begins with a_[31mb."),
        (("forget", "x" * 5000), "The user's id has 5,000 bytes."),
    ):
        refused = shared.kalmap(*words, cwd=tmp_path)
        assert (refused.code, refused.out) == (2, "")
        assert sentence in refused.err
        assert len(refused.err) < 400
    pruned = shared.kalmap("prune", "--before", "1999-01-01", "--profile", "typo", cwd=tmp_path)
    assert pruned.code == 0
    assert "No state is stored under the profile typo." in pruned.err
    assert "Nothing is stored under this id." in shared.kalmap("forget", "nobody", cwd=tmp_path).err
