"""How the local cloud keeps what it was told: saves of everything, and between them a log.

ministack saves its services one by one, when it ends, and only logs what goes wrong. Here a save
is made as a whole (see `saves`), every change of a table is logged before the request for it is
answered (see `change_log`), and an object that could not be written is an error of its request.

All of this reaches into ministack, whose version is pinned exactly; tests/e2e/test_saving.py
fails when a newer one no longer works so.
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
from kalmap_cli.local.retention import delete_old_history
from kalmap_cli.local.saves import Save

#: A line for each service: its name, a tab, and JSON as ministack writes it.
_SERVICES = "services.tsv"
#: The log is replaced by a save when it is larger than this, and than the last save.
_LOG_LIMIT = 32 * 2**20
#: Tries to copy a service's state while a state machine's thread changes it.
_TRIES = 20

_Answer = tuple[int, dict[str, str], bytes]
_Handler = Callable[..., Awaitable[_Answer]]


class Persistence:
    """What the local cloud of a folder keeps.

    Args:
        cloud: the folder, which must be this process's working directory: whatever is written
            goes by it, so that a directory put in its place is never touched.

    Raises:
        Damaged: The last save, or the log, is not what was written.
    """

    def __init__(self, cloud: Path) -> None:
        self._named = cloud
        self._cloud = Path()
        self._lock = threading.RLock()
        self._changed: dict[tuple[str, str, str], None] = {}
        self._unkept: ContextVar[list[OSError]] = ContextVar("unkept")
        self._unkept_outside_requests: list[OSError] = []
        self._saved_bytes = 0
        self._synced = 0
        self._last = saves.newest(cloud)

    def restore(self) -> None:
        """Bring back what was saved, and what the log has; begin a new file of the log.

        Raises:
            Damaged: The log has a change of a table that the save does not have.
            OSError: There is no room to log anything.
        """
        from ministack import app  # noqa: PLC0415 - takes a second, and reads the environment
        from ministack.core import persistence  # noqa: PLC0415
        from ministack.services import (  # noqa: PLC0415
            cloudwatch_logs,
            dynamodb,
            lambda_svc,
            stepfunctions,
        )

        _listen_to_ministack(self._hear)
        app._get_module("s3")  # noqa: SLF001 - the version is pinned exactly
        for error in self._unkept_outside_requests:
            raise error
        first = 1
        if self._last:
            lambda_svc.CODE_BLOB_DIR = str(self._last.folder / "lambda-blobs")
            saved = dict(_saved(self._last))
            for service, module in app._state_map.items():  # noqa: SLF001
                if service in saved:
                    hook = persistence._json_object_hook  # noqa: SLF001
                    state = json.loads(saved.pop(service), object_hook=hook)
                    known = persistence._state_format_version(service)  # noqa: SLF001
                    if state["__ministack_format__"] > known:
                        raise WrongUsage(
                            f"{self._last.folder} was saved by a newer kalmap, whose local cloud "
                            f"writes {service} in another format. Nothing was changed. Use the "
                            f"newer kalmap, or another directory with --data-dir."
                        )
                    app._get_module(module).load_persisted_state(state["payload"])  # noqa: SLF001
            delete_old_history(stepfunctions, cloudwatch_logs, datetime.now(UTC))
            first = self._last.first_log
        before = (0, 0)
        for content in change_log.read_since(self._named, first):
            for changes in content.records:
                for change in changes:
                    _apply(dynamodb, self._named, change)
            before = (content.size, content.checksum)
        self._begin_log(before)

    def keep(self) -> None:
        """From now on log every change of a table before its request is answered."""
        from ministack.services import dynamodb, s3, stepfunctions  # noqa: PLC0415

        self._note_changes(dynamodb, "_set_item")
        self._note_changes(dynamodb, "_remove_item")
        dynamodb.handle_request = self._logged(dynamodb.handle_request)
        s3.handle_request = self._kept(s3.handle_request)
        inner = stepfunctions._invoke_dynamodb  # noqa: SLF001

        def invoke(*arguments: Any) -> Any:
            answer = inner(*arguments)
            self._log_changes()
            return answer

        stepfunctions._invoke_dynamodb = invoke  # noqa: SLF001

    def save(self) -> None:
        """Save the state of all services as a whole, and begin a new file of the log.

        Raises:
            OSError: It could not be saved. What was saved before is unchanged.
        """
        with self._lock:
            self._log_changes()
            self._log.sync()
            ended = self._log
            self._begin_log((ended.size, ended.checksum))
            ended.close()
        saves.write(self._cloud, self._states(), self._log.number)
        for error in self._unkept_outside_requests:
            raise error

    def sync(self) -> None:
        """Wait until all changes so far would survive the machine's end, too."""
        log = self._log
        if log.size > self._synced:
            size = log.size
            log.sync()
            self._synced = size

    @property
    def is_log_long(self) -> bool:
        """Whether a save is due, so that the log does not grow without end."""
        return self._log.size > max(_LOG_LIMIT, self._saved_bytes)

    def _begin_log(self, before: tuple[int, int]) -> None:
        number = (change_log.log_numbers(self._cloud) or [0])[-1] + 1
        self._log = ChangeLog(self._cloud, number, before)
        self._synced = 0

    def _states(self) -> Iterator[tuple[str, bytes]]:
        from ministack import app  # noqa: PLC0415
        from ministack.core import persistence  # noqa: PLC0415
        from ministack.services import lambda_svc  # noqa: PLC0415

        code: dict[str, bytes] = {}

        def blob(content: bytes) -> str:
            name = lambda_svc.hashlib.sha256(content).hexdigest()
            code[f"lambda-blobs/{name}.zip"] = content
            return str(name)

        # The code of functions is part of the save, and never removed from an earlier one.
        lambda_svc._write_code_blob = blob  # noqa: SLF001
        lambda_svc._prune_orphan_code_blobs = lambda _: None  # noqa: SLF001
        lines = []
        for service, get_state in app._build_persistence_save_dict().items():  # noqa: SLF001
            state = _copied(get_state)
            if state is None:
                continue
            version = persistence._state_format_version(service)  # noqa: SLF001
            whole = {"__ministack_format__": version, "payload": state}
            content = json.dumps(whole, default=persistence._json_default)  # noqa: SLF001
            lines.append(f"{service}\t{content}\n".encode())
        all_states = b"".join(lines)
        self._saved_bytes = len(all_states)
        yield _SERVICES, all_states
        yield from code.items()

    def _note_changes(self, dynamodb: Any, name: str) -> None:
        """Have one of the two functions that change items note which one it changed."""
        inner = getattr(dynamodb, name)

        def noting(table: dict[str, Any], hash_key: str, range_key: str, *item: Any) -> Any:
            before = inner(table, hash_key, range_key, *item)
            self._changed[table["TableArn"], hash_key, range_key] = None
            return before

        setattr(dynamodb, name, noting)

    def _log_changes(self) -> None:
        """Log items as they are now; those whose logging fails stay noted.

        Raises:
            OSError: They were not logged.
        """
        from ministack.services import dynamodb  # noqa: PLC0415

        with self._lock:
            noted = [key for key in tuple(self._changed) if self._changed.pop(key, True) is None]
            if not noted:
                return
            try:
                # Read after it is no longer noted: who changes it now notes it anew.
                self._log.append([(*key, _item(dynamodb, *key)) for key in noted])
            except OSError:
                self._changed |= dict.fromkeys(noted)
                raise

    def _logged(self, inner: _Handler) -> _Handler:
        async def handle(*arguments: Any, **named: Any) -> _Answer:
            answer = await inner(*arguments, **named)
            try:
                self._log_changes()
            except OSError as error:
                # Reads fail, too: nobody is told what a kill could still undo.
                body = {"__type": "InternalServerError", "message": f"Not logged: {error}"}
                kind = {"Content-Type": "application/x-amz-json-1.0"}
                return 500, kind, json.dumps(body).encode()
            return answer

        return handle

    def _kept(self, inner: _Handler) -> _Handler:
        async def handle(*arguments: Any, **named: Any) -> _Answer:
            unkept: list[OSError] = []
            self._unkept.set(unkept)
            answer = await inner(*arguments, **named)
            if unkept:
                text = f"Not stored: {unkept[0].strerror or unkept[0]}"
                body = f"<Error><Code>InternalError</Code><Message>{text}</Message></Error>"
                return 500, {"Content-Type": "application/xml"}, body.encode()
            return answer

        return handle

    def _hear(self, error: OSError) -> None:
        self._unkept.get(self._unkept_outside_requests).append(error)


