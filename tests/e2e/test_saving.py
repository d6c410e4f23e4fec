"""What the local cloud keeps: through kill -9, a full disk, damage, and from an older format.

Most tests use tables and objects of their own: what they show does not depend on what is stored.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from kalmap_cli.errors import RunFailed, Unsaved
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK
from kalmap_cli.local.lifecycle import LifecycleRule, delete_expired_objects, read_lifecycle_rules
from kalmap_cli.local.persistence import count_items
from kalmap_cli.stack import find_stack
from tests.support.kalmap_command import kalmap

KEYS = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@contextmanager
def local_cloud(directory):
    with DataDirectory(directory) as data, LocalCloud(data) as cloud:
        yield cloud


def make_table(cloud):
    cloud.clients("dynamodb").create_table(TableName="kept", **KEYS)
    cloud.clients("s3").create_bucket(Bucket="kept")
    cloud.save()


def put(cloud, number, value="v"):
    cloud.clients("dynamodb").put_item(
        TableName="kept", Item={"id": {"S": f"i{number}"}, "value": {"S": value}}
    )


def values(cloud):
    pages = cloud.clients("dynamodb").get_paginator("scan").paginate(TableName="kept")
    return {item["id"]["S"]: item["value"]["S"] for page in pages for item in page["Items"]}


@contextmanager
def failing_local_cloud(directory, sentence, kind=RunFailed):
    """A local cloud that ends with a sentence about what went wrong."""
    with ExitStack() as stack:
        yield stack.enter_context(local_cloud(directory))
        with pytest.raises(kind, match=sentence):
            stack.close()


@contextmanager
def killed_local_cloud(directory):
    """A local cloud that is killed at the end of the block, unless it was before."""
    with failing_local_cloud(directory, "ended before it had saved") as cloud:
        yield cloud
        with suppress(ProcessLookupError):
            os.kill(cloud.process_id, signal.SIGKILL)


def test_every_kind_of_change_that_was_answered_survives_a_kill(tmp_path):
    with killed_local_cloud(tmp_path) as cloud:
        make_table(cloud)
        database = cloud.clients("dynamodb")
        for number in range(6):
            put(cloud, number)
        database.update_item(
            TableName="kept",
            Key={"id": {"S": "i0"}},
            UpdateExpression="SET #v = :v",
            ExpressionAttributeNames={"#v": "value"},
            ExpressionAttributeValues={":v": {"S": "updated"}},
        )
        database.delete_item(TableName="kept", Key={"id": {"S": "i1"}})
        database.batch_write_item(
            RequestItems={"kept": [{"DeleteRequest": {"Key": {"id": {"S": "i2"}}}}]}
        )
        database.batch_execute_statement(
            Statements=[
                {
                    "Statement": """UPDATE "kept" SET "value"=? WHERE "id"='i3'""",
                    "Parameters": [{"S": "by statement"}],
                }
            ]
        )
        insert = """INSERT INTO "kept" VALUE {'id': ?, 'value': 'undone'}"""
        with suppress(ClientError):
            # The second insert finds the item there, so the first is undone.
            database.execute_transaction(
                TransactStatements=[
                    {"Statement": insert, "Parameters": [{"S": "new"}]},
                    {"Statement": insert, "Parameters": [{"S": "i4"}]},
                ]
            )
        cloud.clients("s3").put_object(Bucket="kept", Key="a/b", Body=b"object")
        before = values(cloud)
    assert count_items(tmp_path / "cloud", "kep") == len(before)
    assert before == {"i0": "updated", "i3": "by statement", "i4": "v", "i5": "v"}
    with local_cloud(tmp_path) as cloud:
        assert values(cloud) == before
        response = cloud.clients("s3").get_object(Bucket="kept", Key="a/b")
        assert response["Body"].read() == b"object"
    assert count_items(tmp_path / "cloud", "kep") == len(before)


def test_kills_at_any_moment_lose_nothing_that_was_answered(tmp_path, without_pauses):
    answered = {}
    tried = {}

    def writing_until_it_is_gone(cloud, life):
        # The kernel's clock sends the kill, at any point of the local cloud's work.
        killer = subprocess.Popen(["sh", "-c", f"sleep {life}; kill -9 {cloud.process_id}"])
        with suppress(BotoCoreError, ClientError, RunFailed):
            for number in range(100_000):
                key, value = f"i{number % 50}", f"{life} {number}"
                tried[key] = value
                put(cloud, number % 50, value)
                answered[key] = value
                if number % 40 == 20:
                    cloud.save()
        killer.wait()

    for life in (0, 0.13, 0.31, 0.47):
        with killed_local_cloud(tmp_path) as cloud:
            if not life:
                make_table(cloud)
            # The last change of all was made and not answered, or not made.
            stored = values(cloud)
            assert set(stored) >= set(answered)
            assert all(stored[key] in (value, tried[key]) for key, value in answered.items())
            writing_until_it_is_gone(cloud, life)
    # On a busy machine the kills come before all fifty.
    assert len(answered) >= 20


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A data directory in which a batch was run, and its files of readings."""
    directory = tmp_path_factory.mktemp("used")
    for seed in (1, 2):
        made = kalmap(
            *("simulate", "--users", 30, "--days", 9, "--seed", seed, "--out", f"{seed}.jsonl"),
            cwd=directory,
        )
        assert made.code == 0, made.err
    ran = kalmap("run", "1.jsonl", cwd=directory)
    assert ran.code == 0, ran.err
    return directory


