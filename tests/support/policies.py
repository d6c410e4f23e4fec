"""The permissions that the template's policies give each function, and those that calls need."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.signers import RequestSigner

from tests.support.aws_models import problems

FUNCTION = "AWS::Serverless::Function"


class Grant(NamedTuple):
    """One action that a function may do on one resource."""

    function: str
    action: str
    resource: str
    """As in the template, with names for what is known when it is deployed: `${Bucket.Arn}/*`."""
    only: str | None = None
    """What a condition limits it to: a prefix to be listed, or what a KMS key has encrypted."""

    def __str__(self) -> str:
        return f"{self.function} {self.action} {re.sub('[${}]', '', self.resource)}"


class Need(NamedTuple):
    """A permission as a call needs it: an IAM action, and what it acts on."""

    action: str
    target: str
    """A table, a folder of the work bucket, or another resource, by its name in the template."""


def functions(template: Mapping[str, Any]) -> list[str]:
    """The logical ids of the functions."""
    return [name for name, resource in template.items() if resource["Type"] == FUNCTION]


def grants(template: Mapping[str, Any]) -> list[Grant]:
    """Everything that the functions' policies allow, of a deployment with all parameters.

    Args:
        template: Its resources.
    """
    return [
        Grant(name, action, resource, limit(statement))
        for name in functions(template)
        for policy in map(_with_all_parameters, template[name]["Properties"]["Policies"])
        for statement in map(_with_all_parameters, _document(template, policy)["Statement"])
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in map(_text, as_list(statement["Resource"]))
    ]


def as_list(value: Any) -> list[Any]:
    """A value of a policy as a list, even if the policy has it alone."""
    return value if isinstance(value, list) else [value]


def _document(template: Mapping[str, Any], policy: dict[str, Any]) -> dict[str, Any]:
    if "Ref" in policy:
        return dict(template[policy["Ref"]]["Properties"]["PolicyDocument"])
    return policy


#: What a service gives to KMS to say what it encrypts.
_ENCRYPTED = "kms:EncryptionContext:"


def limit(statement: Mapping[str, Any]) -> str | None:
    """What the condition of a statement limits it to, as in `Grant.only`."""
    if "Condition" not in statement:
        assert not any(action.startswith("kms:") for action in as_list(statement["Action"]))
        return None
    [(kind, condition)] = statement["Condition"].items()
    assert kind == "StringLike"
    if "s3:prefix" in condition:
        [prefix] = condition.values()
        return str(prefix)
    [service] = [_text(condition[key]) for key in condition if key == "kms:ViaService"]
    [encrypted] = [v for key, v in condition.items() if key.startswith(_ENCRYPTED)] or [service]
    return _text(as_list(encrypted)[0])


def _with_all_parameters(value: Any) -> Any:
    """The value that a condition gives if every parameter is set."""
    if "Fn::If" in value:
        [_, value, otherwise] = value["Fn::If"]
        assert otherwise == {"Ref": "AWS::NoValue"}
    return value


def _text(resource: Any) -> str:
    resource = _with_all_parameters(resource)
    if isinstance(resource, str):
        return resource
    if "Ref" in resource:
        return f"${{{resource['Ref']}}}"
    if "Fn::GetAtt" in resource:
        return "${" + ".".join(resource["Fn::GetAtt"]) + "}"
    return str(resource["Fn::Sub"])


def target_of(grant: Grant) -> str:
    """What a grant is for, as in `Need.target`."""
    if grant.resource == "${KmsKey}":
        return key_of(re.sub(r"\W|Arn", "", str(grant.only)))
    text = grant.only or grant.resource.removeprefix("${WorkBucket.Arn}").lstrip("/")
    if "${InputBucket}" in grant.resource:
        return "InputBucket"
    if parameter := re.fullmatch(r"\$\{(\w+)\}", grant.resource):
        return parameter[1]
    if grant.resource.startswith("${WorkBucket.Arn}"):
        return text.removesuffix("*").rstrip("/") or "*"
    if grant.resource.startswith("arn:"):
        return grant.resource.rsplit("${AWS::StackName}-")[-1].split(":")[0]
    return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", grant.resource)


def key_of(encrypted: str) -> str:
    """The stack's key, for the data of one of its resources."""
    return f"KmsKey of {encrypted}"


