"""Properties of the template's bucket, tables, queues and API that every change must keep."""

import json
import re

import msgspec
import pytest

from kalmap import keys
from kalmap.batch.identity import read_input
from kalmap_cli.local.deploy import read_template
from tests.support import transformed_template as transformed
from tests.support.policies import grants, target_of
from tests.support.template import TEMPLATE, with_conditions

STACK = read_template(TEMPLATE)
RESOURCES = STACK["Resources"]
#: States stay for good, and so does what they were folded under.
KEPT = {"profiles"}
FOLDERS = {
    keys.ANSWERS, keys.BATCHES, keys.CACHE, keys.INCOMING, keys.INLINE, keys.MAP_RUNS,
    keys.PROFILES, keys.UPLOADS,
}  # fmt: skip
#: What is forgotten in hours by itself needs neither.
FORGETFUL = {"IdempotencyTable"}


def of_type(kind):
    return {name: r for name, r in RESOURCES.items() if r["Type"] == kind}


def test_buckets_are_private_encrypted_and_reached_over_tls_alone():
    policies = {
        p["Properties"]["Bucket"]["Ref"]: p["Properties"]["PolicyDocument"]["Statement"]
        for p in of_type("AWS::S3::BucketPolicy").values()
    }
    for name, bucket in of_type("AWS::S3::Bucket").items():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert_kept(bucket)
        [statement] = policies[name]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
            "Deny", "*", "s3:*",
        )  # fmt: skip
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert statement["Resource"] == [
            {"Fn::GetAtt": [name, "Arn"]},
            {"Fn::Sub": f"${{{name}.Arn}}/*"},
        ]


def assert_kept(resource):
    """It outlives its stack; but a first deployment that fails leaves nothing behind."""
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"


def allows(parameter, value):
    return re.fullmatch(STACK["Parameters"][parameter]["AllowedPattern"], value) is not None