@pytest.fixture
def copied(used, tmp_path):
    shutil.copytree(used, tmp_path, dirs_exist_ok=True)
    return tmp_path


def listed(folder):
    """The exact states and the batches, as commands print them."""
    return [kalmap(*command, cwd=folder).out for command in (("states", "--exact"), ("status",))]


def test_damage_is_refused_and_after_the_named_command_nothing_is_lost(copied):
    before = kalmap("states", "--exact", cwd=copied).out
    assert before
    save = max((copied / ".kalmap" / "cloud" / "saves").iterdir())
    damaged = save / "services.tsv"
    os.truncate(damaged, 1000)
    for command in (["states"], ["status"], ["run", "2.jsonl"]):
        refused = kalmap(*command, cwd=copied)
        assert refused.code == 2
        assert refused.out == ""
        assert f"{damaged} is damaged: it has 1,000 bytes" in refused.err
    assert damaged.stat().st_size == 1000
    _, _, command = refused.err.strip().partition("move the damaged save away: ")
    subprocess.run(command, shell=True, check=True)
    assert kalmap("states", "--exact", cwd=copied).out == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"kalmap_data_directory": 99}', "has format 99, and this kalmap knows formats 1 to 2"),
        ("garbage", "kalmap.json is damaged"),
        ("", "kalmap.json is damaged"),
    ],
)
def test_a_format_file_that_is_foreign_or_damaged_is_refused_and_not_changed(
    copied, content, sentence
):
    path = copied / ".kalmap" / "kalmap.json"
    path.write_text(content)
    refused = kalmap("states", "--exact", cwd=copied)
    assert (refused.code, refused.out) == (2, "")
    assert sentence in refused.err
    assert path.read_text() == content


def test_old_executions_and_logs_are_deleted_and_newer_ones_are_not(copied):
    def held(cloud):
        executions = cloud.clients("stepfunctions").list_executions(
            stateMachineArn=find_stack(cloud.clients, STACK).state_machine
        )["executions"]
        groups = cloud.clients("logs").describe_log_groups()["logGroups"]
        return len(executions), sum(group["storedBytes"] > 0 for group in groups)

    with local_cloud(copied / ".kalmap") as cloud:
        executions, logs = held(cloud)
    assert executions == 1
    assert logs
    # The same save, some months older.
    state = made_format_1(copied / ".kalmap")
    ended = datetime.now(UTC) - timedelta(days=91)
    path = state / "stepfunctions.json"
    dated = re.sub(
        r'("stopDate": )"[^"]*"', rf'\1"{ended:%Y-%m-%dT%H:%M:%S.000Z}"', path.read_text()
    )
    path.write_text(dated)
    path = state / "cloudwatch_logs.json"
    dated = re.sub(r'("timestamp": )\d+', rf"\g<1>{ended.timestamp() * 1000:.0f}", path.read_text())
    path.write_text(dated)
    with local_cloud(copied / ".kalmap") as cloud:
        assert held(cloud) == (0, 0)
    assert kalmap("status", cwd=copied).out.count("succeeded") == 1


def made_format_1(data_dir):
    """Turn a data directory into one as format 1 had it: each service in a file of its own."""
    saves = data_dir / "cloud" / "saves"
    state = data_dir / "cloud" / "state"
    save = max(saves.iterdir())
    shutil.copytree(save / "lambda-blobs", state / "lambda-blobs")
    for line in (save / "services.tsv").read_text().splitlines():
        service, content = line.split("\t", 1)
        (state / f"{service}.json").write_text(content)
    shutil.rmtree(saves)
    shutil.rmtree(data_dir / "cloud" / "changes")
    (data_dir / "kalmap.json").write_text('{"kalmap_data_directory": 1}\n')
    return state


def test_a_save_of_a_newer_local_cloud_is_refused(copied):
    state = made_format_1(copied / ".kalmap")
    content = (state / "dynamodb.json").read_text()
    (state / "dynamodb.json").write_text(
        content.replace('"__ministack_format__": 2', '"__ministack_format__": 9', 1)
    )
    refused = kalmap("states", "--exact", cwd=copied)
    assert (refused.code, refused.out) == (2, "")
    assert "was saved by a newer kalmap, whose local cloud writes dynamodb" in refused.err


def test_a_directory_of_format_1_is_carried_over(copied):
    before = listed(copied)
    made_format_1(copied / ".kalmap")
    assert [
        kalmap(*command, cwd=copied).out for command in (("states", "--exact"), ("status",))
    ] == before
    assert (copied / ".kalmap" / "kalmap.json").read_text() == '{"kalmap_data_directory": 2}\n'
    assert not (copied / ".kalmap" / "cloud" / "state").exists()