def _listen_to_ministack(hear: Callable[[OSError], object]) -> None:
    """Hear of objects that ministack could not write or read: it says so in its log alone."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if str(record.msg).startswith("Failed to "):
                reasons = [part for part in record.args or () if isinstance(part, OSError)]
                hear(reasons[0] if reasons else OSError(record.getMessage()))

    logger = logging.getLogger("s3")
    logger.addHandler(Ear())
    logger.setLevel(logging.WARNING)


def _saved(save: Save) -> Iterator[tuple[str, bytes]]:
    """The services of a save, and the JSON of each."""
    if save.number:
        for line in (save.folder / _SERVICES).read_bytes().splitlines():
            name, _, content = line.partition(b"\t")
            yield name.decode(), content
    else:
        for path in save.folder.glob("*.json"):
            yield path.stem, path.read_bytes()


def count_items(cloud: Path, table: str) -> int:
    """How many items the table whose name begins so has, as it was saved and logged.

    Args:
        cloud: the folder of a local cloud that is not running.
        table: the beginning of the table's name.

    Raises:
        Damaged: The last save, or the log, is not what was written.
    """
    last = saves.newest(cloud)
    if last is None:
        return 0
    tables = json.loads(dict(_saved(last))["dynamodb"])["payload"]["tables"]["data"]
    found = {
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
                    change = found.discard if item is None else found.add
                    change((hash_key, range_key))
    return len(found)


def _copied(get_state: Callable[[], Any]) -> Any:
    """A service's state, copied while threads of state machines may change it."""
    for _ in range(_TRIES - 1):
        try:
            return get_state()
        except RuntimeError:
            # "dictionary changed size during iteration"
            continue
    return get_state()


def _item(dynamodb: Any, table: str, hash_key: str, range_key: str) -> Any:
    """An item as it is now; None where there is none, or its table is gone."""
    found = _table(dynamodb, table)
    return found["items"].get(hash_key, {}).get(range_key) if found else None


def _table(dynamodb: Any, arn: str) -> Any:
    _, _, _, region, account, name = arn.split(":", 5)
    return dynamodb._tables.get_scoped(account, region, name.removeprefix("table/"))  # noqa: SLF001


def _apply(dynamodb: Any, cloud: Path, change: Any) -> None:
    table, hash_key, range_key, item = change
    found = _table(dynamodb, table)
    if found is None:
        if item is None:
            return
        raise Damaged(
            f"The log of changes in {cloud} has readings for the table {table}, which the last "
            f"save does not have. Nothing was changed. Restore the folder from a backup, or start "
            f"without these states: name another --data-dir."
        )
    if item is None:
        dynamodb._remove_item(found, hash_key, range_key)  # noqa: SLF001
    else:
        dynamodb._set_item(found, hash_key, range_key, item)  # noqa: SLF001
