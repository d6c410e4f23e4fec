"""A deployed stack that enforces the roles of its functions, and requests to it.

With this setting, the local cloud allows a function only what its role allows. It allows the
state machine and the rules everything.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kalmap.batch.folder import Folder
from kalmap.store.objects import Objects
from kalmap_cli.deployment import local_parameters
from kalmap_cli.local import cloud as cloud_module
from kalmap_cli.local.access_files import REGION
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK, deploy, read_template
from tests.support.deployed_stack import Stack
from tests.support.policies import Grant, as_list, grants, limit
from tests.support.template import TEMPLATE, definition

RESOURCES = read_template(TEMPLATE)["Resources"]
GRANTS = grants(RESOURCES)
#: A bucket of another owner, which the stack's parameter InputBucket names.
OTHERS = "readings-of-others"
_ACCOUNT = "000000000000"
#: The local cloud checks no permissions for these. A test checks that the roles have them.
KEY = f"arn:aws:kms:{REGION}:{_ACCOUNT}:key/own"
INPUT_KEYS = [f"arn:aws:kms:{REGION}:{_ACCOUNT}:key/of-others-{n}" for n in (1, 2)]
SECRET = f"arn:aws:secretsmanager:{REGION}:{_ACCOUNT}:secret:cache"
#: Errors that name no action: a HEAD request's answer has no body.
_FORBIDDEN = "when calling the HeadObject operation: Forbidden"
_TOP = definition()["States"]
_MAPS = [state for state in _TOP.values() if state["Type"] == "Map"]
#: Where the children of each Map, by its label, start.
_CHILDREN = {state["Label"]: state["ItemProcessor"]["StartAt"] for state in _MAPS}
_STATES = _TOP | {n: s for state in _MAPS for n, s in state["ItemProcessor"]["States"].items()}

Payload = dict[str, Any]


class Guarded(Stack):
    """The stack on a local cloud that enforces roles and bucket policies."""

    def __init__(self, cloud: LocalCloud) -> None:
        super().__init__(cloud)
        self.cloud = cloud
        response = self.client("cloudformation").describe_stack_resources(StackName=STACK)
        self.ids = {
            r["LogicalResourceId"]: r["PhysicalResourceId"] for r in response["StackResources"]
        }
        # The local cloud speaks plain HTTP, which the bucket's policy forbids to everybody.
        s3 = self.client("s3")
        self.bucket_policy: str = s3.get_bucket_policy(Bucket=self.bucket)["Policy"]
        s3.delete_bucket_policy(Bucket=self.bucket)
        # AWS asks senders of PartiQL for dynamodb:PartiQLInsert and PartiQLUpdate, which their
        # roles have; the local cloud for an action that AWS does not know.
        for name in {g.function for g in GRANTS if "PartiQL" in g.action}:
            self._put_policy(
                self.role(name), "local-cloud-only", [("dynamodb:BatchExecuteStatement", "*", None)]
            )

    def role(self, function: str) -> str:
        """The name of a function's role."""
        return self.ids[f"{function}Role"]

    def queue(self, output: str) -> str:
        """The ARN of a queue of the stack."""
        name = self.outputs[output].rsplit("/", 1)[-1]
        return f"arn:aws:sqs:{REGION}:{_ACCOUNT}:{name}"

    def resolved(self, resource: str) -> str:
        """A grant's resource or limit, with the names of this deployment."""
        arns = {
            name: f"arn:aws:dynamodb:{REGION}:{_ACCOUNT}:table/{self.ids[name]}"
            for name in RESOURCES
            if RESOURCES[name]["Type"] == "AWS::DynamoDB::Table"
        } | {"WorkBucket": f"arn:aws:s3:::{self.bucket}"}
        known = (
            {f"{name}.Arn": arn for name, arn in arns.items()}
            | self.ids
            | {
                "DeadLetterQueue.Arn": self.queue("DeadLetterQueue"),
                "InputBucket": OTHERS,
                "InputKeys": ",".join(INPUT_KEYS),
                "KmsKey": KEY,
                "CacheSecret": SECRET,
                "AWS::Partition": "aws",
                "AWS::Region": REGION,
                "AWS::AccountId": _ACCOUNT,
                "AWS::StackName": STACK,
            }
        )
        return re.sub(r"\$\{([\w:.]+)\}", lambda match: known[match[1]], resource)

    def allowed(self, function: str) -> set[tuple[str, str, str | None]]:
        """The permissions of a function's deployed role: action, ARN and what limits it."""
        documents = [d for _, d in self._inline(function)]
        iam = self.client("iam")
        for arn in self._attached(function):
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            response = iam.get_policy_version(PolicyArn=arn, VersionId=version)
            documents.append(response["PolicyVersion"]["Document"])
        return {
            (action, arn, limit(s))
            for document in documents
            for s in document["Statement"]
            if s["Effect"] == "Allow"
            for action in as_list(s["Action"])
            for arn in as_list(s["Resource"])
        }

    @contextlib.contextmanager
    def without(self, *taken: Grant) -> Iterator[None]:
        """The stack as if the template did not give one of its functions these grants."""
        [function] = {grant.function for grant in taken}
        iam, role = self.client("iam"), self.role(function)
        inline, attached = self._inline(function), self._attached(function)
        left = [g for g in GRANTS if g.function == function and g not in taken]
        try:
            self._put_policy(
                role,
                "left",
                [
                    (g.action, self.resolved(g.resource), g.only)
                    for g in left
                    if not g.action.startswith("kms:")
                ],
            )
            for name, _ in inline:
                iam.delete_role_policy(RoleName=role, PolicyName=name)
            for arn in attached:
                iam.detach_role_policy(RoleName=role, PolicyArn=arn)
            yield
        finally:
            for name, document in inline:
                iam.put_role_policy(
                    RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document)
                )
            for arn in attached:
                iam.attach_role_policy(RoleName=role, PolicyArn=arn)
            iam.delete_role_policy(RoleName=role, PolicyName="left")

    def _inline(self, function: str) -> list[tuple[str, dict[str, Any]]]:
        iam, role = self.client("iam"), self.role(function)
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return [
            (name, iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
            for name in names
            if name != "local-cloud-only"
        ]

    def _attached(self, function: str) -> list[str]:
        response = self.client("iam").list_attached_role_policies(RoleName=self.role(function))
        # SAM adds AWS's own policy for writing logs.
        return [
            p["PolicyArn"]
            for p in response["AttachedPolicies"]
            if ":aws:policy/" not in p["PolicyArn"]
        ]

    def _put_policy(self, role: str, name: str, allowed: list[tuple[str, str, str | None]]) -> None:
        statements = [
            {"Effect": "Allow", "Action": action, "Resource": arn}
            | ({"Condition": {"StringLike": {"s3:prefix": prefix}}} if prefix else {})
            for action, arn, prefix in allowed
        ]
        # A document must have a statement, and this one allows nothing.
        document = {
            "Version": "2012-10-17",
            "Statement": statements or [{"Effect": "Deny", "Action": "iam:*", "Resource": "*"}],
        }
        self.client("iam").put_role_policy(
            RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document)
        )

    def put(self, key: str, body: str, bucket: str | None = None) -> Payload:
        """Upload an object; returns its location as a batch's source."""
        location = {"bucket": bucket or self.bucket, "key": key}
        self.client("s3").put_object(Bucket=location["bucket"], Key=key, Body=body)
        return location

    def run(self, batch_input: Payload) -> Payload:
        """Run a batch to its end; returns its execution's description."""
        states = self.client("stepfunctions")
        arn = states.start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], input=json.dumps(batch_input)
        )["executionArn"]
        while (described := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.05)
        return dict(described)

    def invoked(self, execution: Payload) -> Iterator[tuple[str, Payload]]:
        """The functions that an execution invoked, or would after failures, with their events."""
        states, arn = self.client("stepfunctions"), execution["executionArn"]
        for event in states.get_execution_history(executionArn=arn, maxResults=1000)["events"]:
            entered = event.get("stateEnteredEventDetails")
            if entered:
                yield from _invocations(entered["name"], json.loads(entered["input"]), execution)
        for run in states.list_map_runs(executionArn=arn)["mapRuns"]:
            # The local cloud keeps no history of what a Map's child enters first.
            first = _CHILDREN[run["mapRunArn"].split("/")[1].split(":")[0]]
            for child in states.list_executions(mapRunArn=run["mapRunArn"])["executions"]:
                described = states.describe_execution(executionArn=child["executionArn"])
                yield from _invocations(first, json.loads(described["input"]), execution)

    def apart(self, event: Payload, name: str) -> Payload:
        """The event with a copy of its batch's folder, which no other event uses."""
        s3, prefix = self.client("s3"), event["batch"]["prefix"]
        copy = f"{prefix}-{name}"
        listed = s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{prefix}/")["Contents"]
        for key in (item["Key"] for item in listed):
            s3.copy_object(
                Bucket=self.bucket,
                Key=copy + key.removeprefix(prefix),
                CopySource={"Bucket": self.bucket, "Key": key},
            )
        return event | {"batch": event["batch"] | {"prefix": copy}}

    def invoke(self, function: str, event: Payload) -> str | None:
        """Invoke a function; returns its error, or that of its report; None if there is none."""
        response = self.client("lambda").invoke(
            FunctionName=self.ids[function], Payload=json.dumps(event)
        )
        answer = json.loads(response["Payload"].read() or b"null")
        if "FunctionError" in response:
            return str(answer["errorMessage"])
        if function != "WriteFunction":
            return None
        # Failures of single users end no step. Its report has them for the state machine.
        report = Folder(Objects(self.client("s3"), self.bucket), event["batch"]["prefix"]).report(
            event["round"], "write", event["shard"]["shard"]
        )
        assert report
        return report.error


