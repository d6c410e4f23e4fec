"""The state machine on moto's interpreter, with the real handlers, tables and policies' names.

moto keeps AWS's error names, retries and payload limits, which the local cloud does not.
Two things are not moto's: Lambda calls the very handler that template.yaml names, in-process;
and DynamoDB is the local cloud's, since moto's cannot parse PartiQL's INSERT with parameters.
"""

import functools
import importlib
import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from antlr4 import ParserRuleContext, RuleContext
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.exceptions import JsonRESTError
from moto.s3 import models as s3_models
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from tests.support.dynamodb import endpoint
from tests.support.template import DEFINITION_TEXT, create_tables, template

_ENGINE = {
    "stepfunctions": {"execute_state_machine": True},
    "lambda": {"use_docker": False},
    # The tests' own keys stay, which the table's process knows.
    "core": {"mock_credentials": False},
}
_ARN = "arn:aws:lambda:us-east-1:123456789012:function:"
_node_text = RuleContext.getText
_MOTO_PARSE = AmazonStateLanguageParser.parse
#: moto parses a path at each use.
_parse_path = functools.cache(json_path.parse)
#: The work bucket.
WORK = "work"
_numbers = itertools.count(1)
#: Every engine of a process has the same tables, so that its definition is parsed only once.
_TABLES = f"engine-{os.getpid()}"
_ROLE = "arn:aws:iam::123456789012:role/kalmap"

#: Raises the error of a call. Gets the function's name, its event and the call's number.
Fault = Callable[[str, dict[str, Any], int], None]


