"""A deployed kalmap on the local cloud, with faults inside its Lambda workers on demand."""

import json
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kalmap.results.merge import merge, result_keys
from kalmap.store.objects import Objects
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK, deploy
from kalmap_cli.stack import find_stack
from tests.support.faults import Faults

#: A batch of the tests has several shards, and a shard several requests.
PARAMETERS = {"MaxShards": "4", "ReadingsPerShard": "250"}
_PATIENCE = 90.0

#: What was run in the whole session, for the last line of it.
executions: Counter[str] = Counter()

Items = dict[str, dict[str, Any]]


class State(NamedTuple):
    """What a user's item says, without version and tokens."""

    body: bytes
    level: float
    slope: float
    as_of: str


def states(items: Items) -> dict[str, State]:
    """The states of items as `FaultyCloud.items` gives them."""
    return {
        user: State(
            bytes(item["state"]["B"])[:-32],
            # DynamoDB writes a number in its own way.
            float(item["level"]["N"]),
            float(item["slope"]["N"]),
            item["as_of"]["S"],
        )
        for user, item in items.items()
    }


class Ran(NamedTuple):
    """An execution that has ended."""

    execution: str
    status: str
    output: Any
    cause: str
    record: dict[str, Any]
    """The batch's record; empty where there is none."""
    summary: dict[str, Any]
    results: list[bytes]
    """Result lines in the input's order."""

    @property
    def decoded(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.results]

    @property
    def counts(self) -> Counter[tuple[str, str | None]]:
        return Counter((result["status"], result["reason"]) for result in self.decoded)