def _invocations(
    name: str, batch_input: Payload, execution: Payload
) -> Iterator[tuple[str, Payload]]:
    """The events that a state with an input sends to its function, and to that of its Catch."""
    state = _STATES[name]
    if not str(state.get("Resource")).endswith(":lambda:invoke"):
        return
    target = state["Parameters"]["FunctionName"].strip("${}").removesuffix("Arn")
    yield target, _filled(state["Parameters"]["Payload"], batch_input, execution)
    if "error" not in batch_input:
        error = {"Error": "Tried", "Cause": "This step was made to fail."}
        caught = state["Catch"][-1]["Next"]
        yield from _invocations(caught, batch_input | {"error": error}, execution)


def _filled(payload: Payload, batch_input: Payload, execution: Payload) -> Payload:
    context = {
        "$$.Execution.Name": execution["name"],
        "$$.Execution.StartTime": execution["startDate"].isoformat(),
        "$$.State.EnteredTime": execution["startDate"].isoformat(),
        "$$.State.RetryCount": 0,
    }

    def value(path: str) -> Any:
        if path in context:
            return context[path]
        value_at_path: Any = batch_input
        for step in path.split(".")[1:]:
            value_at_path = value_at_path[step]
        return value_at_path

    return {
        name.removesuffix(".$"): value(text) if name.endswith(".$") else text
        for name, text in payload.items()
    }


