"""`kalmap simulate`: write simulated readings to a file, and their true levels to another."""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kalmap_cli.errors import WrongUsage
from kalmap_cli.output_files import check_outputs, is_stream, open_output
from kalmap_cli.simulation import csv_lines, jsonl_lines, simulate, truth_lines

_MAX_USERS = 10_000_000
_MAX_DAYS = 3_650
_JSONL = (".jsonl", ".ndjson", ".json", ".txt", "")
_CSV_HEADER = b"user_id,timestamp,value,unit,source,measurement_id\n"


def simulate_to_files(
    users: int, days: int, seed: int, out: Path, truth: Path | None, *, replace: bool = False
) -> None:
    """Write simulated readings to a JSONL or CSV file, and their true levels to another.

    Raises:
        WrongUsage: A number is out of its range, or a file cannot be written or exists.
        RunFailed: A file could not be completed.
    """
    for name, value, maximum in (("users", users, _MAX_USERS), ("days", days, _MAX_DAYS)):
        if not 1 <= value <= maximum:
            raise WrongUsage(f"--{name} is {value}; it must be from 1 to {maximum:,}.")
    if seed < 0:
        raise WrongUsage(f"--seed is {seed}; it must be 0 or more.")
    csv = _is_csv("--out", out, csv_ending=".csv")
    if truth is not None:
        _is_csv("--truth", truth, csv_ending="")
    outputs = {"--out": out} | ({"--truth": truth} if truth is not None else {})
    check_outputs(outputs, replace=replace)
    with _file(out) as readings_file, _file(truth) as truth_file:
        index = 0
        if csv and readings_file:
            readings_file.write(_CSV_HEADER)
        for simulated in simulate(users, days, seed):
            lines = (csv_lines if csv else jsonl_lines)(simulated)
            if readings_file:
                readings_file.writelines(line.encode() for line in lines)
            if truth_file:
                truth_file.writelines(line.encode() for line in truth_lines(simulated, index))
            index += len(simulated.user)


def _is_csv(option: str, path: Path, *, csv_ending: str) -> bool:
    """Whether a file's name asks for CSV.

    Args:
        option: Names the file on the command line.
        path: The file.
        csv_ending: The ending that asks for CSV; empty if CSV is not possible.

    Raises:
        WrongUsage: The name asks for neither CSV nor JSONL.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending == csv_ending != "":
        return True
    if ending not in _JSONL and not is_stream(path):
        endings = f".jsonl or {csv_ending}" if csv_ending else ".jsonl"
        raise WrongUsage(
            f"{option} {path} ends in {ending}, which is not a format that kalmap writes here. Use "
            f"a name that ends in {endings}; add .gz to gzip the file."
        )
    return False


@contextmanager
def _file(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    with open_output(path) as raw:
        if path.suffix == ".gz":
            # Without time and name in the gzip header, the same seed gives the same bytes.
            gzipped = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
            with gzipped, io.BufferedWriter(gzipped) as file:
                yield file
        else:
            yield raw
