"""Faults between a boto3 DynamoDB client and a table, drawn from a seed.

The hooks are botocore's own events. So everything around them is real: the store, the client, the
connection and the table. A fault keeps a request or a part of it from the table, or it lets the
table carry the request out and changes the response.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping

from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

#: The table never sees the request.
THROTTLED = "throttled"
REFUSED = "connection refused"
ERROR_500 = "500 before the write"
KILLED_BEFORE = "killed before the request"
#: The table never sees part of the request, or at most all of it.
PARTIAL = "part left undone"
#: The table carries the request out, and its answer is lost.
CUT = "connection cut after the write"
SLOW = "answer later than the timeout"
LATE_500 = "500 after the write"
KILLED_AFTER = "killed after the request"

KINDS = (
    THROTTLED,
    REFUSED,
    ERROR_500,
    KILLED_BEFORE,
    PARTIAL,
    CUT,
    SLOW,
    LATE_500,
    KILLED_AFTER,
)

#: How a statement of a batch, or an action of a transaction, may fail in passing.
STATEMENT_CODES = (
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "TransactionConflict",
    "InternalServerError",
)


class Killed(BaseException):
    """The process ends here. It is not an Exception, so that no code under test can catch it."""


class Injector:
    """Injects faults into a client's requests until it is stopped.

    Args:
        client: The client to inject faults into.
        seed: Draws the faults. The same requests in the same order meet the same faults.
        shares: Probability of each kind per request. Their sum is at most 1.
        every: If given, the n-th, 2n-th, … request meets a fault, drawn evenly from `shares`.
        budget: The most faults.

    Attributes:
        counts: Faults injected, by kind.
        requests: Requests seen.
    """

    def __init__(
        self,
        client,
        seed: int,
        shares: Mapping[str, float],
        *,
        every: int | None = None,
        budget: int = 1_000_000,
    ):
        self.counts: Counter[str] = Counter()
        self.requests = 0
        self._client = client
        self._random = random.Random(seed)
        self._shares = shares
        self._every = every
        self._budget = budget
        self._lock = threading.Lock()
        for event, hook in self._hooks():
            client.meta.events.register(event, hook)

    def stop(self):
        for event, hook in self._hooks():
            self._client.meta.events.unregister(event, hook)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def _hooks(self):
        return (
            ("provide-client-params.dynamodb.*", self._choose),
            ("before-call.dynamodb.*", self._before),
            ("after-call.dynamodb.*", self._after),
        )

    def _draw(self):
        self.requests += 1
        if self._budget <= 0:
            return None
        kinds, weights = tuple(self._shares), tuple(self._shares.values())
        if self._every:
            if self.requests % self._every:
                return None
            return self._random.choice(kinds)
        quiet = 1 - sum(weights)
        return self._random.choices((None, *kinds), (quiet, *weights))[0]

    def _choose(self, params, model, context, **_):
        with self._lock:
            kind = self._draw()
            if kind is None:
                return None
            self._budget -= 1
            self.counts[kind] += 1
            context["fault"] = kind
            if kind == PARTIAL:
                return self._without_part(params, model.name, context)
        return None

    def _without_part(self, params, operation, context):
        """Remove a random part of a request's work, and keep it for the response."""
        if operation == "BatchExecuteStatement":
            positions = self._failing_positions(range(len(params["Statements"])))
            context["left"] = {
                position: {"Code": self._random.choice(STATEMENT_CODES), "Message": "injected"}
                for position in positions
            }
            remaining = [
                s for position, s in enumerate(params["Statements"]) if position not in positions
            ]
            context["empty"] = not remaining
            return {**params, "Statements": remaining or params["Statements"]}
        if operation == "TransactWriteItems":
            positions = self._failing_positions(range(len(params["TransactItems"])))
            context["left"] = [
                {"Code": "TransactionConflict" if position in positions else "None"}
                for position in range(len(params["TransactItems"]))
            ]
            return None
        if operation not in {"BatchGetItem", "BatchWriteItem"}:
            context["fault"] = THROTTLED
            return None
        ((table, request),) = params["RequestItems"].items()
        work = request["Keys"] if operation == "BatchGetItem" else request
        positions = self._failing_positions(range(len(work)))
        left = [part for position, part in enumerate(work) if position in positions]
        remaining = [part for position, part in enumerate(work) if position not in positions]
        context["empty"] = not remaining
        if operation == "BatchGetItem":
            context["left"] = {table: {**request, "Keys": left}}
            request = {**request, "Keys": remaining or work}
        else:
            context["left"] = {table: left}
            request = remaining or work
        return {**params, "RequestItems": {table: request}}

    def _failing_positions(self, positions):
        return set(self._random.sample(positions, self._random.randint(1, len(positions))))

    def _before(self, model, context, **_):
        kind = context.get("fault")
        url = self._client.meta.endpoint_url
        if kind == KILLED_BEFORE:
            raise Killed
        if kind == REFUSED:
            raise EndpointConnectionError(endpoint_url=url)
        if kind == THROTTLED:
            return _answer(400, "ProvisionedThroughputExceededException")
        if kind == ERROR_500:
            return _answer(500, "InternalServerError")
        if kind == PARTIAL and model.name == "TransactWriteItems":
            answer = _answer(400, "TransactionCanceledException")
            answer[1]["CancellationReasons"] = context["left"]
            return answer
        if kind == PARTIAL and context["empty"]:
            return _answer(200, None)
        return None

    def _after(self, parsed, model, context, **_):
        kind = context.get("fault")
        url = self._client.meta.endpoint_url
        if kind == KILLED_AFTER:
            raise Killed
        if kind == CUT:
            raise ConnectionClosedError(endpoint_url=url)
        if kind == SLOW:
            raise ReadTimeoutError(endpoint_url=url)
        if kind == LATE_500:
            raise ClientError(_answer(500, "InternalServerError")[1], model.name)
        if kind != PARTIAL:
            return
        if model.name == "BatchGetItem":
            parsed.setdefault("Responses", {})
            parsed["UnprocessedKeys"] = context["left"]
        elif model.name == "BatchWriteItem":
            parsed["UnprocessedItems"] = context["left"]
        elif model.name == "BatchExecuteStatement":
            done = iter(parsed.get("Responses", []))
            total = len(parsed.get("Responses", [])) + len(context["left"])
            parsed["Responses"] = [
                {"Error": context["left"][position]} if position in context["left"] else next(done)
                for position in range(total)
            ]


