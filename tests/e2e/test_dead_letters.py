"""The queues of the deployed rules, and who may send to them.

The local cloud drops events that a rule cannot deliver, so only AWS puts messages into the
dead-letter queue. Two conditions of that are tested here: the target's configuration, and the
queue's policy, by the local cloud's own evaluation of policies.
"""

import json
import time

import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

from kalmap_cli.deployment import local_parameters
from kalmap_cli.local.access_files import REGION
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK, deploy
from tests.support.deployed_stack import Stack

SERVICE = "events.amazonaws.com"
YEARS_AHEAD = "cron(0 3 1 1 ? 2099)"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    parameters = local_parameters() | {"Schedule": YEARS_AHEAD, "ScheduleDays": "2"}
    with DataDirectory(tmp_path_factory.mktemp("rules")) as data, LocalCloud(data) as cloud:
        deploy(cloud.clients, parameters)
        yield Stack(cloud)


@pytest.fixture(scope="module")
def targets(stack):
    """The rules' ARNs, each with its targets."""
    events = stack.client("events")
    return {
        rule["Arn"]: events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        for rule in events.list_rules()["Rules"]
    }


class Queue:
    def __init__(self, stack, output):
        response = stack.client("sqs").get_queue_attributes(
            QueueUrl=stack.outputs[output], AttributeNames=["QueueArn", "Policy"]
        )["Attributes"]
        self.arn, self.policy = response["QueueArn"], json.loads(response["Policy"])

    def takes(self, source, service=SERVICE):
        """Whether a message gets in that a service sends for one of its resources."""
        asked = EvalContext(
            principal_arn="",
            principal_type="Service",
            principal_account="",
            action="sqs:SendMessage",
            resource_arn=self.arn,
            region=REGION,
            service_context={"aws:sourcearn": source, "aws:sourceaccount": "000000000000"},
        )
        return evaluate_resource_policy(self.policy, asked, service).decision == "Allow"


def test_an_undeliverable_event_goes_to_the_dead_letter_queue(stack, targets):
    queue = Queue(stack, "DeadLetterQueue")
    assert len(targets) == 5
    for rule, behind in targets.items():
        assert [target["DeadLetterConfig"]["Arn"] for target in behind] == [queue.arn]
        assert queue.takes(rule)


def test_other_senders_are_refused_by_both_queues(stack, targets):
    rule = next(iter(targets))
    for queue in (Queue(stack, "DeadLetterQueue"), Queue(stack, "FailedBatchesQueue")):
        assert not queue.takes(rule, service="sns.amazonaws.com")
        assert not queue.takes(f"{rule.rsplit('/', 1)[0]}/somebody-elses")


def test_only_its_own_rule_may_send_to_the_failed_batches_queue(stack, targets):
    queue = Queue(stack, "FailedBatchesQueue")
    for rule, behind in targets.items():
        assert queue.takes(rule) == (behind[0]["Arn"] == queue.arn)


def test_an_event_on_which_the_function_fails_goes_to_the_dead_letter_queue(stack):
    resources = stack.client("cloudformation").describe_stack_resources(StackName=STACK)
    [function] = [
        resource["PhysicalResourceId"]
        for resource in resources["StackResources"]
        if resource["LogicalResourceId"] == "ReleaseClaimFunction"
    ]
    # Rules invoke it this way; what has no detail it cannot read, at any of three tries.
    event = {"detail-type": "Step Functions Execution Status Change", "id": "without-detail"}
    stack.client("lambda").invoke(
        FunctionName=function, InvocationType="Event", Payload=json.dumps(event)
    )
    deadline = time.monotonic() + 60
    messages = []
    while not messages:
        assert time.monotonic() < deadline, "the event is lost"
        messages = (
            stack.client("sqs")
            .receive_message(QueueUrl=stack.outputs["DeadLetterQueue"], WaitTimeSeconds=2)
            .get("Messages", [])
        )
    assert json.loads(messages[0]["Body"])["requestPayload"] == event
