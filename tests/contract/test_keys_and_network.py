"""A key that is given encrypts all that is stored; a network that is given has every function."""

import json
import re

import pytest

from tests.support.template import template, with_conditions
from tests.support.transformed_template import of_type, transformed

KEY = {"Ref": "KmsKey"}
RESOURCES = template()["Resources"]
NETWORK = {"VpcSubnets": "subnet-0a,subnet-0b", "VpcSecurityGroups": "sg-0a"}


def at_rest(conditions):
    """How each table, bucket, queue and log group is encrypted."""
    made = with_conditions(transformed(AccessLog="true"), conditions)

    def properties(kind):
        return of_type(made, kind).items()

    return {
        **{n: p["SSESpecification"] for n, p in properties("AWS::DynamoDB::Table")},
        **{
            n: p["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            for n, p in properties("AWS::S3::Bucket")
        },
        **{
            n: (p["SqsManagedSseEnabled"], p.get("KmsMasterKeyId"))
            for n, p in properties("AWS::SQS::Queue")
        },
        **{n: p.get("KmsKeyId") for n, p in properties("AWS::Logs::LogGroup")},
    }


def test_a_key_encrypts_every_table_bucket_queue_and_log():
    encrypted = at_rest({"HasKmsKey"})
    assert {"StatesTable", "WorkBucket", "DeadLetterQueue", "ApiLogs"} <= set(encrypted)
    for name, by in encrypted.items():
        assert json.dumps(KEY) in json.dumps(by), name
    assert encrypted["StatesTable"] == {
        "SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY,
    }  # fmt: skip
    # A queue takes one of both, and not both.
    assert encrypted["DeadLetterQueue"] == (False, KEY)
    [bucket] = encrypted["WorkBucket"]
    assert bucket["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert bucket["BucketKeyEnabled"]


def test_without_a_key_everything_is_encrypted_by_keys_of_aws():
    encrypted = at_rest(set())
    assert "KmsKey" not in json.dumps(encrypted)
    for name, by in encrypted.items():
        match RESOURCES[name]["Type"]:
            # False means a key of DynamoDB's own, free of charge. Where the property is gone,
            # CloudFormation fails to update a table that was encrypted with another one.
            case "AWS::DynamoDB::Table":
                assert by == {"SSEEnabled": False}, name
            case "AWS::S3::Bucket":
                assert by == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            case "AWS::SQS::Queue":
                assert by == (True, None), name
            case "AWS::Logs::LogGroup":
                assert by is None, name  # CloudWatch encrypts by itself


def statements(value):
    """Every statement of a policy in a part of the template."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from statements(part)


def test_a_key_is_used_only_through_the_service_that_it_encrypts_for():
    of_kms = [s for s in statements(RESOURCES) if "kms:" in json.dumps(s["Action"])]
    assert of_kms
    for statement in of_kms:
        assert statement["Resource"] in (KEY, {"Ref": "InputKeys"})
        [(kind, condition)] = statement["Condition"].items()
        assert kind == "StringLike"
        assert "kms:ViaService" in condition
        if statement["Resource"] == KEY:
            [encrypted] = set(condition) - {"kms:ViaService"}
            assert encrypted.startswith("kms:EncryptionContext:")


def test_without_keys_nobody_may_use_any():
    assert "kms:" not in json.dumps(list(statements(with_conditions(used_without(), set()))))


def used_without():
    """The resources of a stack without a key."""
    return {n: r for n, r in RESOURCES.items() if r.get("Condition") != "HasKmsKey"}


@pytest.mark.parametrize(
    ("parameter", "value", "taken"),
    [
        ("KmsKey", "", True),
        ("KmsKey", "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1a2b", True),
        ("KmsKey", "arn:aws:kms:eu-central-1:123456789012:alias/kalmap", False),
        ("KmsKey", "1234abcd-12ab-34cd-56ef-1234567890ab", False),
        ("VpcSubnets", "subnet-0a,subnet-0b", True),
        ("VpcSubnets", "subnet-0a, subnet-0b", False),
        ("VpcSubnets", ",".join(["subnet-0a"] * 6), False),
        ("VpcSecurityGroups", "sg-0a", True),
        ("VpcSecurityGroups", "subnet-0a", False),
    ],
)
def test_a_value_that_aws_would_not_take_is_refused_at_once(parameter, value, taken):
    pattern = template()["Parameters"][parameter]["AllowedPattern"]
    assert (re.fullmatch(pattern, value) is not None) == taken


def test_a_versions_description_has_room_for_the_longest_network():
    # Lambda takes 256 characters. Ids have 17 digits.
    longest = {
        "VpcSubnets": ",".join([f"subnet-{'0' * 17}"] * 5),
        "VpcSecurityGroups": ",".join([f"sg-{'0' * 17}"] * 4),
        "RetryJitter": "false",
        "Parquet": "false",
    }
    for name, parameter in template()["Parameters"].items():
        longest.setdefault(name, str(parameter.get("MaxValue", 100_000)))
    versions = of_type(transformed(), "AWS::Lambda::Version")
    assert versions
    for version in versions.values():
        text = version["Description"]["Fn::Sub"]
        assert len(re.sub(r"\$\{(\w+)\}", lambda match: longest[match[1]], text)) <= 256


def test_every_function_is_in_the_network_that_is_given():
    functions = of_type(transformed(**NETWORK), "AWS::Lambda::Function")
    assert functions
    for name, function in functions.items():
        config = with_conditions(function["VpcConfig"], {"HasVpc"})
        assert config == {
            "SubnetIds": {"Fn::Split": [",", {"Ref": "VpcSubnets"}]},
            "SecurityGroupIds": {"Fn::Split": [",", {"Ref": "VpcSecurityGroups"}]},
        }, name
        assert "VpcConfig" not in with_conditions(function, set()), name


def test_no_functions_code_changes_a_network():
    # SAM gives this right to every function that may be in one.
    for name, role in of_type(transformed(), "AWS::IAM::Role").items():
        policies = json.dumps(role.get("ManagedPolicyArns", []))
        if "AWSLambdaVPCAccessExecutionRole" in policies:
            assert "NoNetworkChanges" in policies, name
    [denied] = RESOURCES["NoNetworkChanges"]["Properties"]["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Action"], denied["Resource"]) == ("Deny", "ec2:*", "*")
    # Requests of Lambda itself do not name a function that they come from.
    assert denied["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}
