"""The HTTP API under load: concurrent clients with overlapping users, on the local cloud.

The header Server-Timing has the function's own time. The round trip also includes the gateway of
the local cloud, which differs from AWS's. There are two budgets. The stricter one decides the exit
code. The wider one is 200 ms, 1 s and 5 s, 512 MB, and below 10 database requests per 100 readings.
"""

import itertools
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("functions", "cli", ".")]

from kalmap_cli.deployment import local_parameters
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import deploy
from tests.support.signed_client import Client

REQUESTS = int(os.environ.get("KALMAP_API_REQUESTS", "150"))
UNTHROTTLED = {"ApiRequestsPerSecond": "100000", "ApiBurst": "100000"}
_START = datetime(2026, 1, 10, tzinfo=UTC)
_seconds = itertools.count()
_random = random.Random(1)


class Load(NamedTuple):
    """One kind of request."""

    readings: int
    users: int
    """Of a request."""
    pool: int
    """Users that the requests draw theirs from; as many as `users`: always the same."""
    clients: int
    median_ms: float
    """The function's own median time must stay below; its 99th percentile below twice that."""
    specified_ms: float


LOADS = (
    Load(10, 10, 10, 1, 100, 200),
    Load(10, 10, 100, 4, 100, 200),
    Load(100, 100, 100, 1, 250, 1000),
    Load(100, 50, 500, 4, 250, 1000),
    Load(500, 500, 500, 1, 1000, 5000),
    Load(500, 1, 1, 1, 1000, 5000),
    Load(500, 500, 2000, 2, 1000, 5000),
)
#: All clients send the same ten users as fast as possible, for the highest cost of conflicts.
#: The 99th percentile is shown and has no budget, because it depends on the clients alone.
CONTENTION = Load(10, 10, 10, 4, 100, 200)


class Outcome(NamedTuple):
    """The outcome of one request."""

    status: int
    own_ms: float
    trip_ms: float
    database: int
    conflicts: int
    unfinished: int


def body(load: Load) -> dict[str, object]:
    """A request's body. Its users are also in other requests, and its readings are new."""
    stamps = [_START + timedelta(seconds=next(_seconds)) for _ in range(load.readings)]
    users = _random.sample(range(load.pool), load.users)
    return {
        "measurements": [
            {
                "user_id": f"load-{load.readings}-{load.pool}-{users[place % load.users]}",
                "timestamp": stamp.isoformat(),
                "value": 80 + place % 7 / 10,
            }
            for place, stamp in enumerate(stamps)
        ]
    }


def ask(api: Client, load: Load) -> Outcome:
    sent = body(load)
    began = time.perf_counter()
    response = api.post("/measurements", sent, Accept_Encoding="gzip", Accept="*/*")
    trip = 1000 * (time.perf_counter() - began)
    if response.status != 200:
        return Outcome(response.status, np.nan, trip, 0, 0, 0)
    database = response.body["summary"]["database"]
    return Outcome(
        response.status,
        float(response.headers["Server-Timing"].split("dur=")[1]),
        trip,
        database["requests"],
        database["conflicts"],
        sum(response.body["summary"]["readings"]["failed"].values()),
    )


def run(api: Client, load: Load) -> list[Outcome]:
    # Only warm containers are measured: one for each client.
    ready = threading.Barrier(load.clients)

    def warm(_: int) -> None:
        for _ in range(10):
            ready.wait()
            ask(api, load)

    with ThreadPoolExecutor(load.clients) as pool:
        list(pool.map(warm, range(load.clients)))
        return list(pool.map(lambda _: ask(api, load), range(REQUESTS)))


def peak_mb(cloud: LocalCloud) -> float:
    """The highest memory of any worker, each a process in the local cloud's group."""
    return max(
        (peak for process, peak in _processes(cloud.process) if process != cloud.process),
        default=np.nan,
    )


def _processes(group: int) -> Iterator[tuple[int, float]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            behind_name = (folder / "stat").read_text().rpartition(")")[2].split()
            status = (folder / "status").read_text()
        except OSError:
            continue
        if int(behind_name[2]) == group and "VmHWM:" in status:
            yield int(folder.name), int(status.split("VmHWM:")[1].split()[0]) / 1024


def row(load: Load, outcomes: list[Outcome]) -> tuple[str, bool]:
    """The load's row of the table, and whether it kept its budgets."""
    own = np.array([one.own_ms for one in outcomes])
    trip = np.array([one.trip_ms for one in outcomes])
    errors = sum(one.status != 200 for one in outcomes)
    unfinished = sum(one.unfinished for one in outcomes)
    conflicts = sum(one.conflicts for one in outcomes)
    # The budget is for requests without a conflict. It does not include the work of others.
    calm = [one.database for one in outcomes if not one.conflicts]
    asked = 100 * max(calm) / load.readings if calm else None
    median, p99 = np.nanmedian(own), np.nanpercentile(own, 99)
    bound = np.inf if load is CONTENTION else 2 * load.median_ms
    within_budgets = median < load.median_ms and p99 < bound and not errors and not unfinished
    if load.readings >= 100 and asked is not None:
        within_budgets = within_budgets and asked < 10
    cells = (
        load.readings, f"{load.users} of {load.pool}", load.clients,
        f"{median:.0f} / {load.median_ms:.0f}", f"{p99:.0f} / {bound:.0f}",
        f"{load.specified_ms:.0f}", f"{np.median(trip):.0f}", f"{np.percentile(trip, 99):.0f}",
        errors, unfinished, conflicts, "all met conflicts" if asked is None else f"{asked:.0f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |", bool(within_budgets)


def main() -> int:
    print(
        "| readings | users | clients | own median / budget, ms | own p99 / budget, ms "
        "| specified, ms | trip median, ms | trip p99, ms | errors | unfinished | conflicts "
        "| most database requests per 100 readings |\n" + "|---" * 12 + "|"
    )
    within_budgets = True
    with (
        tempfile.TemporaryDirectory() as folder,
        DataDirectory(Path(folder)) as data,
        LocalCloud(data, idle_seconds=600.0) as cloud,
    ):
        deploy(cloud.clients, local_parameters() | UNTHROTTLED)
        api = Client(cloud)
        for load in (*LOADS, CONTENTION):
            line, good = row(load, run(api, load))
            within_budgets = within_budgets and good
            print(line, flush=True)
        peak = peak_mb(cloud)
    print(
        f"\n{REQUESTS} requests each. Highest memory of a worker: {peak:.0f} MB (budget 256, "
        f"specified 512). Budgets {'kept' if within_budgets and peak < 256 else 'NOT KEPT'}."
    )
    return 0 if within_budgets and peak < 256 else 1


if __name__ == "__main__":
    sys.exit(main())
