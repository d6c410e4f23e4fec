"""Fuzz the HTTP API on the local cloud with schemathesis, from its own OpenAPI document.

    python -m tests.fuzz.api [--examples N] [--seed S]

At least 5,000 requests, sound ones and broken ones, and none may be answered by a 5xx, by a
status or a form that the document does not give, or by accepting what it forbids. `make fuzz`
runs it; the program is looked for as $SCHEMATHESIS, then on the path.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from kalmap.api.openapi import document
from kalmap_cli.deployment import local_parameters
from kalmap_cli.local.access_files import ACCESS_KEY
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import deploy
from tests.support.signed_client import Client

LEAST_REQUESTS = 5000
HOOKS = Path(__file__).resolve().parents[1] / "support" / "schemathesis_hooks"
EXAMPLES = 900
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
UNTHROTTLED = {"ApiRequestsPerSecond": "100000", "ApiBurst": "100000"}
USER = "u-17"
RECORDS = [
    {"user_id": USER, "timestamp": "2026-03-01T07:12:00Z", "value": 81.4},
    {"user_id": USER, "timestamp": "2026-03-02T07:12:00Z", "value": 81.1},
    {"user_id": USER, "timestamp": "2026-03-03T07:12:00Z", "value": "heavy"},
]


def main(program: str, examples: int, seed: int) -> int:
    print(f"The API, by schemathesis with seed {seed}", flush=True)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as name,
        DataDirectory(Path(name) / "data") as data,
        LocalCloud(data, idle_seconds=600.0) as cloud,
    ):
        deploy(cloud.clients, local_parameters() | UNTHROTTLED)
        client = Client(cloud)
        described = describe(client.address, a_batch(client))
        file = Path(name) / "openapi.json"
        file.write_bytes(msgspec.json.encode(described))
        requests, failed = 0, []
        for called, operation in operations(described):
            # Each sound request to start a batch starts one: those are fewer.
            number = max(20, examples // 20) if called == "POST /batches" else examples
            wanted = operation["operationId"]
            done = fuzz(program, client.address, cloud.secret, file, wanted, number, seed)
            sent = count(done.stdout)
            requests += sent
            print(f"  {called:32} {sent:6,} requests", flush=True)
            if done.returncode:
                failed.append(called)
                print(done.stdout, flush=True)
    seconds = time.monotonic() - began
    print(
        f"{requests:,} requests in {seconds:.0f} s (at least {LEAST_REQUESTS:,} wanted): ", end=""
    )
    if failed:
        print(f"problems with {', '.join(failed)}. They are listed above.")
    elif requests < LEAST_REQUESTS:
        print("too few.")
    else:
        print("no 5xx, and every answer as openapi.json says.")
    return int(bool(failed) or requests < LEAST_REQUESTS)


def a_batch(client: Client) -> str:
    """The id of a batch that has run, and left a state and results."""
    batch: str = client.post("/batches", {"source": {"records": RECORDS}}).body["batch_id"]
    deadline = time.monotonic() + 60
    while client.get(f"/batches/{batch}").body["status"] in {"STARTING", "RUNNING"}:
        if time.monotonic() > deadline:
            raise SystemExit("The batch that requests are to ask about did not end in a minute.")
        time.sleep(0.2)
    return batch


def describe(address: str, batch: str) -> dict[str, Any]:
    """The API's document, in which what there is to be found stands first among all ids."""
    described: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(address)))
    known = {"batch_id": batch, "user_id": USER}
    for _, operation in operations(described):
        for parameter in operation["parameters"]:
            if one := known.get(parameter["name"]):
                parameter["schema"] = {"anyOf": [{"const": one}, parameter["schema"]]}
    return described


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The document's operations, each with its method and path."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def fuzz(
    program: str,
    address: str,
    secret: str,
    described: Path,
    operation_id: str,
    examples: int,
    seed: int,
) -> subprocess.CompletedProcess[str]:
    """Run schemathesis on one operation."""
    return subprocess.run(
        [
            program, "run", str(described), "--url", address,
            "--include-operation-id", operation_id,
            "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
            "--max-examples", str(examples), "--seed", str(seed), "--no-shrink", "--no-color",
            "--generation-with-security-parameters", "false",
            "--generation-database", "none", "--continue-on-failure",
        ],
        cwd=described.parent,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "sign_requests", "PYTHONPATH": str(HOOKS)}
        | {"KALMAP_ACCESS_KEY": ACCESS_KEY, "KALMAP_SECRET": secret},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip


def count(output: str) -> int:
    """The requests that a run reports."""
    match = re.search(r"([\d,]+) generated", output)
    return int(match[1].replace(",", "")) if match else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.api")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="most of an operation")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    schemathesis = shutil.which(os.environ.get("SCHEMATHESIS", "schemathesis"))
    if schemathesis is None:
        sys.exit("There is no program schemathesis; `make fuzz` installs it.")
    sys.exit(main(str(Path(schemathesis).absolute()), arguments.examples, arguments.seed))
