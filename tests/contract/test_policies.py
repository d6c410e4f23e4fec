"""Every policy in the template is tested, and allows only what is used."""

import json
from importlib.resources import files

from kalmap import keys
from kalmap_cli.local.deploy import read_template
from tests.support.policies import functions
from tests.support.template import TEMPLATE, with_conditions

RESOURCES = read_template(TEMPLATE)["Resources"]
#: Where the policies of others than functions are held against what they are for.
TRIED = {
    "StateMachineRole": "tests/contract/test_state_machine.py",
    "ScheduleRole": "here",
    "WorkBucketPolicy": "tests/e2e/test_roles.py",
    "DeadLetterQueuePolicy": "tests/e2e/test_dead_letters.py",
    "FailedBatchesQueuePolicy": "tests/e2e/test_dead_letters.py",
}


def of_type(*types):
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] in types}


def managed():
    return set(of_type("AWS::IAM::ManagedPolicy"))


def with_statements():
    return {name for name, resource in RESOURCES.items() if "'Statement'" in str(resource)}


def test_every_policy_belongs_to_a_function_or_has_its_own_test():
    with_policies = {name for name in functions(RESOURCES) if name in with_statements()}
    assert with_statements() == with_policies | managed() | set(TRIED)


def test_every_managed_policy_belongs_to_a_function():
    used = {
        policy["Ref"]
        for properties in of_type("AWS::Serverless::Function").values()
        for policy in with_conditions(properties["Policies"], {"HasKmsKey"})
        if "Ref" in policy
    }
    assert used == managed()


def test_every_functions_permissions_come_from_the_template():
    for properties in of_type("AWS::Serverless::Function").values():
        assert properties["Policies"]
        assert "Role" not in properties


def test_the_schedule_may_start_batches_and_nothing_else():
    [policy] = of_type("AWS::IAM::Role")["ScheduleRole"]["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": "states:StartExecution",
        "Resource": {"Ref": "FilterBatchStateMachine"},
    }


def test_a_role_of_the_template_is_for_one_service_and_only_on_behalf_of_this_account():
    roles = of_type("AWS::IAM::Role")
    assert roles
    for name, role in roles.items():
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        assert list(statement["Principal"]) == ["Service"], name
        assert statement["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        }, name


def test_every_end_of_an_execution_without_success_is_heard():
    release = RESOURCES["ReleaseClaimFunction"]["Properties"]["Events"]["ExecutionEnded"]
    patterns = [
        release["Properties"]["Pattern"],
        RESOURCES["FailedBatchesRule"]["Properties"]["EventPattern"],
    ]
    for pattern in patterns:
        assert set(pattern["detail"]["status"]) == {"FAILED", "TIMED_OUT", "ABORTED"}
        assert pattern["detail"]["stateMachineArn"] == [{"Ref": "FilterBatchStateMachine"}]


def test_a_dropped_file_starts_a_batch_and_an_empty_object_for_a_folder_does_not():
    dropped = RESOURCES["FilterBatchStateMachine"]["Properties"]["Events"]["DroppedFile"]
    assert dropped["Properties"]["Pattern"]["detail"] == {
        "bucket": {"name": [{"Ref": "WorkBucket"}]},
        "object": {"key": [{"prefix": keys.INCOMING}], "size": [{"numeric": [">", 0]}]},
    }


def test_every_rules_target_has_the_dead_letter_queue_behind_it():
    queue = {"Arn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}}
    rules = [
        event["Properties"]
        for resource in RESOURCES.values()
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "EventBridgeRule"
    ]
    targets = [t for rule in of_type("AWS::Events::Rule").values() for t in rule["Targets"]]
    assert rules
    assert targets
    assert [each["DeadLetterConfig"] for each in rules + targets] == [queue] * len(rules + targets)


def actions(value):
    """Every action that a part of the template names."""
    if isinstance(value, dict):
        named = value["Action"] if "Effect" in value else []
        yield from named if isinstance(named, list) else [named]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from actions(part)


def test_every_action_that_is_granted_is_one_that_aws_has():
    # cfn-lint brings the list of AWS's service authorization reference.
    text = files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text()
    known = {service: set(of["Actions"]) for service, of in json.loads(text).items()}
    # All of a service's actions are only denied.
    named = set(actions(RESOURCES)) - {"s3:*", "ec2:*"}
    assert "dynamodb:PartiQLInsert" in named
    for action in named:
        service, _, name = action.partition(":")
        assert name.lower() in known[service], action