def _answer(status, code):
    """A response that no server gave, in botocore's form after parsing."""
    http = AWSResponse("", status, {}, None)
    parsed = {"ResponseMetadata": {"HTTPStatusCode": status}}
    if code:
        parsed["Error"] = {"Code": code, "Message": "injected"}
    return http, parsed


class SlowTable(Injector):
    """Limits what a table does in a second. The rest is throttled.

    Args:
        client: The client to inject faults into.
        operation: The requests that are limited: reads or writes.
        per_second: Items that the table has capacity for.
        first: Items that it has capacity for at the beginning.

    Attributes:
        done: Items that the table has read or written.
    """

    def __init__(self, client, operation: str, per_second: float, *, first: float = 0.0):
        super().__init__(client, 0, {})
        self._operation = operation
        self._rate = per_second
        self._capacity = first
        self._filled = time.monotonic()
        self.done = 0

    def _choose(self, params, model, context, **_):
        if model.name != self._operation:
            return None
        with self._lock:
            now = time.monotonic()
            more = self._capacity + (now - self._filled) * self._rate
            self._capacity = max(self._capacity, min(self._rate, more))
            self._filled = now
            asked = self._items(params)
            self._taken = min(asked, int(self._capacity))
            self._capacity -= self._taken
            self.done += self._taken
            if self._taken == asked:
                return None
            self.counts[THROTTLED] += 1
            if not self._taken:
                context["fault"] = THROTTLED
                return None
            context["fault"] = PARTIAL
            return self._without_part(params, model.name, context)

    def _items(self, params):
        if "Statements" in params:
            return len(params["Statements"])
        ((_, request),) = params["RequestItems"].items()
        return len(request["Keys"])

    def _failing_positions(self, positions):
        return set(positions[self._taken :])