class FaultyCloud(Faults):
    """The local cloud of a directory. It starts empty of faults.

    Args:
        directory: For the cloud's data and the module of the faults.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "modules")
        self._data = directory / "data"
        self._open = ExitStack()
        self._start()
        deploy(self.cloud.clients, PARAMETERS)
        self._look_around()

    def _start(self) -> None:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(self.modules), before)))
        try:
            data = self._open.enter_context(DataDirectory(self._data))
            self.cloud = self._open.enter_context(LocalCloud(data, idle_seconds=30.0))
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before

    def _look_around(self) -> None:
        self.stack = find_stack(self.cloud.clients, STACK)
        clients = self.cloud.clients
        self.s3, self.dynamodb, self.states = map(clients, ("s3", "dynamodb", "stepfunctions"))
        self.lambdas, self.queues = map(clients, ("lambda", "sqs"))
        self.functions = {
            function["FunctionName"] for function in self.lambdas.list_functions()["Functions"]
        }

    def stop(self) -> None:
        """Stop the cloud; it saves what it holds."""
        self._count()
        self._open.close()

    def restart(self) -> None:
        """Stop the cloud and start it again, with what it held."""
        self.stop()
        self._start()
        self._look_around()

    def function(self, name: str) -> str:
        """The deployed name of a function of the template."""
        (matching,) = (deployed for deployed in self.functions if name in deployed)
        return matching

    @contextmanager
    def configured(self, names: Sequence[str], **configuration: Any) -> Iterator[None]:
        """Meanwhile the state machine calls versions of functions with another configuration.

        Args:
            names: Of the functions in the template.
            configuration: As Lambda takes it, such as `Timeout`.
        """
        machine = {"stateMachineArn": self.stack.state_machine}
        before = self.states.describe_state_machine(**machine)["definition"]
        definition = before
        for function in map(self.function, names):
            self.lambdas.update_function_configuration(FunctionName=function, **configuration)
            version = self.lambdas.publish_version(FunctionName=function)["FunctionArn"]
            definition, replacements = re.subn(rf'[^"]*:{function}:\d+', version, definition)
            assert replacements, f"the state machine calls no version of {function}"
        self.states.update_state_machine(**machine, definition=definition)
        try:
            yield
        finally:
            self.states.update_state_machine(**machine, definition=before)

    # Batches.

    def put(self, body: bytes, key: str = "") -> dict[str, str]:
        """Upload readings under an unused key and return the batch's source."""
        name = key or f"in/{uuid.uuid4().hex}.jsonl"
        self.s3.put_object(Bucket=self.stack.bucket, Key=name, Body=body)
        return {"bucket": self.stack.bucket, "key": name}

    def begin(self, batch: Mapping[str, Any] | str, name: str = "") -> str:
        """Start an execution; gives its ARN."""
        executions["started"] += 1
        started = self.states.start_execution(
            stateMachineArn=self.stack.state_machine,
            input=batch if isinstance(batch, str) else json.dumps(batch),
            name=name or f"test-{uuid.uuid4().hex}",
        )
        return str(started["executionArn"])

    def end(self, execution: str) -> Ran:
        """Wait for an execution's end and look at all it has left."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            execution_now = self.states.describe_execution(executionArn=execution)
            if execution_now["status"] != "RUNNING":
                break
            assert time.monotonic() < give_up, "the execution does not end"
            time.sleep(0.1)
        name = execution_now["name"]
        record = next((r for r in self.records() if r["execution"] == name), {})
        summary, results = {}, []
        if record.get("summary"):
            objects = Objects(self.s3, self.stack.bucket)
            summary = json.loads(objects.get(record["summary"]))
            results = list(merge(objects, result_keys(objects, record["prefix"])))
        output = json.loads(execution_now.get("output") or "null")
        cause = execution_now.get("cause", "")
        return Ran(execution, execution_now["status"], output, cause, record, summary, results)

    def run(self, batch: Mapping[str, Any] | str, name: str = "") -> Ran:
        """Start an execution and wait for its end."""
        return self.end(self.begin(batch, name))

    def entered(self, execution: str) -> list[str]:
        """The states that an execution has entered."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]

    def failure_messages(self, execution: str) -> list[dict[str, Any]]:
        """The messages about an execution in the queue of failed batches, taken from it."""
        (queue,) = [
            url for url in self.queues.list_queues()["QueueUrls"] if "FailedBatchesQueue" in url
        ]
        messages: list[dict[str, Any]] = []
        give_up = time.monotonic() + 10
        while not messages and time.monotonic() < give_up:
            answer = self.queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self.queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                messages.append(json.loads(message["Body"]))
            messages = [body for body in messages if body["detail"]["executionArn"] == execution]
        return messages

    # Tables.

    def records(self) -> list[dict[str, Any]]:
        """All records of batches."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.stack.batches_table)
        return [
            {name: next(iter(value.values())) for name, value in item.items()}
            for page in pages
            for item in page["Items"]
        ]

    def items(self) -> Items:
        """All items of the table of states by user."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.stack.states_table)
        return {item["user_id"]["S"]: item for page in pages for item in page["Items"]}

    def restore(self, items: Items) -> None:
        """Make the table of states hold these items and no others."""
        gone = [
            {"DeleteRequest": {"Key": {name: item[name] for name in ("user_id", "profile")}}}
            for user, item in self.items().items()
            if user not in items
        ]
        self._write(gone + [{"PutRequest": {"Item": item}} for item in items.values()])

    def _write(self, requests: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(requests), 25):
            part = requests[start : start + 25]
            answer = self.dynamodb.batch_write_item(RequestItems={self.stack.states_table: part})
            assert not answer["UnprocessedItems"]


def assert_accounts_for_all(ran: Ran, received: int) -> None:
    """Every reading has exactly one result, and the summary counts these results."""
    assert [result["index"] for result in ran.decoded] == list(range(received))
    totals = ran.summary["readings"]
    assert totals["received"] == received
    counted = {
        (status, reason): number
        for status in ("rejected", "unreadable", "failed")
        for reason, number in totals[status].items()
    }
    counted["accepted", None] = totals["accepted"]
    counted["duplicate", "duplicate"] = totals["duplicate"]
    assert {key: number for key, number in counted.items() if number} == ran.counts
