"""What the template promises of its bucket, tables, queues and API, whoever edits it next."""

from kalmap_cli.local.deploy import read_template
from tests import transformed
from tests.permissions import grants, place
from tests.tables import TEMPLATE

STACK = read_template(TEMPLATE)
RESOURCES = STACK["Resources"]
#: States stay for good, and so does what they were folded under.
KEPT = {"profiles"}
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
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
        [statement] = policies[name]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
            "Deny", "*", "s3:*",
        )  # fmt: skip
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert statement["Resource"] == [
            {"Fn::GetAtt": [name, "Arn"]},
            {"Fn::Sub": f"${{{name}.Arn}}/*"},
        ]


def test_whatever_is_written_is_forgotten_but_profiles():
    rules = RESOURCES["WorkBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    prefixes = [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule]
    prefixes.remove({"Ref": "SchedulePrefix"})
    forgotten = {prefix.rstrip("/") for prefix in prefixes}
    written = {place(grant) for grant in grants(RESOURCES) if grant.action == "s3:PutObject"}
    # The command line puts its files under uploads/, the state machine its under map-runs/.
    assert forgotten == written - KEPT | {"uploads", "map-runs"}
    # Versions that were replaced, of everything.
    [rest] = [rule for rule in rules if "Prefix" not in rule]
    assert rest["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_tables_are_encrypted_restored_to_any_second_and_kept():
    for name, table in of_type("AWS::DynamoDB::Table").items():
        assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
        if name in FORGETFUL:
            assert table["Properties"]["TimeToLiveSpecification"]["Enabled"]
            continue
        recovery = table["Properties"]["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True}
        assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"


def test_queues_are_encrypted():
    queues = of_type("AWS::SQS::Queue").values()
    assert queues
    assert all(queue["Properties"]["SqsManagedSseEnabled"] for queue in queues)


def test_the_api_has_one_stage_and_a_limit_of_requests_holds_for_it():
    template = transformed.transformed()
    [stage] = transformed.of_type(template, "AWS::ApiGateway::Stage").values()
    for deployment in transformed.of_type(template, "AWS::ApiGateway::Deployment").values():
        assert "StageName" not in deployment, "a deployment makes a second stage"
    [every] = stage["MethodSettings"]
    assert every["ThrottlingRateLimit"] == {"Ref": "ApiRequestsPerSecond"}


def test_the_api_asks_who_calls_and_how_often():
    api = RESOURCES["Api"]["Properties"]
    assert api["Auth"] == {"DefaultAuthorizer": "AWS_IAM", "InvokeRole": "NONE"}
    [every] = api["MethodSettings"]
    assert (every["ResourcePath"], every["HttpMethod"]) == ("/*", "*")
    assert every["ThrottlingRateLimit"] == {"Ref": "ApiRequestsPerSecond"}
    for properties in (f["Properties"] for f in of_type("AWS::Serverless::Function").values()):
        assert all("Auth" not in e["Properties"] for e in properties.get("Events", {}).values())
        assert "FunctionUrlConfig" not in properties
