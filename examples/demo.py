"""The weighings of 50 chicks, as three consecutive batches on the local cloud.

`make demo` runs it. For each batch, `kalmap run` deploys template.yaml to the local cloud and runs
the state machine. The second and third batch continue from the states that the batch before has
stored.
"""

import csv
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(os.path.relpath(Path(__file__).resolve().parent))
DEMO = Path(".demo")
#: The data set counts days since birth. Here all chicks are born on this day.
BORN = datetime(2025, 3, 1, 8, tzinfo=UTC)
#: First and last day of life in each batch.
BATCHES = ((0, 6), (8, 14), (16, 21))


def write_batches(folder: Path) -> list[Path]:
    """Write the data set as one file of measurements for each batch."""
    folder.mkdir(parents=True, exist_ok=True)
    with (HERE / "chick-weights.csv").open(newline="") as file:
        weighings = list(csv.DictReader(file))
    written = []
    for number, (first, last) in enumerate(BATCHES, start=1):
        path = folder / f"days-{first}-to-{last}.csv"
        with path.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(("user_id", "timestamp", "value", "unit", "source"))
            for weighing in weighings:
                day = int(weighing["Time"])
                if first <= day <= last:
                    taken = BORN + timedelta(days=day)
                    chick = f"chick-{int(weighing['Chick']):02d}"
                    out.writerow((chick, taken.isoformat(), weighing["weight"], "g", "scale"))
        written.append(path)
        print(f"batch {number}: {path}, days {first} to {last}")
    return written


def run(file: Path, out: Path, *, fresh: bool) -> int:
    """Run one batch with the command a user would type."""
    command = ["run", str(file), "--out", str(out)]
    command += ["--profile", str(HERE / "chick-growth.json"), "--data-dir", str(DEMO / "data")]
    command += ["--fresh"] if fresh else []
    print(f"\n$ kalmap {' '.join(command)}", flush=True)
    # So little data would be one shard. With a low limit the demo has several.
    environment = os.environ | {"KALMAP_READINGS_PER_SHARD": "50"}
    return subprocess.run(
        [sys.executable, "-m", "kalmap_cli.main", *command], env=environment, check=False
    ).returncode


def main() -> int:
    """Run the three batches. If one fails, stop."""
    began = time.monotonic()
    outs = []
    for number, file in enumerate(write_batches(DEMO / "input"), start=1):
        out = DEMO / f"batch-{number}"
        # Remove the results of an earlier demo: kalmap never overwrites another batch's.
        shutil.rmtree(out, ignore_errors=True)
        if code := run(file, out, fresh=number == 1):
            return code
        outs.append(out)
    print(f"\nThree batches in {time.monotonic() - began:.1f} s. {DEMO}/batch-N holds for each:")
    print("  results.jsonl   the result of every weighing, in the order of the input")
    print("  unreadable.jsonl  records that could not be read, with position and reason")
    print("  summary.json    counts, times, database use")
    print("  report.html     the batch as a page for a browser")
    kalmap = os.path.relpath(Path(sys.executable).with_name("kalmap"))
    print(f"The stored states: {kalmap} states --data-dir {DEMO / 'data'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
