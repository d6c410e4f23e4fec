"""Fuzz the HTTP API on the local cloud with schemathesis, from its own OpenAPI document.

    python tests/fuzz/api.py [EXAMPLES]

At least 5,000 requests, sound ones and broken ones, and none may be answered by a 5xx, by a
status or a form that the document does not give, or by accepting what it forbids. Not part of
the test run: it takes minutes, and needs the program schemathesis (`pip install schemathesis`).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from kalmap.api.openapi import document
from kalmap_cli.cloud import LocalCloud
from kalmap_cli.data_dir import DataDirectory
from kalmap_cli.deploy import deploy
from kalmap_cli.run import local_parameters
from kalmap_cli.serve import address

LEAST_REQUESTS = 5000
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
UNTHROTTLED = {"ApiRequestsPerSecond": "100000", "ApiBurst": "100000"}


def main(examples: int) -> int:
    program = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if program is None:
        sys.stdout.write("There is no program schemathesis: pip install schemathesis.\n")
        return 2
    with (
        tempfile.TemporaryDirectory() as folder,
        DataDirectory(Path(folder) / "data") as data,
        LocalCloud(data, idle=600.0) as cloud,
    ):
        deploy(cloud.clients, local_parameters() | UNTHROTTLED)
        base = address(cloud)
        # Each sound request to start a batch starts one: those are fewer.
        parts = (
            ("--exclude-path", "/batches", examples),
            ("--include-path", "/batches", max(20, examples // 20)),
        )
        requests, code = 0, 0
        for option, path, number in parts:
            done, said = fuzz(program, base, Path(folder), option, path, number)
            requests += count(said)
            code = code or done
    sys.stdout.write(f"{requests:,} requests (at least {LEAST_REQUESTS:,} wanted).\n")
    return code or int(requests < LEAST_REQUESTS)


def fuzz(
    program: str, base: str, folder: Path, option: str, path: str, examples: int
) -> tuple[int, str]:
    """Run schemathesis on some paths; gives its exit code and what it said."""
    described = folder / "openapi.json"
    described.write_bytes(msgspec.json.encode(document(base)))
    child = subprocess.Popen(
        [
            program, "run", str(described), "--url", base, option, path,
            "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
            "--max-examples", str(examples), "--no-shrink", "--no-color",
            "--generation-with-security-parameters", "false",
            "--generation-database", "none", "--continue-on-failure",
            # The local cloud looks for a signature, and not at it.
            "--header", "Authorization: AWS4-HMAC-SHA256 Credential=local",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    said = []
    for line in child.stdout or ():
        sys.stdout.write(line)
        sys.stdout.flush()
        said.append(line)
    return child.wait(), "".join(said)


def count(said: str) -> int:
    """The requests that a run tells of."""
    found = re.search(r"([\d,]+) generated", said)
    return int(found[1].replace(",", "")) if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1200))