def is_refusal(error: str | None, grant: Grant) -> bool:
    """Whether an error says that a grant was missing."""
    if error is None:
        return False
    reads = grant.action.startswith("s3:GetObject")
    return f"not authorized to perform: {grant.action}" in error or (reads and _FORBIDDEN in error)


@contextlib.contextmanager
def guarded_stack(directory: Path) -> Iterator[Guarded]:
    """A stack with another input bucket, on a local cloud that enforces roles."""
    inherited = cloud_module._environment
    guard = {
        "AUTH": "true",
        # What is refused is refused again: no pause before the state machine's retries.
        "SFN_WAIT_SCALE": "0",
    }
    parameters = local_parameters() | {
        "InputBucket": OTHERS,
        "InputKeys": ",".join(INPUT_KEYS),
        "KmsKey": KEY,
        "VpcSubnets": "subnet-0a,subnet-0b",
        "VpcSecurityGroups": "sg-0a",
        "CacheSecret": SECRET,
        "BatchMaxSize": "5000",
    }
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            cloud_module, "_environment", lambda data, port: inherited(data, port) | guard
        )
        monkeypatch.setattr(cloud_module, "PROGRAM", Path(__file__).with_name("roles_process.py"))
        with DataDirectory(directory) as data, LocalCloud(data, idle_seconds=60.0) as cloud:
            s3 = cloud.clients("s3")
            s3.create_bucket(Bucket=OTHERS)
            s3.put_bucket_versioning(Bucket=OTHERS, VersioningConfiguration={"Status": "Enabled"})
            deploy(cloud.clients, parameters)
            yield Guarded(cloud)
