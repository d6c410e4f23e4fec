"""`kalmap cost`: what a batch will cost on AWS, beside the naive ways and the floor."""

import argparse
import math
import sys
from collections.abc import Iterator

from kalmap.batch.chunks import SourceObject, split_into_chunks
from kalmap.pipeline.plan_batch import CHUNK_BYTES
from kalmap.plural import counted
from kalmap.records.measurement import Measurement
from kalmap.results.cost import Bill, bill, stored_in_s3, stored_states
from kalmap.results.expected_use import (
    STATE_BYTES,
    Size,
    expected_use,
    files_gb,
    floor,
    one_call_a_reading,
    two_requests_a_reading,
)
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.input_files import measurements_of, read_profile, records_of, understand_files
from kalmap_cli.inputs import Input, open_inputs, refuse_s3
from kalmap_cli.own_files.said import read_said
from kalmap_cli.own_files.understand import Understood
from kalmap_cli.screen import Screen
from kalmap_cli.terminal import fit_to_terminal

#: The template's defaults of these parameters.
READINGS_PER_SHARD, MAX_SHARDS, WORK_DAYS = 50_000, 1_000, 30
#: Of a JSON line with unit, source and measurement_id.
_BYTES_PER_READING = 143
_DAYS = 30
_LABEL, _COLUMN = 26, 10
#: Less than this is not told apart.
_LEAST = 0.0001


def cost(arguments: argparse.Namespace) -> int:
    """Print the bill of a batch, by service.

    Raises:
        WrongUsage: A file would be refused, or there is neither a file nor a number.
    """
    size = _size(arguments)
    files = f"{size.bytes / 1e6:,.1f} MB, {counted(size.chunks, 'chunk')}"
    print(
        f"{counted(size.readings, 'reading')} of {counted(size.users, 'user')}: {files}, "
        f"{counted(size.shards, 'shard')}"
    )
    times = _DAYS if arguments.per_day else 1
    heads = ("DynamoDB", "Steps", "Lambda", "S3", "together")
    print(f"{'':{_LABEL}}" + "".join(f"{head:>{_COLUMN}}" for head in heads))
    for label, use in (
        ("one batch", expected_use(size)),
        ("two requests a reading", two_requests_a_reading(size)),
        ("a child for each reading", one_call_a_reading(size)),
        ("floor: each state once", floor(size)),
    ):
        _print_bill(label, bill(use))
    if arguments.per_day:
        _print_month(size, times)
    for sentence in _remarks(size, per_day=arguments.per_day):
        print(fit_to_terminal(sentence, sys.stdout))
    return DONE


def _print_bill(label: str, billed: Bill) -> None:
    figures = (*billed, billed.total)
    print(f"{label:{_LABEL}}" + "".join(f"{_dollars(figure):>{_COLUMN}}" for figure in figures))


def _print_month(size: Size, times: int) -> None:
    batches = times * bill(expected_use(size)).total
    files = stored_in_s3(times * files_gb(size), WORK_DAYS)
    states = stored_states(size.users * STATE_BYTES / 1e9)
    print()
    for label, dollars in (
        (f"a month: {times} batches", batches),
        (f"files, kept {WORK_DAYS} days", files),
        ("states, and their recovery", states),
        ("together", batches + files + states),
    ):
        print(f"{label:{_LABEL}}{_dollars(dollars):>{_COLUMN}}")


def _dollars(amount: float) -> str:
    """With about three significant digits, such as $0.0341 or $79.62."""
    if amount < _LEAST:
        return f"<${_LEAST}" if amount else "$0"
    return f"${amount:,.{max(2, min(4, 2 - math.floor(math.log10(amount))))}f}"


def _remarks(size: Size, *, per_day: bool) -> Iterator[str]:
    yield (
        "Prices of us-east-1 in 2026, without the free tier. A month also costs $0.10 for each "
        "alarm and $0.30 for each metric of the stack. docs/cost.md says what is in each figure."
    )
    if not per_day:
        files = stored_in_s3(files_gb(size), WORK_DAYS)
        states = stored_states(size.users * STATE_BYTES / 1e9)
        yield (
            f"Storage: {_dollars(files)} for the batch's files until they are deleted after "
            f"{WORK_DAYS} days, {_dollars(states)} a month for the states."
        )


def _size(arguments: argparse.Namespace) -> Size:
    for name in ("users", "readings"):
        if (number := getattr(arguments, name)) is not None and number < 1:
            raise WrongUsage(f"--{name} is {number}; it must be at least 1.")
    if arguments.files:
        if arguments.users or arguments.readings:
            raise WrongUsage("--users and --readings are instead of files. Leave them out.")
        return _size_of_files(arguments)
    if not (arguments.users and arguments.readings):
        raise WrongUsage(
            "Name a file, or say how many: kalmap cost --users 100000 --readings 1000000"
        )
    if arguments.users > arguments.readings:
        raise WrongUsage(
            f"--users is {arguments.users} and --readings is {arguments.readings}, but each user "
            "of a batch has at least one reading."
        )
    size = arguments.readings * _BYTES_PER_READING
    return _planned(arguments.readings, arguments.users, size, math.ceil(size / CHUNK_BYTES))


def _size_of_files(arguments: argparse.Namespace) -> Size:
    refuse_s3(arguments.files, "cost")
    said = read_said("cost", arguments)
    with open_inputs(arguments.files) as inputs, Screen() as screen:
        understood = understand_files(inputs.files, said, read_profile(arguments.profile))
        screen.note("Counting readings and users")
        users: set[str] = set()
        readings = 0
        for file, known in zip(inputs.files, understood, strict=True):
            for user in _users_of(file, known):
                users.add(user)
                readings += 1
        size = sum(file.content.stat().st_size for file in inputs.files)
        chunks = _chunks(inputs.files, understood)
    if not readings:
        raise WrongUsage("No record can be read. `kalmap check FILE` says why.")
    return _planned(readings, len(users), size, chunks)


def _chunks(files: list[Input], understood: list[Understood]) -> int:
    """How many chunks PlanBatch cuts the files into, as they are."""
    objects = [
        SourceObject(
            bucket="",
            key=str(number),
            etag="",
            version_id=None,
            size=file.content.stat().st_size,
            format=known.format,
            gzipped=known.sample.gzipped,
        )
        for number, (file, known) in enumerate(zip(files, understood, strict=True))
    ]
    return max(1, len(split_into_chunks(objects, CHUNK_BYTES)))


def _users_of(file: Input, known: Understood) -> Iterator[str]:
    """The user of each record that can be read."""
    for block in known.format.blocks(records_of(file, known.format)):
        for measurement in measurements_of(block):
            if isinstance(measurement, Measurement):
                yield measurement.user_id


def _planned(readings: int, users: int, size: int, chunks: int) -> Size:
    shards = min(MAX_SHARDS, math.ceil(readings / READINGS_PER_SHARD))
    return Size(readings, users, size, chunks, shards)
