"""A dataflow of bytewax, whose states are kept by its recovery store."""

import json
import sys
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.files import FileSink, FileSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from model import FIELDS, decoded, step


def keyed(line: str):
    """A line by its user."""
    record = json.loads(line)
    user, when, kg, noise = decoded(record)
    return user, (when, kg, noise, record.get("measurement_id"))


def filtered(state, reading):
    """A user's new state, and the result of a reading."""
    when, kg, noise, name = reading
    state, found = step(state, when, kg, noise)
    result = {"measurement_id": name, "time": when, "value": kg}
    return state, json.dumps(result | dict(zip(FIELDS, found, strict=True)))


def main(source: Path, out: Path) -> None:
    """Filter a file."""
    flow = Dataflow("weights")
    lines = op.input("lines", flow, FileSource(source, batch_size=1000))
    readings = op.map("keyed", lines, keyed)
    results = op.stateful_map("filtered", readings, filtered)
    op.output("results", results, FileSink(out / "results.jsonl"))
    store = out / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    cli_main(flow, epoch_interval=timedelta(seconds=10), recovery_config=RecoveryConfig(str(store)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
