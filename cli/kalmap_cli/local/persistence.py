"""Store the local cloud's data: saves of everything, and a log of the changes between them.

ministack itself saves its services one by one when it ends, and only logs failures. Here one save
has all services (see `saves`). Each change of a table is logged before its request is answered
(see `change_log`). If an object cannot be written, its request fails.

This module uses and replaces internals of ministack, whose version is pinned exactly. If a newer
version does not work with it, tests/e2e/test_saving.py fails.
"""

import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kalmap_cli.errors import Damaged, WrongUsage
from kalmap_cli.local import change_log, saves
from kalmap_cli.local.change_log import ChangeLog
from kalmap_cli.local.retention import delete_empty_folders, delete_old_history
from kalmap_cli.local.saves import Save

#: Has a line for each service: its name, a tab, and its state in ministack's JSON.
_SERVICES = "services.tsv"
#: A save replaces the log when the log is larger than this, and larger than the last save.
_LOG_LIMIT = 128 * 2**20
#: Attempts to read a service's state while a thread of a state machine changes it.
_READ_ATTEMPTS = 20

_Response = tuple[int, dict[str, str], bytes]
_Handler = Callable[..., Awaitable[_Response]]


class Persistence:
    """Restores, logs and saves the data of a local cloud.

    Args:
        cloud: The local cloud's folder. It must be this process's working directory: all writes
            are relative to it, so that another directory in its place is never touched.

    Raises:
        Damaged: The last save, or the log, is not what was written.
    """

    def __init__(self, cloud: Path) -> None:
        self._named = cloud
        self._cloud = Path()
        self._lock = threading.RLock()
        self._changed: dict[tuple[str, str, str], None] = {}
        self._failed_writes: ContextVar[list[OSError]] = ContextVar("failed_writes")
        self._failed_outside_requests: list[OSError] = []
        self._saved_bytes = 0
        self._synced = 0
        self._last = saves.newest(cloud)

    def restore(self) -> None:
        """Restore the last save and the changes in the log. Then begin a new file of the log.

        Raises:
            Damaged: The log has a change of a table that the save does not have.
            OSError: The new file cannot be written.
        """
        from ministack import app  # noqa: PLC0415 - takes a second, and reads the environment
        from ministack.core import persistence  # noqa: PLC0415
        from ministack.services import (  # noqa: PLC0415
            cloudwatch_logs,
            dynamodb,
            lambda_svc,
            stepfunctions,
        )

        _report_failed_writes(self._add_failed_write)
        app._get_module("s3")  # noqa: SLF001 - the version is pinned exactly
        for error in self._failed_outside_requests:
            raise error
        first = 1
        if self._last:
            lambda_svc.CODE_BLOB_DIR = str(self._last.folder / "lambda-blobs")
            saved = dict(_saved_services(self._last))
            for service, module in app._state_map.items():  # noqa: SLF001
                if service in saved:
                    hook = persistence._json_object_hook  # noqa: SLF001
                    state = json.loads(saved.pop(service), object_hook=hook)
                    known_format = persistence._state_format_version(service)  # noqa: SLF001
                    if state["__ministack_format__"] > known_format:
                        raise WrongUsage(
                            f"{self._last.folder} was saved by a newer kalmap, whose local cloud "
                            f"writes {service} in another format. Nothing was changed. Use the "
                            f"newer kalmap, or another directory with --data-dir."
                        )
                    app._get_module(module).load_persisted_state(state["payload"])  # noqa: SLF001
            delete_old_history(stepfunctions, cloudwatch_logs, datetime.now(UTC))
            delete_empty_folders(self._cloud / saves.OBJECTS, datetime.now(UTC))
            first = self._last.first_log
        previous = (0, 0)
        for content in change_log.read_since(self._named, first):
            for changes in content.records:
                for change in changes:
                    _apply(dynamodb, self._named, change)
            previous = (content.size, content.checksum)
        self._begin_log(previous)

    def start_logging(self) -> None:
        """From now on, log each change of a table before its request is answered."""
        from ministack.services import dynamodb, s3, stepfunctions  # noqa: PLC0415

        self._track_changes(dynamodb, "_set_item")
        self._track_changes(dynamodb, "_remove_item")
        dynamodb.handle_request = self._with_logging(dynamodb.handle_request)
        s3.handle_request = self._with_write_errors(s3.handle_request)
        inner = stepfunctions._invoke_dynamodb  # noqa: SLF001

        def invoke(*arguments: Any) -> Any:
            result = inner(*arguments)
            self._log_changes()
            return result

        stepfunctions._invoke_dynamodb = invoke  # noqa: SLF001

    def save(self) -> None:
        """Save the state of all services, and begin a new file of the log.

        Raises:
            OSError: The save failed. Earlier saves are unchanged.
        """
        with self._lock:
            self._log_changes()
            self._log.sync()
            previous = self._log
            self._begin_log((previous.size, previous.checksum))
            previous.close()
        saves.write(self._cloud, self._service_states(), self._log.number)
        for error in self._failed_outside_requests:
            raise error

    def sync(self) -> None:
        """Wait until all changes so far would also survive a crash of the machine."""
        log = self._log
        if log.size > self._synced:
            size = log.size
            log.sync()
            self._synced = size

    @property
    def is_log_long(self) -> bool:
        """Whether a save is due because the log is long."""
        return self._log.size > max(_LOG_LIMIT, self._saved_bytes)

    def _begin_log(self, previous: tuple[int, int]) -> None:
        number = (change_log.log_numbers(self._cloud) or [0])[-1] + 1
        self._log = ChangeLog(self._cloud, number, previous)
        self._synced = 0

    def _service_states(self) -> Iterator[tuple[str, bytes]]:
        from ministack import app  # noqa: PLC0415
        from ministack.core import persistence  # noqa: PLC0415
        from ministack.services import lambda_svc  # noqa: PLC0415

        code: dict[str, bytes] = {}

        def add_code(content: bytes) -> str:
            name = lambda_svc.hashlib.sha256(content).hexdigest()
            code[f"lambda-blobs/{name}.zip"] = content
            return str(name)

        # The code of functions belongs to the save. ministack must not remove it from earlier ones.
        lambda_svc._write_code_blob = add_code  # noqa: SLF001
        lambda_svc._prune_orphan_code_blobs = lambda _: None  # noqa: SLF001
        lines = []
        for service, get_state in app._build_persistence_save_dict().items():  # noqa: SLF001
            content = _as_json(
                get_state,
                persistence._state_format_version(service),  # noqa: SLF001
                persistence._json_default,  # noqa: SLF001
            )
            if content is not None:
                lines.append(f"{service}\t{content}\n".encode())
        all_states = b"".join(lines)
        self._saved_bytes = len(all_states)
        yield _SERVICES, all_states
        yield from code.items()

    def _track_changes(self, dynamodb: Any, name: str) -> None:
        """Replace a function of ministack that changes items by one that tracks the changes."""
        inner = getattr(dynamodb, name)

        def change_item(table: dict[str, Any], hash_key: str, range_key: str, *item: Any) -> Any:
            result = inner(table, hash_key, range_key, *item)
            self._changed[table["TableArn"], hash_key, range_key] = None
            return result

        setattr(dynamodb, name, change_item)

    def _log_changes(self) -> None:
        """Log the current value of each changed item.

        Raises:
            OSError: The items were not logged, and still count as changed.
        """
        from ministack.services import dynamodb  # noqa: PLC0415

        with self._lock:
            keys = [key for key in tuple(self._changed) if self._changed.pop(key, True) is None]
            if not keys:
                return
            try:
                # The keys are removed before the items are read, so a later change adds its key.
                self._log.append([(*key, _item(dynamodb, *key)) for key in keys])
            except OSError:
                self._changed |= dict.fromkeys(keys)
                raise

    def _with_logging(self, inner: _Handler) -> _Handler:
        async def handle(*arguments: Any, **named: Any) -> _Response:
            response = await inner(*arguments, **named)
            try:
                self._log_changes()
            except OSError as error:
                # Reads fail too, because a kill could undo what they would return.
                body = {"__type": "InternalServerError", "message": f"Not logged: {error}"}
                headers = {"Content-Type": "application/x-amz-json-1.0"}
                return 500, headers, json.dumps(body).encode()
            return response

        return handle

    def _with_write_errors(self, inner: _Handler) -> _Handler:
        async def handle(*arguments: Any, **named: Any) -> _Response:
            errors: list[OSError] = []
            self._failed_writes.set(errors)
            response = await inner(*arguments, **named)
            if errors:
                text = f"Not stored: {errors[0].strerror or errors[0]}"
                body = f"<Error><Code>InternalError</Code><Message>{text}</Message></Error>"
                return 500, {"Content-Type": "application/xml"}, body.encode()
            return response

        return handle

    def _add_failed_write(self, error: OSError) -> None:
        self._failed_writes.get(self._failed_outside_requests).append(error)


