"""Faults inside the local cloud's Lambda workers, which run the handlers as they are deployed.

Python imports a module of this name when it starts. The tests put a copy of it into a folder of its
own, on the local cloud's PYTHONPATH, so that every worker has it, or what it is forked from. Beside
the copy lie

    plan.json   {"name": …, "rules": […]}, which may change while workers live
    met/NAME/   one empty file per call that a rule has matched, shared by all workers

A rule names the `function` and the `operation` it matches (regular expressions), if wanted
the S3 `key`, the `kind` of fault, and which of the matching calls meet it: from the `first`
to the `last`, one in `every`. A `delayed` call waits for so many `seconds`. A `leaking` call keeps
so many `mb` for as long as its worker lives; above its function's memory the worker is killed, as
on AWS.
"""

import fcntl
import io
import json
import os
import re
import sys
import time
from itertools import count
from pathlib import Path

#: The programs that are a local cloud, and the one that its workers are forked from.
CLOUDS = ("cloud_process.py", "roles_process.py")
TEMPLATE = "worker_template.py"
HERE = Path(__file__).parent
#: How long a call is held if it is not released, seconds.
PATIENCE = 60.0
leaked = []


def fault_of(function, operation, request):
    """The first rule by which a call meets a fault, or None. Every matching call is counted."""
    try:
        plan = json.loads((HERE / "plan.json").read_text())
    except (OSError, ValueError):
        return None
    met = HERE / "met" / plan["name"]
    met.mkdir(parents=True, exist_ok=True)
    # One call at a time, so that two rules for the same calls count them in the same order.
    with (met / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return due(plan["rules"], met, function, operation, request)


def due(rules, met, function, operation, request):
    chosen = None
    for index, rule in enumerate(rules):
        if not (
            re.search(rule["function"], function)
            and re.fullmatch(rule["operation"], operation)
            and re.search(rule.get("key", ""), str(request.get("Key", "")))
        ):
            continue
        number = next(n for n in count(1) if not (met / f"{index}.{n}").exists())
        (met / f"{index}.{number}").touch()
        first = rule.get("first", 1)
        in_turn = first <= number <= rule.get("last", first)
        if chosen is None and in_turn and (number - first) % rule.get("every", 1) == 0:
            (met / f"{index}.{number}.{rule['kind']}").touch()
            chosen = rule | {"go": met / "go"}
    return chosen


def with_faults(real):
    """A client's method for calls, with faults."""
    from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

    def refused(operation, code, status):
        metadata = {"HTTPStatusCode": status}
        answer = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": metadata}
        return ClientError(answer, operation)

    def call(client, operation, request):
        function = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        rule = fault_of(function, operation, request)
        kind = rule["kind"] if rule else None
        url = client.meta.endpoint_url
        # The service never sees the call.
        if kind == "throttled":
            raise refused(operation, "ProvisionedThroughputExceededException", 400)
        if kind == "500":
            raise refused(operation, "InternalServerError", 500)
        if kind == "not there":
            raise refused(operation, "NoSuchKey", 404)
        if kind == "killed before":
            os._exit(137)
        if kind == "not stored":
            return {"ResponseMetadata": {"HTTPStatusCode": 200}}
        # It is carried out later, or in part.
        if kind == "out of time":
            time.sleep(PATIENCE)
        if kind == "delayed":
            time.sleep(rule["seconds"])
        if kind == "leaking":
            leak(rule["mb"])
        if kind == "held":
            give_up = time.monotonic() + PATIENCE
            while not rule["go"].exists() and time.monotonic() < give_up:
                time.sleep(0.01)
        if kind == "stored truncated":
            request = request | {"Body": request["Body"][: len(request["Body"]) // 2]}
        if kind == "half left undone":
            return half(lambda part: real(client, operation, part), operation, request)
        answer = real(client, operation, request)
        # It is carried out, and the answer is lost or spoilt.
        if kind == "cut after":
            raise ConnectionClosedError(endpoint_url=url)
        if kind == "500 after":
            raise refused(operation, "InternalServerError", 500)
        if kind == "too slow":
            raise ReadTimeoutError(endpoint_url=url)
        if kind == "killed after":
            os._exit(137)
        if kind == "cut in the middle":
            answer["Body"]._raw_stream = io.BytesIO(answer["Body"]._raw_stream.read(10))
        return answer

    return call


def leak(megabytes):
    """Keep memory, and end as Lambda ends what uses more than its function has."""
    leaked.append(bytes([1]) * (megabytes * 2**20))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    used = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    if used > int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]):
        os._exit(137)


def half(send, operation, request):
    """Carry out every second part of a bulk request, and respond as DynamoDB does."""
    if operation == "BatchExecuteStatement":
        statements = request["Statements"]
        answer = send(request | {"Statements": statements[1::2]}) if statements[1:] else {}
        done = iter(answer.get("Responses", ()))
        throttled = {"Error": {"Code": "ThrottlingError", "Message": "injected"}}
        answer["Responses"] = [
            next(done) if number % 2 else throttled for number in range(len(statements))
        ]
        return answer
    ((table, asked),) = request["RequestItems"].items()
    keys = operation == "BatchGetItem"
    work = asked["Keys"] if keys else asked

    def only(part):
        return {table: asked | {"Keys": part} if keys else part}

    left = only(work[0::2])
    if not work[1:]:
        answer = {"Responses": {table: []}, "ResponseMetadata": {}}
    else:
        answer = send(request | {"RequestItems": only(work[1::2])})
    answer["UnprocessedKeys" if keys else "UnprocessedItems"] = left
    return answer


if any(word.endswith(CLOUDS) for word in sys.orig_argv):
    # The local cloud itself: what waits between two tries waits a twentieth of its time.
    os.environ.setdefault("SFN_WAIT_SCALE", "0.05")
    # And it may start more workers than there are cores: some are held while others go on.
    if not (HERE / "few-workers").exists():
        os.cpu_count = lambda: 32
elif "AWS_LAMBDA_FUNCTION_NAME" in os.environ or any(w.endswith(TEMPLATE) for w in sys.orig_argv):
    import botocore.client

    botocore.client.BaseClient._make_api_call = with_faults(
        botocore.client.BaseClient._make_api_call
    )
