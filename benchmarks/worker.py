"""One worker: JSONL or Parquet bytes in, result bytes out, validated, on one core.

The work is that of PartitionMeasurements and FilterUsers, without S3 in between. Each reading has a
measurement id. Two batches of the same users run one after the other. In the first one the users
have no states. In the second one their windows are full.

    python benchmarks/worker.py [--readings 100000] [--users 10000]
"""

import argparse
import gc
import io
import json
import time
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kalmap.filter.fold import fold_users
from kalmap.keys import Form
from kalmap.profile import builtin_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.formats import HEAD_BYTES, detect_format
from kalmap.records.parse import Parsed, parse
from kalmap.records.shards import assemble, route
from kalmap.records.table_content import TableContent
from kalmap.results.table import decode_table, encode_results

PROFILE = builtin_profile("body-weight")
REPEATS = 5
#: Days of one batch. Three batches fill a window of 60 days.
DAYS = 20
NOW = 1_900_000_000_000_000


class Timing(NamedTuple):
    """Seconds of processor time."""

    parse: float
    group: float
    fold: float
    encode: float


def jsonl(users: int, readings: int, first_day: int) -> bytes:
    """Readings of body weight in order of time, for all users together."""
    rng = np.random.default_rng(first_day)
    user = rng.permutation(np.arange(readings) % users)
    level = 60.0 + 40.0 * (np.arange(users) % 97) / 97
    value = np.round(level[user] + rng.normal(0, 0.6, readings), 2)
    seconds = first_day * 86400 + np.sort(rng.integers(0, DAYS * 86400, readings))
    moments = np.datetime_as_string(seconds.astype("datetime64[s]")).tolist()
    lines = [
        f'{{"user_id": "user-{u:06d}", "timestamp": "{moment}Z", "value": {v}, "unit": "kg", '
        f'"source": "scale", "measurement_id": "m-{first_day}-{number}"}}'
        for number, (u, moment, v) in enumerate(
            zip(user.tolist(), moments, value.tolist(), strict=True)
        )
    ]
    return "\n".join(lines).encode()


def parquet(lines: bytes) -> bytes:
    """The readings of lines as a Parquet file."""
    rows = [json.loads(line) for line in lines.splitlines()]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    moments = np.array([text.removesuffix("Z") for text in columns.pop("timestamp")], "M8[us]")
    times = pa.array(moments).cast(pa.timestamp("us", "UTC"))
    file = io.BytesIO()
    pq.write_table(pa.table({"timestamp": times} | columns), file)
    return file.getvalue()


def parse_parquet(data: bytes) -> Parsed:
    """Parse a Parquet file as PlanBatch and PartitionMeasurements do."""

    def read(start: int, end: int) -> bytes:
        return data[start:end]

    format_ = detect_format("f", data[:HEAD_BYTES], None, TableContent(read, len(data)))
    return parse(format_.read_range(0, 1 << 40, len(data), read), format_, PROFILE)


def run(
    data: bytes, states: dict[str, bytes], *, form: Form = "jsonl"
) -> tuple[Timing, dict[str, bytes], bytes]:
    """Run one batch through one worker; returns the new states and the results."""
    marks = [time.process_time()]
    parsed = parse([data], Jsonl(), PROFILE) if form == "jsonl" else parse_parquet(data)
    marks.append(time.process_time())
    slices, _ = route(parsed, 0, 1)
    shard = assemble([(0, 0, 0, slices)], PROFILE)
    marks.append(time.process_time())
    bodies = [states.get(name) for name in shard.users]
    folded = fold_users(PROFILE, bodies, shard.readings, NOW)
    marks.append(time.process_time())
    results = encode_results(form, shard, folded.decisions)
    marks.append(time.process_time())
    after = {
        name: new or old or b""
        for name, old, new in zip(shard.users, bodies, folded.bodies, strict=True)
    }
    return Timing(*np.diff(marks).tolist()), after, results


def measure(readings: int, users: int) -> dict[str, dict[str, float]]:
    """Microseconds per reading of each part, the best of several runs, for both batches."""
    batches = [jsonl(users, readings, 20_000 + DAYS * number) for number in range(4)]
    first, second = batches[0], batches[-1]
    found: dict[str, dict[str, float]] = {}
    states: dict[str, bytes] = {}
    for data in batches[:-1]:
        _, states, _ = run(data, states)
    cases: list[tuple[str, bytes, dict[str, bytes], Form]] = [
        ("first batch", first, {}, "jsonl"),
        ("windows full", second, states, "jsonl"),
        ("first batch, Parquet", parquet(first), {}, "parquet"),
        ("windows full, Parquet", parquet(second), states, "parquet"),
    ]
    for name, data, before, form in cases:
        gc.collect()
        runs = []
        for _ in range(REPEATS):
            timing, _, results = run(data, before, form=form)
            lines = results.splitlines() if form == "jsonl" else list(decode_table(results))
            assert len(lines) == readings
            runs.append(timing)
        best = min(runs, key=sum)
        found[name] = {
            part: seconds * 1e6 / readings for part, seconds in best._asdict().items()
        } | {"total": sum(best) * 1e6 / readings}
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readings", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = measure(options.readings, options.users)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{options.readings:,} readings of {options.users:,} users, processor time, best of")
    print(f"{REPEATS} runs, microseconds a reading (share):\n")
    print("| batch | parse | group | fold | encode | total |\n|---|---|---|---|---|---|")
    for name, parts in found.items():
        cells = [f"{us:.2f} ({us / parts['total']:.0%})" for us in list(parts.values())[:-1]]
        print(f"| {name} | {' | '.join(cells)} | **{parts['total']:.2f}** |")


if __name__ == "__main__":
    main()