def _report_failed_writes(report: Callable[[OSError], object]) -> None:
    """Call `report` for objects that ministack cannot write or read, which it only logs."""

    class FailedWriteHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if str(record.msg).startswith("Failed to "):
                errors = [part for part in record.args or () if isinstance(part, OSError)]
                report(errors[0] if errors else OSError(record.getMessage()))

    logger = logging.getLogger("s3")
    logger.addHandler(FailedWriteHandler())
    logger.setLevel(logging.WARNING)


def _saved_services(save: Save) -> Iterator[tuple[str, bytes]]:
    """The services of a save, each with its JSON."""
    if save.number:
        for line in (save.folder / _SERVICES).read_bytes().splitlines():
            name, _, content = line.partition(b"\t")
            yield name.decode(), content
    else:
        for path in save.folder.glob("*.json"):
            yield path.stem, path.read_bytes()


def count_items(cloud: Path, table: str) -> int:
    """Count the items of a table in the last save and the log.

    Args:
        cloud: The folder of a local cloud that is not running.
        table: The beginning of the table's name.

    Raises:
        Damaged: The last save, or the log, is not what was written.
    """
    last = saves.newest(cloud)
    if last is None:
        return 0
    tables = json.loads(dict(_saved_services(last))["dynamodb"])["payload"]["tables"]["data"]
    keys = {
        (hash_key, range_key)
        for key, content in tables.items()
        if key.rpartition("\0")[2].strip("'").startswith(table)
        for hash_key, items in content["items"].items()
        for range_key in items
    }
    for content in change_log.read_since(cloud, last.first_log):
        for changes in content.records:
            for arn, hash_key, range_key, item in changes:
                if arn.partition(":table/")[2].startswith(table):
                    change = keys.discard if item is None else keys.add
                    change((hash_key, range_key))
    return len(keys)


