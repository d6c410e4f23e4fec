"""`kalmap status`: the batches that were run, or one of them."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError
from rich.console import Console

from kalmap.store.dynamodb.batches import BatchRecords
from kalmap.store.objects import Objects
from kalmap_cli import drive
from kalmap_cli.batch_options import as_typed
from kalmap_cli.exits import DONE, WrongUsage
from kalmap_cli.given_names import GivenNames
from kalmap_cli.screen import ID_SHOWN, items, print_summary
from kalmap_cli.target import Target, target
from kalmap_cli.terminal import fitted

_COLUMNS = ("batch", "status", "started", "received", "accepted", "users", "reason")


def status(data_dir: Path | None, stack: str | None, batch: str | None) -> int:
    """Print all batches, newest first, or one batch with its summary.

    Raises:
        WrongUsage: There is no such batch.
    """
    with target(None, data_dir, stack) as place:
        if batch is None:
            _print_batches(_told(place, _batches(place)))
        else:
            _print_batch(place, *_told(place, [find_batch(place, batch)]))
    return DONE


def find_batch(place: Target, beginning: str) -> dict[str, Any]:
    """The record of the one batch whose id begins so, with its fate.

    Raises:
        WrongUsage: There is none, or there are several.
    """
    if not beginning:
        raise WrongUsage(f"The batch's id is empty. `kalmap status{place.options}` lists them.")
    # One that is named in full need not be listed.
    whole = _records(place).get(beginning)
    matching = (
        [_plain(whole)]
        if whole
        else [item for item in _batches(place) if str(item["batch_id"]).startswith(beginning)]
    )
    if len(matching) != 1:
        raise WrongUsage(
            f"{'Several batches begin' if matching else 'There is no batch that begins'} "
            f"with {beginning}. `kalmap status{place.options}` lists them."
        )
    return _with_fate(place, matching[0])


def _batches(place: Target) -> list[dict[str, Any]]:
    return [_plain(item) for item in _records(place).newest()]


def _records(place: Target) -> BatchRecords:
    return BatchRecords(place.clients("dynamodb"), place.stack.batches_table)


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def _told(place: Target, batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Batches with what became of them, in words that the user of the command line knows."""
    names = GivenNames(Objects(place.clients("s3"), place.stack.bucket))
    fates = [_with_fate(place, item) for item in batches]
    return [
        item | {"reason": as_typed(names.in_text(str(item.get("reason") or "")))} for item in fates
    ]


def _with_fate(place: Target, item: dict[str, Any]) -> dict[str, Any]:
    """The batch; one marked as running whose execution is gone is shown as stopped."""
    if item.get("status") != "RUNNING" or not item.get("execution_arn"):
        return item
    try:
        execution = place.clients("stepfunctions").describe_execution(
            executionArn=item["execution_arn"]
        )
    except ClientError:
        return item | _stopped(place, item, "no longer exists")
    if execution["status"] == "RUNNING":
        return item
    return item | _stopped(place, item, "ended early")


def _stopped(place: Target, item: Mapping[str, Any], what: str) -> dict[str, str]:
    short = str(item["batch_id"])[:ID_SHOWN]
    again = f"`kalmap retry {short}{place.options}` runs the batch again."
    return {"status": "STOPPED", "reason": item.get("reason") or f"Its execution {what}; {again}"}


def _print_batches(batches: list[dict[str, Any]]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not batches:
        console.print("No batch is listed. One of an earlier version is found by its whole id.")
        return
    # At a terminal a reason has lines of its own; elsewhere each batch is one line.
    terminal = sys.stdout.isatty()
    rows: list[tuple[str, ...]] = [_COLUMNS[:-1] if terminal else _COLUMNS]
    rows += [
        (
            str(item["batch_id"])[:ID_SHOWN],
            str(item.get("status", "")).lower(),
            str(item.get("started_at", ""))[:19].replace("T", " "),
            *(_figure(item, name) for name in ("received", "accepted", "users")),
            *(() if terminal else (item["reason"],)),
        )
        for item in batches
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    reasons = ["", *(item["reason"] if terminal else "" for item in batches)]
    for row, reason in zip(rows, reasons, strict=True):
        cells = [
            cell.rjust(width) if 3 <= place <= 5 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.print("  ".join(cells).rstrip(), markup=False)
        if reason:
            aside = " " * (ID_SHOWN + 2)
            console.print(fitted(f"{aside}{reason}", sys.stdout, len(aside)), markup=False)


def _figure(item: Mapping[str, Any], name: str) -> str:
    return f"{int(item[name]):,}" if item.get(name) is not None else ""


def _print_batch(place: Target, item: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for name in ("batch_id", "status", "reason", "started_at", "finished_at", "execution_arn"):
        if item.get(name):
            console.print(fitted(f"{name:14}{item[name]}", sys.stdout, 14), markup=False)
    if item["status"] == "RUNNING" and (now := drive.look(place.clients, item["execution_arn"])):
        console.print(f"{'phase':14}{now.state}{items(now)}", markup=False)
    key = item.get("summary")
    objects = Objects(place.clients("s3"), place.stack.bucket)
    found = objects.find(str(key)) if key else None
    if found:
        console.print()
        print_summary(GivenNames(objects).in_summary(found))
        short = str(item["batch_id"])[:ID_SHOWN]
        again = f"`kalmap results {short}{place.options} --out DIR` fetches its results."
        console.print(fitted(again, sys.stdout), markup=False)
