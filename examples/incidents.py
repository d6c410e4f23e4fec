"""One of three incidents on the local cloud, without saying which: practice for being on call.

    python examples/incidents.py [--seed N] [--folder .incident]
    python examples/incidents.py --answer [--folder .incident]

Every 20 days a batch of 200 people's weighings comes in. The last was as ever. Something is wrong
with this one: the script runs both on a new data directory below the folder, prints what the
person on call would be told, and how to look. `--answer` says what it was. Without a seed it is
drawn at random.

The faults are those that the tests inject into the workers of the local cloud; kalmap's own code
runs as it is deployed. It needs a checkout with what `make test` installs, and Linux.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("functions", "cli", ".")]

from tests.support.faults import STORE, Faults, rule  # noqa: E402

USERS, DAYS = 200, 20
FIRST = datetime(2026, 1, 1, 7, tzinfo=UTC)
READINGS_PER_SHARD = "200"


def weighings(begin: int, chance: random.Random) -> list[dict[str, Any]]:
    """Twenty days of everybody's weighings, from a day on."""
    return [
        {
            "user_id": f"person-{user:03d}",
            "timestamp": (FIRST + timedelta(days=begin + day)).isoformat(),
            "value": round(60 + user % 40 + chance.gauss(0, 0.4), 1),
        }
        for user in range(USERS)
        for day in range(DAYS)
    ]


def throttling(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], list[Any]]:
    """The table turns away most of what it is asked."""
    del chance
    kinds = (("throttled", 1), ("throttled", 2), ("throttled", 3), ("half left undone", 4))
    return lines, [
        rule("Load|Write", STORE, kind, first=first, last=9999, every=5) for kind, first in kinds
    ]


def poisoned(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], list[Any]]:
    """A sender's program has gone wrong: wild values of one user, and lines that are no records."""
    hot = [
        {
            "user_id": "person-777",
            "timestamp": (FIRST + timedelta(days=DAYS, minutes=10 * number)).isoformat(),
            "value": chance.choice((81.0, 81.4, 96.0, 179.0, 64.0)),
        }
        for number in range(6_000)
    ]
    wrong = [b'{"user_id": "person-778", "timestamp": "2026-02-30T07:00:00Z", "value": 80}'] * 2_000
    return [*lines, *(json.dumps(one).encode() for one in hot), *wrong], []


def leaking(lines: list[bytes], chance: random.Random) -> tuple[list[bytes], list[Any]]:
    """The function that filters keeps what it has read."""
    del chance
    return lines, [rule("Filter", "GetObject", "leaking", last=9999, mb=35)]


INCIDENTS: tuple[Callable[..., Any], ...] = (throttling, poisoned, leaking)


def run(file: Path, folder: Path, faults: Faults) -> int:
    """Run a batch as a machine does that runs it each time, without anybody looking."""
    path = os.pathsep.join(map(str, (faults.modules, ROOT / "functions", ROOT / "cli")))
    environment = {"PYTHONPATH": path, "KALMAP_READINGS_PER_SHARD": READINGS_PER_SHARD}
    out = folder / file.name.partition(".")[0]
    return subprocess.run(
        [sys.executable, "-m", "kalmap_cli.main", "run", file, "--data-dir", folder / "data",
         "--out", out, "--quiet"],
        env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        check=False,
    ).returncode  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, help="draws the incident")
    parser.add_argument("--folder", type=Path, default=Path(".incident"))
    parser.add_argument("--answer", action="store_true", help="say what it was")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    answer = folder / "answer"
    if arguments.answer:
        print(answer.read_text() if answer.exists() else "There is no incident in this folder.")
        return 0
    if folder.exists() and not answer.exists():
        print(f"{arguments.folder} is no folder of this script. Name another with --folder.")
        return 2
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chance = random.Random(arguments.seed)
    incident = chance.choice(INCIDENTS)
    answer.write_text(incident.__doc__)
    faults = Faults(folder / "modules", few_workers=True)
    for name, day, what in (("last", 0, None), ("this", DAYS, incident)):
        lines = [json.dumps(one).encode() for one in weighings(day, chance)]
        lines, rules = what(lines, chance) if what else (lines, [])
        file = folder / f"{name}-batch.jsonl.gz"
        file.write_bytes(gzip.compress(b"\n".join(lines), 1))
        faults.inject(*rules)
        code = run(file, folder, faults)
    ended = "has failed" if code else "has succeeded, and took longer than usual"
    print(
        f"This batch {ended}.\n"
        f"Look with  kalmap status --data-dir {arguments.folder / 'data'}  and docs/operations.md."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