def _as_json(
    get_state: Callable[[], Any], version: int, default: Callable[[Any], Any]
) -> str | None:
    """A service's state as JSON, which threads of state machines may change at the same time."""
    from kalmap_cli.local.emulator.item_copies import without_copies  # noqa: PLC0415 - ministack

    def encode() -> str | None:
        with without_copies():
            state = get_state()
            if state is None:
                return None
            return json.dumps({"__ministack_format__": version, "payload": state}, default=default)

    for _ in range(_READ_ATTEMPTS - 1):
        try:
            return encode()
        except RuntimeError:
            # "dictionary changed size during iteration"
            continue
    return encode()


def _item(dynamodb: Any, table: str, hash_key: str, range_key: str) -> Any:
    """The current value of an item; None if the item or its table does not exist."""
    content = _table(dynamodb, table)
    return content["items"].get(hash_key, {}).get(range_key) if content else None


def _table(dynamodb: Any, arn: str) -> Any:
    _, _, _, region, account, name = arn.split(":", 5)
    return dynamodb._tables.get_scoped(account, region, name.removeprefix("table/"))  # noqa: SLF001


def _apply(dynamodb: Any, cloud: Path, change: Any) -> None:
    table, hash_key, range_key, item = change
    content = _table(dynamodb, table)
    if content is None:
        if item is None:
            return
        raise Damaged(
            f"The log of changes in {cloud} has readings for the table {table}, which the last "
            f"save does not have. Nothing was changed. Restore the folder from a backup, or start "
            f"without these states: name another --data-dir."
        )
    if item is None:
        dynamodb._remove_item(content, hash_key, range_key)  # noqa: SLF001
    else:
        dynamodb._set_item(content, hash_key, range_key, item)  # noqa: SLF001
