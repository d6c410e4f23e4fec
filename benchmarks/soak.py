"""Half an hour of requests and batches of the same users under faults: what is lost, what grows.

`kalmap serve` runs on a new data directory. Clients of the API and senders of batches (POST
/batches, dropped files, StartExecution) draw their users from the same pool, while the store
throttles, fails, answers late and loses answers, and workers are killed. At the end

- every reading must have been decided exactly once, and the stored states must be those of one fold
  over all that count, to the byte;
- memory, the descriptors of quiet moments and the processor's time for a reading must be flat: over
  the last three quarters of the run, the upper end of the growth's 95 % interval is below a
  tolerance, which the table has. The time of a request on the clock depends on what else the
  machine does. Its growth counts where also the lower end is above the tolerance;
- what the data directory holds must all go by a rule: without states and profiles nothing is left
  when the days of the rules have passed.

    python benchmarks/soak.py [--minutes 30] [--seed 1]

The exit code is 1 if one of them does not hold. It needs Linux.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("functions", "cli", ".")]

from benchmarks.soaking.ledger import Ledger
from benchmarks.soaking.load import Load
from benchmarks.soaking.watch import CLOUD, WARM_UP, Watch, folder_mb, slope
from kalmap.profile import builtin_profile
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.local.deploy import STACK
from kalmap_cli.local.guests import join_cloud
from kalmap_cli.local.lifecycle import delete_expired_objects, read_lifecycle_rules
from tests.support.expected_states import folded
from tests.support.faults import STORE, WRITE, Faults, faults, rule
from tests.support.kalmap_command import start
from tests.support.signed_client import Client

USERS = 2000
CLIENTS, SENDERS = 3, 2
#: Seconds between two plans of faults, and faults of a plan.
_WEATHER, _FAULTS = 10.0, 4
_PATIENCE = 400.0
#: Growth over the watched time that is not called flat: a share of the median, and as much more.
#: The local cloud's descriptors rise and fall with the workers that run.
_TOLERATED = {"MB": (0.05, 2.0), "descriptors": (0.25, 4.0), "ms": (0.1, 1.0)}
_ON_THE_CLOCK = "a request on the clock"
#: What the local cloud keeps of each object in memory. It is tolerated until the bucket's rules
#: delete the object, in MB.
_AN_OBJECT = 0.006

FAULTS = (
    ("Load|Write|Api", STORE, "throttled", {"every": 2}),
    ("Load|Write|Api", STORE, "half left undone", {}),
    ("Load|Write|Api", STORE, "500", {}),
    ("Write|Api", WRITE, "500 after", {}),
    ("Write|Api", WRITE, "cut after", {}),
    ("Write|Api", WRITE, "too slow", {}),
    ("Load|Write|Api", STORE, "delayed", {"seconds": 1.0}),
    ("Filter|Partition", "GetObject|PutObject", "delayed", {"seconds": 2.0}),
    ("Load|Write", STORE, "killed before", {}),
    ("Load|Write", STORE, "killed after", {}),
    ("Partition|Filter|Aggregate|Collect", "PutObject", "killed before", {}),
    ("Identify|PlanShards|Filter|Complete", "PutObject", "500", {}),
    ("Load|Filter|Write", "PutObject", "cut after", {}),
    ("Filter|Write", "GetObject", "cut in the middle", {}),
)  # fmt: skip
#: Seldom, since what a worker of the API leaks goes with it.
KILLED_API = ("Api", WRITE, "killed after", {})


class Served(NamedTuple):
    """A local cloud that another process runs, as a client of its API takes it."""

    endpoint: str
    secret: str
    clients: Any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        injected, data = Faults(Path(folder) / "modules"), Path(folder) / "data"
        with _serving(data, injected) as (process, deployment, client):
            ledger = Ledger(USERS, arguments.seed)
            load = Load(ledger, client, deployment, arguments.seed)
            watch = Watch(process.pid, data, lambda: ledger.done)
            small = folder_mb(data)
            failed, objects = _soak(load, watch, injected, deployment, arguments)
            print(f"| what | of it |\n|---|--:|\n{_totals(load, ledger, arguments.minutes)}\n")
            wrong = [*failed, *_wrong_states(ledger, deployment)]
            lines, grown = _growth(load, watch, objects)
            print("\n".join(lines) + "\n")
            used = folder_mb(data)
            wrong += [*grown, *_kept_for_ever(deployment)]
            print(
                f"The data directory had {small:.0f} MB at first and {used:.0f} MB at the end, "
                f"and {folder_mb(data):.0f} MB when the days of all rules had passed."
            )
    print("\n".join(wrong) or "Nothing was lost, nothing counted twice, and nothing grew.")
    return 1 if wrong else 0


@contextmanager
def _serving(
    data: Path, injected: Faults
) -> Iterator[tuple[subprocess.Popen[str], Deployment, Client]]:
    """Run `kalmap serve` with the module of the faults, and use it as its guest."""
    path = os.pathsep.join(map(str, (injected.modules, ROOT / "functions", ROOT / "cli")))
    process = start(
        "serve", "--data-dir", data, "--port", "0",
        cwd=data.parent, PYTHONPATH=path, KALMAP_READINGS_PER_SHARD="100",
    )  # fmt: skip
    try:
        if not any(line.startswith("Ctrl-C") for line in iter(process.stdout.readline, "")):
            raise SystemExit(process.stderr.read())
        with join_cloud(data) as guest, open_deployment(None, data, None) as deployment:
            served = Served(guest.endpoint, guest.secret, deployment.clients)
            yield process, deployment, Client(served)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=_PATIENCE)


def _soak(
    load: Load,
    watch: Watch,
    injected: Faults,
    deployment: Deployment,
    arguments: argparse.Namespace,
) -> tuple[list[str], int]:
    """Send readings under faults, and wait until all have a result.

    Returns:
        What went wrong, in sentences; and how many more objects there are since the warm-up.
    """
    failed: list[str] = []

    def run(what: Any) -> None:
        try:
            what()
        except BaseException as error:  # noqa: BLE001 - told at the end
            failed.append(f"{what.__name__} ended with {error!r}.")

    threads = [threading.Thread(target=run, args=(load.requests,)) for _ in range(CLIENTS)]
    threads += [threading.Thread(target=run, args=(load.batches,)) for _ in range(SENDERS)]
    for thread in [*threads, watch]:
        thread.start()
    begun, chance, told, warm = time.monotonic(), random.Random(arguments.seed), 0.0, None
    while (passed := time.monotonic() - begun) < 60 * arguments.minutes and not failed:
        injected.inject(*_weather(chance))
        if passed >= told:
            told += 30.0
            print(f"{passed / 60:4.1f} min  {dict(load.counts)}", file=sys.stderr, flush=True)
        if warm is None and passed >= WARM_UP * 60 * arguments.minutes:
            warm = _objects(deployment)
        time.sleep(_WEATHER)
    watch.stopped.set()
    objects = _objects(deployment) - (warm or 0)
    injected.stop_faults()
    load.stopped.set()
    for thread in [*threads, watch]:
        thread.join(_PATIENCE)
        if thread.is_alive():
            failed.append(f"What had begun did not end within {_PATIENCE:.0f} s.")
    return failed, objects


def _objects(deployment: Deployment) -> int:
    """How many objects there are, in all versions."""
    pages = deployment.clients("s3").get_paginator("list_object_versions")
    return sum(
        len(page.get("Versions", ())) for page in pages.paginate(Bucket=deployment.stack.bucket)
    )


def _weather(chance: random.Random) -> Iterator[dict[str, Any]]:
    """The faults of the next seconds."""
    for function, operation, kind, more in chance.sample(FAULTS, _FAULTS):
        first = chance.randint(1, 6)
        # A task that is killed three times in a row is given up, as it should be.
        last = first if "killed" in kind else first + 2
        yield rule(function, operation, kind, first=first, last=last) | more
    if chance.random() < _WEATHER / 240:
        yield rule(*KILLED_API[:3])


def _totals(load: Load, ledger: Ledger, minutes: float) -> str:
    numbers = {
        "minutes": f"{minutes:g}",
        "users": f"{USERS:,}",
        "readings": f"{len(ledger.sent):,}",
        **{name: f"{count:,}" for name, count in sorted(load.counts.items())},
        **{f"results: {name}": f"{count:,}" for name, count in ledger.totals().most_common()},
        **{f"faults: {kind}": f"{count:,}" for kind, count in faults.most_common()},
    }
    return "\n".join(f"| {name} | {number} |" for name, number in numbers.items())


def _wrong_states(ledger: Ledger, deployment: Deployment) -> list[str]:
    """What is wrong with the results, or with the states that they should have left."""
    counted, unsure, wrong = ledger.judge()
    content = b"\n".join(json.dumps(record).encode() for record in counted)
    expected = folded(builtin_profile("body-weight"), content)
    stored = {item.user: item.state.body for item in deployment.states.scan()}
    different = [
        user
        for user in sorted(expected.keys() | stored.keys())
        if user not in unsure and expected.get(user) != stored.get(user)
    ]
    print(
        f"{len(stored):,} states stored, {len(stored) - len(different):,} of them as one fold over "
        f"the {len(counted):,} readings that count leaves them; {len(unsure)} users are not "
        "compared, since a reading whose answer was lost came too late when it was sent again.\n"
    )
    if different:
        wrong.append(f"{len(different)} states differ, such as {different[:3]}.")
    if len(unsure) > USERS / 50:
        wrong.append(f"{len(unsure)} users are too many not to compare.")
    return wrong[:20]


def _growth(load: Load, watch: Watch, objects: int) -> tuple[list[str], list[str]]:
    """The table of what was watched, and what has grown."""
    trips = [(trip.at, 1000 * trip.seconds) for trip in load.trips]
    series: list[tuple[str, str, Sequence[tuple[float, float]], float]] = [
        *((f"memory, {kind}", "MB", points, 50) for kind, points in sorted(watch.memory.items())),
        *(
            # How many there are at most depends on how many workers run. A leak lifts the least.
            (f"descriptors, {kind}", "descriptors", points, 10)
            for kind, points in sorted(watch.descriptors.items())
        ),
        ("processor, a reading", "ms", watch.processor(), 50),
        *((f"{_ON_THE_CLOCK}, {share} %", "ms", trips, share) for share in (50, 95, 99)),
    ]
    lines = [
        "| what | unit | median | growth | 95 % interval | tolerated | |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    grown = []
    for name, unit, points, share in series:
        found = _watched(points, share)
        if found is None:
            continue
        of_level, more = _TOLERATED[unit]
        tolerated = of_level * found.level + more
        if name == f"memory, {CLOUD}":
            tolerated += _AN_OBJECT * objects
        flat = (found.low if name.startswith(_ON_THE_CLOCK) else found.high) < tolerated
        lines.append(
            f"| {name} | {unit} | {found.level:.1f} | {found.growth:+.1f} "
            f"| {found.low:+.1f} to {found.high:+.1f} | {tolerated:.1f} "
            f"| {'flat' if flat else 'NOT FLAT'} |"
        )
        if not flat:
            grown.append(f"{name} is not flat.")
    return lines, grown


def _watched(points: Sequence[tuple[float, float]], share: float) -> Any:
    """The slope after the warm-up."""
    ordered = sorted(points)
    begin = ordered[0][0] + WARM_UP * (ordered[-1][0] - ordered[0][0])
    kept = [point for point in ordered if point[0] >= begin]
    return slope([at for at, _ in kept], [value for _, value in kept], share)


def _kept_for_ever(deployment: Deployment) -> list[str]:
    """Let the days of all rules pass; gives what no rule has deleted then."""
    rules = read_lifecycle_rules(deployment.clients("cloudformation"), STACK)
    days = max(one.days or one.days_replaced or 0 for one in rules)
    bucket, later = deployment.stack.bucket, datetime.now(UTC) + timedelta(days=days, minutes=5)
    delete_expired_objects(deployment.clients("s3"), bucket, rules, later)
    left = [key for key in deployment.objects.keys("") if not key.startswith("profiles/")]
    wrong = [f"No rule deletes {len(left)} objects, such as {left[0]}."] if left else []
    for table in deployment.clients("dynamodb").list_tables()["TableNames"]:
        wrong += _without_expiry(deployment, table) if "States" not in table else []
    return wrong


def _without_expiry(deployment: Deployment, table: str) -> list[str]:
    client = deployment.clients("dynamodb")
    described = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    name = described.get("AttributeName", "")
    pages = client.get_paginator("scan").paginate(TableName=table)
    left = sum(name not in item for page in pages for item in page["Items"])
    return [f"{left} items of {table} never expire."] if left else []


if __name__ == "__main__":
    sys.exit(main())