def test_a_deployment_whose_record_is_lost_imports_the_existing_tables_and_bucket(copied):
    before = listed(copied)
    state = made_format_1(copied / ".kalmap")
    for service in ("cloudformation", "lambda", "stepfunctions", "s3"):
        (state / f"{service}.json").unlink()
    assert [
        kalmap(*command, cwd=copied).out for command in (("states", "--exact"), ("status",))
    ] == before
    again = kalmap("run", "1.jsonl", cwd=copied)
    assert again.code == 0, again.err
    assert re.search(r"accepted +0\n", again.out)
    with local_cloud(copied / ".kalmap") as cloud:
        buckets = [bucket["Name"] for bucket in cloud.clients("s3").list_buckets()["Buckets"]]
        versioned = [
            cloud.clients("s3").get_bucket_versioning(Bucket=name).get("Status") for name in buckets
        ]
        assert sorted(map(str, versioned)) == ["Enabled", "None"]
        tables = cloud.clients("dynamodb").list_tables()["TableNames"]
        assert len([name for name in tables if "States" in name]) == 1


def test_the_error_says_that_the_directory_was_removed_and_nothing_replaces_it(
    tmp_path, without_pauses
):
    directory = tmp_path / "data"
    with failing_local_cloud(directory, f"{directory} was removed or replaced while") as cloud:
        make_table(cloud)
        shutil.rmtree(directory)
        # Nothing is answered that could not be kept.
        with pytest.raises(ClientError, match="Not logged"):
            put(cloud, 1)
        with pytest.raises(ClientError, match="Not stored"):
            cloud.clients("s3").put_object(Bucket="kept", Key="k", Body=b"v")
    assert not directory.exists()


def test_a_directory_that_is_replaced_is_not_touched(tmp_path):
    directory = tmp_path / "data"
    with failing_local_cloud(directory, "was removed or replaced") as cloud:
        make_table(cloud)
        directory.rename(tmp_path / "moved")
        directory.mkdir()
        (directory / "bucket").write_text("another's")
    assert [path.name for path in directory.iterdir()] == ["bucket"]
    # What was moved away is whole.
    with local_cloud(tmp_path / "moved") as cloud:
        assert values(cloud) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_a_failed_save_is_an_error_and_the_earlier_save_is_restored(tmp_path, without_pauses):
    directory = tmp_path / "data"
    with local_cloud(directory) as cloud:
        make_table(cloud)
        put(cloud, 1)
    sentence = "^The local cloud could not save: file too large"
    with failing_local_cloud(directory, sentence, Unsaved) as cloud:
        put(cloud, 2)
        # From now on no file of the local cloud may grow beyond this, as on a full disk.
        resource.prlimit(cloud.process_id, resource.RLIMIT_FSIZE, (2000, 2000))
        with pytest.raises(ClientError, match="Not logged"):
            put(cloud, 3, "v" * 4096)
        # What it holds in memory alone is not answered, either.
        with pytest.raises(ClientError, match="Not logged"):
            values(cloud)
        with pytest.raises(ClientError, match="Not stored"):
            cloud.clients("s3").put_object(Bucket="kept", Key="k", Body=bytes(9000))
    with local_cloud(directory) as cloud:
        assert values(cloud) == {"i1": "v", "i2": "v"}


def test_objects_that_have_expired_by_the_lifecycle_rules_are_deleted(tmp_path):
    rules = [LifecycleRule("batches/", 30, None), LifecycleRule("", None, 1)]
    with local_cloud(tmp_path) as cloud:
        s3 = cloud.clients("s3")
        s3.create_bucket(Bucket="kept")
        s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
        for key in ("batches/a", "batches/b", "profiles/a"):
            s3.put_object(Bucket="kept", Key=key, Body=b"first")
        for key in ("profiles/a", "batches/b"):
            s3.put_object(Bucket="kept", Key=key, Body=b"second")
        now = datetime.now(UTC)
        assert delete_expired_objects(s3, "kept", rules, now) == 0
        assert delete_expired_objects(s3, "kept", rules, now + timedelta(days=1, minutes=5)) == 2
        assert delete_expired_objects(s3, "kept", rules, now + timedelta(days=29)) == 0
        assert delete_expired_objects(s3, "kept", rules, now + timedelta(days=31)) == 2
        listed = s3.list_object_versions(Bucket="kept")
        assert [version["Key"] for version in listed["Versions"]] == ["profiles/a"]
        assert s3.get_object(Bucket="kept", Key="profiles/a")["Body"].read() == b"second"


def test_the_rules_are_those_of_the_deployed_template(shared):
    rules = read_lifecycle_rules(shared.cloud.clients("cloudformation"), STACK)
    assert LifecycleRule("batches/", 30, None) in rules
    assert LifecycleRule("scheduled/", 30, None) in rules
    assert LifecycleRule("", None, 1) in rules
    assert not [rule for rule in rules if rule.days and "profiles/".startswith(rule.prefix)]