class Cloud(NamedTuple):
    """The names of deployed resources, which `needs` translates into names of the template."""

    work_bucket: str
    tables: Mapping[str, str]
    """The tables' names by logical id."""
    folders: frozenset[str]
    """The folders of the work bucket that a policy names."""

    @classmethod
    def of(
        cls, template: Mapping[str, Any], work_bucket: str, tables: Mapping[str, str]
    ) -> "Cloud":
        """Of the resources that tests made from a template."""
        targets = {
            target_of(g) for g in grants(template) if g.resource.startswith("${WorkBucket.Arn}")
        }
        return cls(work_bucket, tables, frozenset(targets - {"*"}))

    def needs(self, operation: str, request: Mapping[str, Any]) -> Iterator[Need]:
        """What a call needs, by AWS's service authorization reference."""
        tables = {name: logical_id for logical_id, name in self.tables.items()}
        if operation in {"GetObject", "HeadObject", "PutObject", "ListObjectsV2"}:
            yield self._of_s3(operation, request)
            own = request["Bucket"] == self.work_bucket
            key = key_of("WorkBucket") if own else "InputKeys"
            # A look at an object asks for its checksum, which is encrypted as well.
            if operation in {"GetObject", "HeadObject"}:
                yield Need("kms:Decrypt", key)
            if operation == "PutObject":
                yield Need("kms:GenerateDataKey", key)
        elif operation == "GetSecretValue":
            yield Need("secretsmanager:GetSecretValue", "CacheSecret")
            yield Need("kms:Decrypt", key_of("CacheSecret"))
        elif operation in {"DescribeExecution", "StartExecution"}:
            yield Need(f"states:{operation}", "filter-batch")
        elif operation == "BatchExecuteStatement":
            for statement in request["Statements"]:
                verb = statement["Statement"].split()[0].capitalize()
                table = re.findall(r'"([^"]+)"', statement["Statement"])[0]
                yield from _of_table(f"PartiQL{verb}", tables[table])
        elif operation == "TransactWriteItems":
            for item in request["TransactItems"]:
                [(kind, action)] = item.items()
                yield from _of_table(f"{kind}Item", tables[action["TableName"]])
        elif operation in {"BatchGetItem", "BatchWriteItem"}:
            for table in request["RequestItems"]:
                yield from _of_table(operation, tables[table])
        else:
            index = f"/index/{request['IndexName']}" if "IndexName" in request else ""
            yield from _of_table(operation, tables[request["TableName"]], index)

    def to_know_it_is_missing(self, request: Mapping[str, Any]) -> Need:
        """The permission to learn that an object does not exist. Without it S3 answers 403."""
        return Need("s3:ListBucket", self._target(request["Bucket"], request["Key"]))

    def _of_s3(self, operation: str, request: Mapping[str, Any]) -> Need:
        if operation == "ListObjectsV2":
            return Need("s3:ListBucket", self._target(request["Bucket"], request["Prefix"]))
        if operation == "PutObject":
            return Need("s3:PutObject", self._target(request["Bucket"], request["Key"]))
        version = "Version" if "VersionId" in request else ""
        return Need(f"s3:GetObject{version}", self._target(request["Bucket"], request["Key"]))

    def _target(self, bucket: str, key: str) -> str:
        if bucket != self.work_bucket:
            return "InputBucket"
        folder = key.split("/", 1)[0]
        return folder if folder in self.folders else "*"


def _of_table(action: str, table: str, index: str = "") -> Iterator[Need]:
    yield Need(f"dynamodb:{action}", table + index)
    # DynamoDB decrypts the table's key for whoever reads or writes.
    yield Need("kms:Decrypt", key_of(table))


def covered(need: Need, granted: set[Need]) -> bool:
    """Whether a need is among what is granted, or within it."""
    return need in granted or (
        need.action.startswith("s3:")
        and need.target != "InputBucket"
        and Need(need.action, "*") in granted
    )


#: Gives the set that a call's needs belong to; None if there is no such set.
Ledger = Callable[[BaseClient], set[Need] | None]


def record(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    """Record the needs of every call to AWS and every signed address, until the patch is undone."""
    call, sign = BaseClient._make_api_call, RequestSigner.generate_presigned_url

    def note_call(self: Any, operation: str, request: dict[str, Any]) -> Any:
        book = ledger(self)
        if book is None:
            return call(self, operation, request)
        book |= set(cloud.needs(operation, request))
        # AWS would refuse the request for its form: no permission can be granted for it.
        described = self.meta.service_model.operation_model(operation)
        book |= {Need(problem, "refused") for problem in problems(described, request)}
        try:
            return call(self, operation, request)
        except ClientError as error:
            missing = error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
            if missing and operation in {"GetObject", "HeadObject"}:
                book.add(cloud.to_know_it_is_missing(request))
            raise

    def note_address(
        self: Any, request_dict: dict[str, Any], operation_name: str, **more: Any
    ) -> Any:
        # A client with the link has the permissions of its signer.
        bucket, key = urlsplit(request_dict["url"]).path.lstrip("/").split("/", 1)
        book = ledger(self)
        if book is not None:
            book |= set(cloud.needs(operation_name, {"Bucket": bucket, "Key": key}))
        return sign(self, request_dict, operation_name, **more)

    monkeypatch.setattr(BaseClient, "_make_api_call", note_call)
    monkeypatch.setattr(RequestSigner, "generate_presigned_url", note_address)