def test_the_schedules_prefix_has_no_lifecycle_rule_and_no_other_use():
    rules = RESOURCES["WorkBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    taken = {rule.get("Prefix") for rule in rules if isinstance(rule.get("Prefix"), str)}
    assert taken == FOLDERS - {keys.PROFILES}
    for prefix in FOLDERS | {"incoming/nightly/", "", "/", "nightly", "a//"}:
        assert not allows("SchedulePrefix", prefix), prefix
    for prefix in ("scheduled/", "nightly/", "exports/weights/", "incoming-files/"):
        assert allows("SchedulePrefix", prefix), prefix


@pytest.mark.parametrize(
    "mapping", ["null", '{"columns":{"timestamp":"Date","value":"Größe (cm)"},"user":"anna"}']
)
def test_the_schedules_mapping_is_that_of_its_batches(mapping):
    assert allows("ScheduleMapping", mapping)
    assert not allows("ScheduleMapping", "Date=timestamp")
    [target] = RESOURCES["ScheduledBatches"]["Properties"]["Targets"]
    text = target["InputTransformer"]["InputTemplate"]["Fn::Sub"]
    for name, value in (
        ("<time>", '"2026-03-01T03:00:00Z"'),
        ("${ScheduleMapping}", mapping),
        ("${ScheduleDays}", "2"),
        ("${WorkBucket}", "work"),
        ("${SchedulePrefix}", "scheduled/"),
    ):
        assert text.count(name) == 1
        text = text.replace(name, value)
    source = read_input(json.loads(text)).source
    given = json.loads(mapping)
    assert (source.mapping and msgspec.to_builtins(source.mapping)) == given


def test_a_password_is_never_a_parameter():
    assert allows("CacheUrl", "")
    assert allows("CacheUrl", "rediss://cache.example:6379/0")
    assert not allows("CacheUrl", "rediss://user:secret@cache.example:6379/0")


def test_an_alarm_about_throttling_waits_for_what_a_table_does_by_itself():
    # A table grows to twice its traffic within half an hour; only what lasts longer is trouble.
    for name in ("ThrottledReads", "ThrottledWrites"):
        alarm = RESOURCES[name]["Properties"]
        assert alarm["Period"] * alarm["EvaluationPeriods"] >= 1800


def test_warm_throughput_is_set_only_for_parameters_with_a_value():
    # DynamoDB refuses a warm throughput below the present one, and the deployment fails: so what
    # nobody has given is not there.
    warm = RESOURCES["StatesTable"]["Properties"]["WarmThroughput"]
    reads, writes = {"Ref": "WarmReads"}, {"Ref": "WarmWrites"}
    for conditions in (
        {"HasWarmReads"},
        {"HasWarmWrites"},
        {"HasWarmReads", "HasWarmWrites"},
        set(),
    ):
        asked = with_conditions(warm, conditions)
        wanted = {
            "ReadUnitsPerSecond": reads if "HasWarmReads" in conditions else None,
            "WriteUnitsPerSecond": writes if "HasWarmWrites" in conditions else None,
        }
        assert (asked or {}) == {name: value for name, value in wanted.items() if value}


def test_the_document_on_deployment_counts_the_alarms_and_names_every_parameter_it_explains():
    text = (TEMPLATE.parent / "docs" / "deployment.md").read_text()
    assert "ten alarms" in text
    assert len(of_type("AWS::CloudWatch::Alarm")) == 10
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)(?:=\w+)?`", text))
    known = {*STACK["Parameters"], *RESOURCES, *STACK["Outputs"]}
    assert "CacheSecret" in named
    assert named - known == {"AmazonAPIGatewayPushToCloudWatchLogs"}


def test_an_api_whose_function_is_ended_raises_the_alarms_about_errors_and_slow_answers():
    # Such a function counts nothing itself; the gateway does, under its name and stage.
    template = transformed.transformed()
    [api] = transformed.of_type(template, "AWS::ApiGateway::RestApi").values()
    [stage] = transformed.of_type(template, "AWS::ApiGateway::Stage").values()
    dimensions = {"ApiName": api["Body"]["info"]["title"], "Stage": stage["StageName"]}
    assert "Name" not in api
    for name, metric in {"SlowAnswers": "Latency", "FailingRequests": "5XXError"}.items():
        alarm = RESOURCES[name]["Properties"]
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/ApiGateway", metric)
        assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == dimensions


def test_an_event_on_which_a_function_fails_goes_to_a_queue():
    # Rules' own dead letters are those that were not delivered.
    for name, function in of_type("AWS::Serverless::Function").items():
        events = function["Properties"].get("Events", {}).values()
        if any(event["Type"] == "EventBridgeRule" for event in events):
            failed = function["Properties"]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
            assert failed["Destination"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, name


def test_every_object_expires_except_profiles():
    rules = RESOURCES["WorkBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    prefixes = [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule]
    prefixes.remove({"Ref": "SchedulePrefix"})
    expired = {prefix.rstrip("/") for prefix in prefixes}
    stored = {target_of(grant) for grant in grants(RESOURCES) if grant.action == "s3:PutObject"}
    # The command line puts its files under uploads/, the state machine its under map-runs/.
    assert expired == stored - KEPT | {"uploads", "map-runs"}
    # Versions that were replaced, of everything.
    [rest] = [rule for rule in rules if "Prefix" not in rule]
    assert rest["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_tables_are_restored_to_any_second_and_kept():
    for name, table in of_type("AWS::DynamoDB::Table").items():
        if name in FORGETFUL:
            assert table["Properties"]["TimeToLiveSpecification"]["Enabled"]
            continue
        recovery = table["Properties"]["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True}
        assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
        assert_kept(table)


def test_every_function_has_the_layer_for_parquet_if_the_stack_asks_for_it():
    template = transformed.transformed(Parquet="true")
    [layer] = transformed.of_type(template, "AWS::Lambda::LayerVersion")
    for name, function in transformed.of_type(template, "AWS::Lambda::Function").items():
        then = {"Fn::If": ["HasParquet", [{"Ref": layer}], {"Ref": "AWS::NoValue"}]}
        assert function["Layers"] == then, name


def test_the_api_has_one_stage_and_a_limit_of_requests_holds_for_it():
    template = transformed.transformed()
    [stage] = transformed.of_type(template, "AWS::ApiGateway::Stage").values()
    for deployment in transformed.of_type(template, "AWS::ApiGateway::Deployment").values():
        assert "StageName" not in deployment, "a deployment makes a second stage"
    [every] = stage["MethodSettings"]
    assert every["ThrottlingRateLimit"] == {"Ref": "ApiRequestsPerSecond"}


def test_every_method_of_the_api_as_it_is_deployed_asks_for_a_signature():
    template = transformed.transformed()
    [api] = transformed.of_type(template, "AWS::ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]
    [scheme] = api["Body"]["components"]["securitySchemes"].values()
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"
    methods = [method for path in api["Body"]["paths"].values() for method in path.values()]
    assert methods
    assert all(method["security"] == [{"AWS_IAM": []}] for method in methods)


def test_the_api_authenticates_and_throttles_its_callers():
    api = RESOURCES["Api"]["Properties"]
    assert api["Auth"] == {"DefaultAuthorizer": "AWS_IAM", "InvokeRole": "NONE"}
    [every] = api["MethodSettings"]
    assert (every["ResourcePath"], every["HttpMethod"]) == ("/*", "*")
    assert every["ThrottlingRateLimit"] == {"Ref": "ApiRequestsPerSecond"}
    for properties in (f["Properties"] for f in of_type("AWS::Serverless::Function").values()):
        assert all("Auth" not in e["Properties"] for e in properties.get("Events", {}).values())
        assert "FunctionUrlConfig" not in properties
