"""Clients of the API and senders of batches, who send until they are told to stop."""

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import urllib3

from benchmarks.soaking.ledger import LOST, Ledger, Record
from kalmap.results.merge import merge, result_keys
from kalmap_cli.deployment import Deployment
from tests.support.signed_client import Client

#: Readings of a request, and of a batch.
REQUEST, BATCH = 20, 300
#: Seconds between two requests of a client.
_PAUSE = 0.5
#: Seconds between two batches of a sender.
_REST = 3.0
#: Seconds between two looks, and most seconds until something has happened.
_POLL, _PATIENCE = 0.5, 300.0
#: Seconds after which a batch without a record is started again.
_UNRECORDED = 30.0
_NEVER_A_BATCH = ""
_UNREADABLE = b'{"user_id": "user-0001", "timestamp": "yesterday", "value": 80}'

Found = TypeVar("Found")


class Trip(NamedTuple):
    """A request that was answered at its first try."""

    at: float
    seconds: float


class Load:
    """What is sent, by whom, and what comes back."""

    def __init__(self, ledger: Ledger, client: Client, deployment: Deployment, seed: int) -> None:
        self.trips: list[Trip] = []
        self.counts: Counter[str] = Counter()
        self.stopped = threading.Event()
        self._ledger, self._client, self._deployment = ledger, client, deployment
        self._random = random.Random(seed)

    def requests(self) -> None:
        """Send requests until stopped."""
        while not self.stopped.wait(_PAUSE):
            self.deliver([*self._ledger.new(REQUEST), *self._ledger.known(1)])

    def batches(self) -> None:
        """Run one batch after the other until stopped, begun in each of the ways by turns."""
        ways = (self._by_the_api, self._dropped, self._by_the_state_machine)
        while not self.stopped.is_set():
            for way in ways:
                self._batch(way)
                self.stopped.wait(_REST)

    def deliver(self, records: Sequence[Record]) -> None:
        """Send readings by the API until each has a result."""
        left = list(records)
        while left:
            left = self._ledger.add(left, self._answered(left))

    def _answered(self, records: list[Record]) -> list[Any]:
        """The results of one request, which is sent until it is answered."""
        # One client in ten names its requests, whose answers are kept for a day.
        named = {"Idempotency_Key": uuid.uuid4().hex} if self._random.random() < 0.1 else {}
        begun, first = time.monotonic(), True
        while True:
            try:
                answer = self._client.post("/measurements", {"measurements": records}, **named)
            except urllib3.exceptions.HTTPError:
                status = 0
            else:
                status = answer.status
            self.counts[f"answers {status}"] += 1
            if status == 200:
                if first:
                    self.trips.append(Trip(begun, time.monotonic() - begun))
                return _decisions(answer.body["results"])
            if status not in {0, 429, 500, 502, 503, 504}:
                raise AssertionError(f"{status} {answer.body}")
            if first:
                self._ledger.add(records, [LOST] * len(records))
            first = False
            time.sleep(float(answer.headers.get("Retry-After", 0.5)) if status else 0.5)

    def _batch(self, begin: Callable[[bytes], str]) -> None:
        records = [*self._ledger.new(BATCH), *self._ledger.known(BATCH // 20)]
        lines = [json.dumps(record).encode() for record in records]
        wrong = self._random.randrange(len(lines))
        lines.insert(wrong, _UNREADABLE)
        content = b"\n".join(lines)
        while (batch := begin(content)) == _NEVER_A_BATCH:
            self.counts["batches that were none yet"] += 1
        while (status := self._ended(batch)) != "SUCCEEDED":
            self.counts[f"batches {status}"] += 1
            self._ledger.add(records, [LOST] * len(records))
            # A retry is a batch of its own.
            batch = self._retried(batch)
        self.counts["batches SUCCEEDED"] += 1
        record = self._deployment.batches.get(batch)
        objects = self._deployment.objects
        results = [json.loads(line) for line in merge(objects, result_keys(objects, record.prefix))]
        if [one["index"] for one in results] != list(range(len(lines))):
            raise AssertionError(f"batch {batch} has {len(results)} results of {len(lines)} lines")
        if results.pop(wrong)["status"] != "unreadable":
            raise AssertionError(f"batch {batch} has read what cannot be read")
        self.deliver(self._ledger.add(records, _decisions(results)))

    def _by_the_api(self, content: bytes) -> str:
        """Begin a batch by POST /batches; gives its id, as the others do."""
        key = f"uploads/{uuid.uuid4().hex}.jsonl"
        self._put(key, content)
        source = {"bucket": self._deployment.stack.bucket, "key": key}

        def accepted() -> str | None:
            answer = self._client.post("/batches", {"source": source})
            return str(answer.body["batch_id"]) if answer.status == 202 else None

        def recorded() -> str | None:
            begun = self._deployment.batches.get(batch) is not None
            return batch if begun or time.monotonic() > give_up else None

        batch, give_up = _until(accepted), time.monotonic() + _UNRECORDED
        _until(recorded)
        # Its execution has failed before it was a batch. The same request starts it again.
        return batch if self._deployment.batches.get(batch) else _NEVER_A_BATCH

    def _dropped(self, content: bytes) -> str:
        key = f"incoming/{uuid.uuid4().hex}.jsonl"
        self._put(key, content)
        machine = {"stateMachineArn": self._deployment.stack.state_machine, "maxResults": 20}
        client = self._deployment.clients("stepfunctions")

        def started() -> str | None:
            for one in client.list_executions(**machine)["executions"]:
                found = client.describe_execution(executionArn=one["executionArn"])
                if key in found.get("input", ""):
                    return str(found["executionArn"])
            return None

        return self._identified(_until(started))

    def _by_the_state_machine(self, content: bytes) -> str:
        key = f"uploads/state-machine/{uuid.uuid4().hex}.jsonl"
        self._put(key, content)
        source = {"bucket": self._deployment.stack.bucket, "key": key}
        return self._identified(self._execute({"source": source}))

    def _put(self, key: str, content: bytes) -> None:
        bucket = self._deployment.stack.bucket
        self._deployment.clients("s3").put_object(Bucket=bucket, Key=key, Body=content)

    def _execute(self, batch_input: Record) -> str:
        """Run an execution to its end."""
        client = self._deployment.clients("stepfunctions")
        arn = client.start_execution(
            stateMachineArn=self._deployment.stack.state_machine, input=json.dumps(batch_input)
        )["executionArn"]
        _until(lambda: client.describe_execution(executionArn=arn)["status"] != "RUNNING" or None)
        return str(arn)

    def _retried(self, batch: str) -> str:
        """The id of the batch that has run a failed one again."""
        while (again := self._identified(self._execute({"retry_of": batch}))) == _NEVER_A_BATCH:
            self.counts["batches that were none yet"] += 1
        return again

    def _identified(self, arn: str) -> str:
        """The id of the batch of an execution."""
        client = self._deployment.clients("stepfunctions")

        def identified() -> str | None:
            status = client.describe_execution(executionArn=arn)["status"]
            page, _ = self._deployment.batches.page(20)
            found = next((one.batch_id for one in page if one.execution_arn == arn), None)
            # It fails without a record if IdentifyBatch fails in all its tries.
            return found or (None if status == "RUNNING" else _NEVER_A_BATCH)

        return _until(identified)

    def _ended(self, batch: str) -> str:
        """The status of a batch after its end."""

        def ended() -> str | None:
            record = self._deployment.batches.get(batch)
            return None if record is None or record.status == "RUNNING" else record.status

        return _until(ended)


def _until(find: Callable[[], Found | None]) -> Found:
    """What is found at last."""
    give_up = time.monotonic() + _PATIENCE
    while (found := find()) is None:
        if time.monotonic() > give_up:
            raise AssertionError("what was begun has not ended")
        time.sleep(_POLL)
    return found


def _decisions(results: list[dict[str, Any]]) -> list[Any]:
    return [(one["status"], one["reason"]) for one in results]
