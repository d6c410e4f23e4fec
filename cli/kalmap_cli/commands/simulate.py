"""`kalmap simulate`: made-up readings in one file, and their truth in another."""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kalmap_cli.exits import WrongUsage
from kalmap_cli.outputs import check_outputs, is_special, written
from kalmap_cli.simulate import csv_lines, jsonl_lines, simulate, truth_lines

_MAX_USERS = 10_000_000
_MAX_DAYS = 3_650
_JSONL = (".jsonl", ".ndjson", ".json", ".txt", "")
_CSV_HEADER = b"user_id,timestamp,value,unit,source,measurement_id\n"


def simulate_to_files(users: int, days: int, seed: int, out: Path, truth: Path | None) -> None:
    """Write simulated readings to a JSONL or CSV file, and their truth to another.

    Raises:
        WrongUsage: A number is out of its range, or a file cannot be written.
        RunFailed: A file could not be written to its end.
    """
    for name, given, most in (("users", users, _MAX_USERS), ("days", days, _MAX_DAYS)):
        if not 1 <= given <= most:
            raise WrongUsage(f"--{name} is {given}; it must be from 1 to {most:,}.")
    if seed < 0:
        raise WrongUsage(f"--seed is {seed}; it must be 0 or more.")
    csv = _is_csv("--out", out, also=".csv")
    if truth is not None:
        _is_csv("--truth", truth, also="")
    check_outputs({"--out": out} | ({"--truth": truth} if truth is not None else {}))
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


def _is_csv(option: str, path: Path, *, also: str) -> bool:
    """Whether a name asks for CSV.

    Raises:
        WrongUsage: It asks for something that is neither.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending == also != "":
        return True
    if ending not in _JSONL and not is_special(path):
        raise WrongUsage(
            f"{option} {path} ends in {ending}, which is not a form that kalmap writes here. Let "
            f"it end in .jsonl{f' or {also}' if also else ''}, with .gz behind it to be gzipped."
        )
    return False


@contextmanager
def _file(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    with written(path) as raw:
        if path.suffix == ".gz":
            # No time and no name inside: the same seed gives the same bytes.
            packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
            with packed, io.BufferedWriter(packed) as file:
                yield file
        else:
            yield raw
