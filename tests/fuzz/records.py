"""Fuzz what becomes of records: a million broken and odd lines, none of which may raise.

    python -m tests.fuzz.records [--lines N] [--seed S]

`make fuzz` runs it; tests/support/broken_records.py makes the lines and checks them.
"""

import argparse
import random
import sys
import time
import traceback

from tests.support.broken_records import LINES_PER_BLOCK, fuzz

LINES = 1_000_000


def main(lines: int, seed: int) -> int:
    print(f"The record parser, with seed {seed}", flush=True)
    began = time.monotonic()
    every = 100_000

    def tell(checked: int) -> None:
        if checked % every < LINES_PER_BLOCK:
            print(f"  {checked:9,} lines {time.monotonic() - began:6.0f} s", flush=True)

    blocks = -(-lines // LINES_PER_BLOCK)
    try:
        checked, records = fuzz(blocks, seed=seed, tell=tell)
    except Exception:  # noqa: BLE001 - any error is a finding
        traceback.print_exc()
        print(f"The record parser failed. Again: python -m tests.fuzz.records --seed {seed}")
        return 1
    seconds = time.monotonic() - began
    print(f"{checked:,} lines, {records:,} records in {seconds:.0f} s: none raised.")
    return int(checked < lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.records")
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    sys.exit(main(arguments.lines, arguments.seed))
