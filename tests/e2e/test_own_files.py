"""Files of other programs through the whole pipeline, by the deployed stack."""

import json

import pytest

from tests.support.deployed_stack import Stack
from tests.support.foreign_files import FILES, FOLDER

MAPPING = {
    "columns": {"timestamp": "Date", "value": "Weight (kg)"},
    "user": "dropped",
    "tz": "Europe/Berlin",
    "skip_empty": True,
}


RUN = [foreign for foreign in FILES if foreign.is_run]


@pytest.mark.parametrize("foreign", RUN, ids=lambda foreign: foreign.name)
def test_run_reads_what_check_has_told(shared, tmp_path, foreign):
    outcome = shared.run(*foreign.arguments, "--write-mode", "none", cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    assert f"{foreign.name} is " in outcome.err
    folder = tmp_path / "kalmap-out" / "latest"
    results = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(results) == foreign.records
    statuses = [result["status"] for result in results]
    assert statuses.count("unreadable") == foreign.unreadable
    assert statuses.count("accepted") == foreign.records - foreign.unreadable
    assert results[0]["user_id"] == foreign.first[0]
    refused = (folder / "unreadable.jsonl").read_text().splitlines()
    for line in map(json.loads, refused):
        assert foreign.told == f"{foreign.name} line {line['line']}: {line['detail']}"


def test_a_dropped_file_is_read_by_the_mapping_in_its_metadata(shared):
    stack = Stack(shared.cloud)
    key = "incoming/withings.csv"
    stack.client("s3").put_object(
        Bucket=stack.bucket,
        Key=key,
        Body=(FOLDER / "withings.csv").read_bytes(),
        Metadata={"kalmap-mapping": json.dumps(MAPPING)},
    )
    [execution] = stack.ended(key)
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    assert json.loads(execution["output"])["accepted"] == 24


def test_start_execution_takes_a_mapping_and_each_mapping_is_a_batch_of_its_own(shared):
    stack = Stack(shared.cloud)
    key = "files/withings.csv"
    stack.client("s3").put_object(
        Bucket=stack.bucket, Key=key, Body=(FOLDER / "withings.csv").read_bytes()
    )
    for user in ("first", "second"):
        source = {"bucket": stack.bucket, "key": key, "mapping": MAPPING | {"user": user}}
        stack.client("stepfunctions").start_execution(
            stateMachineArn=stack.outputs["StateMachineArn"], input=json.dumps({"source": source})
        )
    outputs = [json.loads(execution["output"]) for execution in stack.ended(key, count=2)]
    assert [output["accepted"] for output in outputs] == [24, 24]
    assert outputs[0]["batch_id"] != outputs[1]["batch_id"]
