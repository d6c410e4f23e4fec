"""docs/security.md says what template.yaml says: what is stored, how long, and what is needed."""

import json
import re

import pytest

from kalmap import keys
from kalmap.store.dynamodb import answers
from tests.support.policies import grants
from tests.support.security_page import TEXT, stored, table
from tests.support.template import ROOT, template

RESOURCES, PARAMETERS = template()["Resources"], template()["Parameters"]


#: How long each place that is named in code keeps what it has.
KEPT = stored(3)


def of_type(kind):
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}


def test_every_table_queue_log_and_folder_is_named():
    folders = {value for name, value in vars(keys).items() if name.isupper()
               and isinstance(value, str) and value.endswith("/")}  # fmt: skip
    folders -= {keys.PARTITIONS}
    stores = [f"AWS::{kind}" for kind in ("DynamoDB::Table", "SQS::Queue", "Logs::LogGroup")]
    resources = {name for kind in stores for name in of_type(kind)}
    assert set(KEPT) == folders | resources | {"SchedulePrefix", "CacheUrl"}


def test_every_parameter_has_the_default_that_is_told():
    told = re.findall(r"`(\w+)` \((\d+)\)", TEXT)
    assert {name for name, _ in told} == {"RecordDays", "WorkDays", "LogDays", "CacheSeconds"}
    for name, default in told:
        assert PARAMETERS[name]["Default"] == int(default), name


def test_folders_are_deleted_after_the_days_that_are_told():
    rules = RESOURCES["WorkBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {
        prefix["Ref"] if isinstance(prefix := rule["Prefix"], dict) else prefix: rule
        for rule in rules
        if "ExpirationInDays" in rule
    }
    assert {n for n, kept in KEPT.items() if "`WorkDays`" in kept} == set(expiring)
    for rule in expiring.values():
        assert rule["ExpirationInDays"] == {"Ref": "WorkDays"}
    assert KEPT[keys.PROFILES].startswith("for good")


@pytest.mark.parametrize("kind", ["AWS::Logs::LogGroup", "AWS::SQS::Queue"])
def test_logs_and_messages_are_deleted_after_the_days_that_are_told(kind):
    for name, properties in of_type(kind).items():
        if kind == "AWS::Logs::LogGroup":
            assert properties["RetentionInDays"] == {"Ref": "LogDays"}
            assert "`LogDays`" in KEPT[name]
        else:
            assert KEPT[name] == f"{properties['MessageRetentionPeriod'] // 86_400} days"


def test_answers_are_kept_for_the_hours_that_are_told():
    assert KEPT["IdempotencyTable"] == f"{answers._ANSWER_SECONDS // 3600} hours"


def test_every_table_with_backups_is_told_to_have_them():
    # AWS keeps them for 35 days, unless the template says otherwise.
    for name, properties in of_type("AWS::DynamoDB::Table").items():
        recovery = properties.get("PointInTimeRecoverySpecification")
        assert recovery in (None, {"PointInTimeRecoveryEnabled": True})
        assert ("35 days in backups" in KEPT[name]) == (recovery is not None), name


def test_the_tests_that_the_page_names_exist():
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", TEXT))
    assert len(named) > 5
    for path in named:
        assert (ROOT / path).is_file(), path


def test_the_keys_policy_is_json_and_lets_only_services_in_that_encrypt_for_the_stack():
    [block] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    [account, *services] = json.loads(block)["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::ACCOUNT:root"}
    assert {s["Principal"]["Service"] for s in services} == {
        "logs.REGION.amazonaws.com", "events.amazonaws.com",
    }  # fmt: skip
    # Nobody else's logs and rules.
    assert all("ACCOUNT" in json.dumps(s["Condition"]) for s in services)


def test_the_endpoints_are_those_of_the_services_that_functions_call():
    asked = {}
    for grant in grants(RESOURCES):
        service, function = grant.action.split(":")[0], grant.function.removesuffix("Function")
        asked.setdefault(service, set()).add(function)
    # S3 and DynamoDB ask KMS.
    del asked["kms"]
    endpoints = {row[0].strip("`"): row[2] for row in table("A network of your own")}
    assert set(endpoints) == set(asked)
    for service, told in endpoints.items():
        if told.startswith("every function but "):
            needing = asked["s3"] | asked["dynamodb"]
            needing -= {told.removeprefix("every function but ")}
        else:
            needing = {"Api" if n == "the API" else n for n in told.split(", ")}
        assert needing == asked[service], service
