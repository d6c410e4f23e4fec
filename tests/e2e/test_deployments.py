"""What another deployment changes, and what it does not."""

import json
import shutil
import time

import pytest

from kalmap_cli.deployment import local_parameters
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import deploy
from tests.support.deployed_stack import Stack, daily_readings
from tests.support.template import ROOT


@pytest.fixture
def checkout(tmp_path):
    """A copy of what is deployed, to be changed."""
    shutil.copy(ROOT / "template.yaml", tmp_path)
    for folder in ("functions", "layers", "statemachine"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def ended(states, machine, batch_input):
    arn = states.start_execution(stateMachineArn=machine, input=json.dumps(batch_input))[
        "executionArn"
    ]
    while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.05)
    return execution


def test_a_batch_that_runs_keeps_the_code_it_began_with(checkout, tmp_path_factory):
    with DataDirectory(tmp_path_factory.mktemp("data")) as data, LocalCloud(data) as cloud:
        deploy(cloud.clients, local_parameters(), template=checkout / "template.yaml")
        stack = Stack(cloud)
        states = stack.client("stepfunctions")
        machine = stack.outputs["StateMachineArn"]
        # What an execution goes by to its end: the definition of the moment when it began.
        begun = states.describe_state_machine(stateMachineArn=machine)
        step = checkout / "functions" / "kalmap_handlers" / "steps" / "filter_users.py"
        broken = "\n\ndef handler(event, context):\n    raise ValueError\n"
        step.write_text(step.read_text() + broken)
        deploy(cloud.clients, local_parameters(), template=checkout / "template.yaml")
        running = states.create_state_machine(
            name="begun-before", definition=begun["definition"], roleArn=begun["roleArn"]
        )["stateMachineArn"]
        stack.client("s3").put_object(
            Bucket=stack.bucket, Key="in/a.jsonl", Body=daily_readings("a")
        )
        source = {"bucket": stack.bucket, "key": "in/a.jsonl"}
        assert ended(states, machine, {"source": source})["status"] == "FAILED"
        before = ended(states, running, {"source": source})
        assert before["status"] == "SUCCEEDED", before.get("cause")
        assert json.loads(before["output"])["accepted"] == 3
        # Another value of a parameter is another version, too; the one before keeps its own.
        deploy(
            cloud.clients,
            local_parameters() | {"ReadingsPerShard": "7"},
            template=checkout / "template.yaml",
        )
        later = states.describe_state_machine(stateMachineArn=machine)
        assert readings_per_shard(stack, later) == "7"
        assert readings_per_shard(stack, begun) == local_parameters()["ReadingsPerShard"]


def readings_per_shard(stack, machine):
    """What the version that a state machine plans batches with was given."""
    plan = json.loads(machine["definition"])["States"]["PlanBatch"]["Parameters"]["FunctionName"]
    configuration = stack.client("lambda").get_function_configuration(FunctionName=plan)
    return configuration["Environment"]["Variables"]["READINGS_PER_SHARD"]