class Throttled(JsonRESTError):
    """What Lambda's own API answers when it is asked too often."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate exceeded")


class Engine:
    """A deployed state machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
        deployment = template()
        self.template = deployment["Resources"]
        self._defaults = {
            name: str(parameter["Default"]) for name, parameter in deployment["Parameters"].items()
        }
        self.s3 = boto3.client("s3")
        self.dynamodb = boto3.client("dynamodb", endpoint_url=endpoint())
        self.states = boto3.client("stepfunctions")
        self.s3.create_bucket(Bucket="work")
        self.tables = create_tables(self.dynamodb, _TABLES)
        environment = {
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint(),
            "WORK_BUCKET": "work",
            "STATES_TABLE": self.tables["StatesTable"],
            "BATCHES_TABLE": self.tables["BatchesTable"],
            "RECORD_DAYS": "30",
            "READINGS_PER_SHARD": "10",
            "MAX_SHARDS": "4",
        }
        for name, value in (environment | settings).items():
            monkeypatch.setenv(name, value)
        self.milliseconds = 300_000
        """What every call of a function has left."""
        self.threads: dict[str, threading.Thread] = {}
        """Which runs each execution, by ARN."""
        self.calls: Counter[str] = Counter()
        self.errors: list[str] = []
        self.fault: Fault | None = None
        """Called before a handler."""
        self.fault_after: Fault | None = None
        """Called after a handler has done its work, before anybody learns of it."""
        self.deploy(self._definition())

    def deploy(self, definition: str) -> None:
        """Run this definition from now on."""
        self.machine = self.states.create_state_machine(
            name=f"filter-batch-{next(_numbers)}", definition=definition, roleArn=_ROLE
        )["stateMachineArn"]
        _forget_clients()

    def _definition(self) -> str:
        text = DEFINITION_TEXT
        substitutions = self.template["FilterBatchStateMachine"]["Properties"][
            "DefinitionSubstitutions"
        ]
        for name, value in substitutions.items():
            target = value["Ref"].removesuffix(".Version")
            known = {"WorkBucket": "work", "AWS::StackName": "kalmap", "AWS::Partition": "aws"}
            known |= self.tables | self._defaults
            text = text.replace(f"${{{name}}}", known.get(target, _ARN + target))
        assert "${" not in text
        return text

    def invoke(self, function: str, event: dict[str, Any]) -> tuple[Any, str | None]:
        """Call a function's handler; gives its answer and the error's type, if it raised."""
        self.calls[function] += 1
        try:
            if self.fault:
                self.fault(function, event, self.calls[function])
            module, name = self.template[function]["Properties"]["Handler"].rsplit(".", 1)
            context = SimpleNamespace(
                function_name=function,
                memory_limit_in_mb=1024,
                invoked_function_arn=_ARN + function,
                aws_request_id=f"{function}-{self.calls[function]}",
                get_remaining_time_in_millis=lambda: self.milliseconds,
            )
            answer = getattr(importlib.import_module(module), name)(event, context)
            if self.fault_after:
                self.fault_after(function, event, self.calls[function])
            return answer, None
        except JsonRESTError:
            raise
        except Exception as error:  # noqa: BLE001 - as Lambda does
            self.errors.append(f"{function}: {type(error).__name__}: {error}")
            return {"errorType": type(error).__name__, "errorMessage": str(error)}, "Unhandled"

    def start(self, batch_input: dict[str, Any], name: str | None = None) -> str:
        """Start an execution; gives its ARN."""
        # moto gives an execution without a name none, where AWS makes one up.
        name = name or f"execution-{next(_numbers)}"
        return str(
            self.states.start_execution(
                stateMachineArn=self.machine, input=json.dumps(batch_input), name=name
            )["executionArn"]
        )

    def wait(self, execution: str) -> dict[str, Any]:
        """Wait for an execution's end; gives its description with the output decoded."""
        self.threads[execution].join(90)
        described = self.states.describe_execution(executionArn=execution)
        assert described["status"] != "RUNNING", "the execution does not end"
        return dict(described) | {"output": json.loads(described.get("output") or "null")}

    def run(self, batch_input: dict[str, Any], name: str | None = None) -> dict[str, Any]:
        """Start an execution and wait for its end."""
        return self.wait(self.start(batch_input, name))

    def events(self, execution: str) -> list[dict[str, Any]]:
        """An execution's history."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def entered(self, execution: str) -> list[str]:
        """The names of the top-level states an execution entered."""
        top = json.loads(self._definition())["States"]
        names = [
            event["stateEnteredEventDetails"]["name"]
            for event in self.events(execution)
            if "stateEnteredEventDetails" in event
        ]
        return [name for name in names if name in top]

    def put(self, key: str, lines: list[dict[str, Any]] | bytes) -> dict[str, str]:
        """Upload readings; gives the batch's source."""
        body = lines if isinstance(lines, bytes) else "\n".join(map(json.dumps, lines)).encode()
        self.s3.put_object(Bucket="work", Key=key, Body=body)
        return {"bucket": "work", "key": key}

    def keys(self, prefix: str = "") -> list[str]:
        """The work bucket's keys."""
        objects = self.s3.list_objects_v2(Bucket="work", Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in objects]

    def record(self, batch_id: str | None = None) -> dict[str, Any]:
        """A batch's record; of the only one where none is named."""
        items = self.dynamodb.scan(TableName=self.tables["BatchesTable"])["Items"]
        chosen = [i for i in items if batch_id in (None, i["batch_id"]["S"])]
        assert len(chosen) == 1
        return {name: next(iter(value.values())) for name, value in chosen[0].items()}

    def batches(self) -> list[str]:
        """The ids of all batches."""
        items = self.dynamodb.scan(TableName=self.tables["BatchesTable"])["Items"]
        return sorted(item["batch_id"]["S"] for item in items)

    def summary(self, record: dict[str, Any]) -> dict[str, Any]:
        """The summary a batch's record points to."""
        body = self.s3.get_object(Bucket="work", Key=record["summary"])["Body"].read()
        return dict(json.loads(body))

    def results(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """All result lines of a batch, in input order."""
        from kalmap.results.merge import merge, result_keys
        from kalmap.store.objects import Objects

        objects = Objects(self.s3, "work")
        lines = merge(objects, result_keys(objects, record["prefix"]))
        return [json.loads(line) for line in lines]

    def stored(self) -> dict[str, dict[str, Any]]:
        """The items of the table of states by user, without version and tokens."""
        items = self.dynamodb.scan(TableName=self.tables["StatesTable"])["Items"]
        return {
            item["user_id"]["S"]: {
                "level": item["level"],
                "slope": item["slope"],
                "as_of": item["as_of"],
                "body": bytes(item["state"]["B"])[:-32],
            }
            for item in items
        }


def _forget_clients() -> None:
    for value in vars(importlib.import_module("kalmap_handlers.clients")).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


@functools.cache
def _syntax_tree(definition: str) -> ParserRuleContext:
    return _MOTO_PARSE(definition)[1]


def _parse(definition: str) -> tuple[Any, ParserRuleContext]:
    """As moto parses a definition, which it does at every start; the same one's tree is kept."""
    tree = _syntax_tree(definition)
    return Preprocessor().visit(tree), tree


def _text_once(node: Any) -> str:
    """A node's text. moto asks for it again and again, and no node of a parsed tree changes."""
    if "_text" not in vars(node):
        node._text = _node_text(node)
    return str(node._text)


@contextmanager
def deployed(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Iterator[Engine]:
    """An engine inside moto."""
    # Nor does it know those that moto's interpreter makes up.
    keys = {
        name.lower(): os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }

    clients: dict[tuple[str, str], Any] = {}
    making = threading.Lock()

    def client(*, service_name: str, region_name: str, **settings: Any) -> Any:
        with making:
            if (service_name, region_name) not in clients:
                clients[service_name, region_name] = boto3.client(
                    service_name, region_name, **settings | keys
                )
            return clients[service_name, region_name]

    monkeypatch.setattr(boto_client, "boto3", SimpleNamespace(client=client))
    monkeypatch.setattr(AmazonStateLanguageParser, "parse", staticmethod(_parse))
    monkeypatch.setattr(RuleContext, "getText", _text_once)
    monkeypatch.setattr(json_path, "parse", _parse_path)
    # The pauses before retries and between rounds are held by the contract tests.
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr("kalmap.pipeline.collect_writes.random.randint", lambda low, high: 0)
    # moto imports this module anew at each request, in case the environment has changed.
    monkeypatch.setattr(s3_models, "reload", lambda module: module)
    # moto closes an object's file under a thread that puts the same key as another at that moment.
    putting, put_object = threading.RLock(), s3_models.S3Backend.put_object

    def put_alone(self: Any, *arguments: Any, **named: Any) -> Any:
        with putting:
            return put_object(self, *arguments, **named)

    monkeypatch.setattr(s3_models.S3Backend, "put_object", put_alone)
    with mock_aws(config=_ENGINE):
        engine = Engine(monkeypatch, **settings)

        def invoke(
            self: Any, function_name: str, qualifier: Any, body: Any, headers: Any, response: Any
        ) -> bytes:
            answer, error = engine.invoke(
                function_name.rsplit(":", 1)[-1], json.loads(body or "{}")
            )
            if error:
                response["x-amz-function-error"] = error
            return json.dumps(answer).encode()

        def start(self: Any) -> None:
            thread = threading.Thread(target=self._execution_logic, daemon=True)
            engine.threads[self._evaluation_details.execution_details.arn] = thread
            thread.start()

        monkeypatch.setattr(LambdaSimpleBackend, "invoke", invoke)
        # moto keeps no thread that could be waited for.
        monkeypatch.setattr(ExecutionWorker, "start", start)
        yield engine
        _forget_clients()
