"""The data directory, where the local cloud stores everything between runs.

<data dir>/kalmap.json    says that this is a data directory, and its format
<data dir>/lock           locked while a local cloud runs; contains the process id of its command
<data dir>/cloud/         the local cloud's tables, objects, temporary files and log
<data dir>/aside/         an earlier `cloud`, set aside by --fresh until the new batch succeeds
"""

import contextlib
import fcntl
import json
import os
import shutil
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from kalmap_cli.errors import Damaged, RunFailed, WrongUsage
from kalmap_cli.local.access_files import WRITABLE_BY_OTHERS, check_owner, remove_access_files

#: Used if neither --data-dir nor the environment names a directory.
DEFAULT = ".kalmap"
VARIABLE = "KALMAP_DATA_DIR"

_FORMAT_FILE = "kalmap.json"
_LOCK = "lock"
_KEY = "kalmap_data_directory"
#: Format 1 had one save, in <data dir>/cloud/state, without checksums. It is converted.
_FORMAT = 2
#: Seconds for the local cloud of a killed command to save and end.
_ORPHAN_TIMEOUT = 130.0


def default_path() -> Path:
    """The data directory that is used if the user names none."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def is_data_directory(path: Path) -> bool:
    """Whether `path` is a kalmap data directory that was used before."""
    return (path / _FORMAT_FILE).is_file()


def is_in_use(path: Path) -> bool:
    """Whether a command has the directory locked. A killed command leaves files, but no lock."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


class InUse(WrongUsage):
    """Another command uses the data directory."""

    def __init__(self, path: Path, holder: int) -> None:
        self.holder = f"another kalmap command{f' (process {holder})' if holder else ''}"
        super().__init__(
            f"The data directory {path} is in use by {self.holder}. Wait until it has ended, end "
            f"it with Ctrl-C if it is `kalmap serve`, or name another directory with --data-dir."
        )


class DataDirectory:
    """A data directory, locked for this process while the `with` block lasts.

    Args:
        path: Is created if it does not exist.
        fresh: Set aside everything that earlier runs have stored. It comes back at the end, or at
            the next start, unless `delete_set_aside` is called.

    Raises:
        WrongUsage: On entering: the path is in use, cannot be a data directory, or has other files.
        RunFailed: On leaving: the directory was removed or replaced in the meantime.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path.absolute()
        self.cloud = self.path / "cloud"
        self._aside = self.path / "aside"
        self._deleted = self.path / "forgotten"
        self._fresh = fresh
        self._lock = -1
        self._handed_over = False

    @property
    def lock(self) -> int:
        """The lock's file descriptor. A child process that inherits it has the lock too."""
        return self._lock

    def __enter__(self) -> Self:
        try:
            self._create_or_check()
            self._lock = self._acquire()
            remove_access_files(self.path)
            self._write_format_file()
            self._restore_set_aside()
            if self._fresh and self.cloud.exists():
                self.cloud.rename(self._aside)
            # A local cloud that was killed leaves its temporary files.
            shutil.rmtree(self.cloud / "tmp", ignore_errors=True)
            self.cloud.mkdir(exist_ok=True)
            # Other users may be able to read the data directory, but never this folder.
            self.cloud.chmod(0o700)
            for name in ("s3", "tmp"):
                (self.cloud / name).mkdir(exist_ok=True)
        except OSError as error:
            self._release()
            raise WrongUsage(
                f"The data directory {self.path} cannot be used: {error.strerror or error}. "
                f"Name another one with --data-dir."
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self.was_replaced:
                raise RunFailed(
                    f"The data directory {self.path} was removed or replaced while this command "
                    f"used it. What the command had stored is lost. The files that are there now "
                    f"were not touched."
                ) from error
            if not self._handed_over:
                shutil.rmtree(self.cloud / "tmp", ignore_errors=True)
                self._restore_set_aside()
        finally:
            self._release()

    @property
    def was_replaced(self) -> bool:
        """Whether another directory, or none, is now at the path that this process has locked."""
        try:
            return not os.path.samestat(os.fstat(self._lock), (self.path / _LOCK).stat())
        except OSError:
            return True

    @property
    def has_set_aside(self) -> bool:
        """Whether `fresh` has set aside data that is not deleted yet."""
        return self._aside.exists()

    def hand_over_to(self, process: int) -> None:
        """Hand the directory over to a child process that has inherited the lock."""
        self._handed_over = True
        _write_process_id(self._lock, process)

    def delete_set_aside(self) -> None:
        """Delete the data that `fresh` has set aside, once new data replaces it.

        Until this call, the earlier data comes back however the command ends.
        """
        if self._aside.exists():
            # Rename first: if the process is killed during the removal, no part comes back.
            self._aside.rename(self._deleted)
            shutil.rmtree(self._deleted, ignore_errors=True)

    def _restore_set_aside(self) -> None:
        """Put data that `fresh` has set aside and not deleted back into its place."""
        shutil.rmtree(self._deleted, ignore_errors=True)
        if self._aside.exists():
            if self.cloud.exists():
                self.cloud.rename(self._deleted)
            self._aside.rename(self.cloud)
            shutil.rmtree(self._deleted, ignore_errors=True)

    def _create_or_check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise WrongUsage(
                f"The data directory {self.path} is not a directory. "
                f"Name another one with --data-dir."
            )
        # Readings may be about people's health, so only the owner can read them.
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_owner(self.path)
        if is_data_directory(self.path):
            _check_format(self.path / _FORMAT_FILE)
        # A command that is killed before it writes the format file leaves only the lock.
        elif any(
            path.name.partition(".")[0] not in ("lock", "kalmap") for path in self.path.iterdir()
        ):
            raise WrongUsage(
                f"{self.path} holds other files and is not a kalmap data directory (it has no "
                f"{_FORMAT_FILE}). Name an empty or a new directory with --data-dir."
            )
        _deny_writes_by_others(self.path)

    def _write_format_file(self) -> None:
        """Write the format file, completely or not at all."""
        content = json.dumps({_KEY: _FORMAT}) + "\n"
        path = self.path / _FORMAT_FILE
        if not path.exists() or path.read_text() != content:
            temporary = self.path / f"{_FORMAT_FILE}.{os.getpid()}"
            try:
                temporary.write_text(content)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _acquire(self) -> int:
        lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _ORPHAN_TIMEOUT
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = _read_process_id(lock)
                    # If the command was killed, its local cloud is saving and will end soon.
                    if _is_alive(holder) or time.monotonic() > deadline:
                        raise InUse(self.path, holder) from None
                    time.sleep(0.1)
                else:
                    break
            _write_process_id(lock, os.getpid())
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _deny_writes_by_others(path: Path) -> None:
    """Deny other users writing into the directory, because kalmap runs code from it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & WRITABLE_BY_OTHERS:
        path.chmod(mode & ~WRITABLE_BY_OTHERS)
    # Refuse files that other users have put there before.
    for entry in path.iterdir():
        with contextlib.suppress(FileNotFoundError):
            check_owner(entry)


def _check_format(path: Path) -> None:
    try:
        version = json.loads(path.read_bytes())[_KEY]
    except (ValueError, TypeError, KeyError):
        raise Damaged(
            f"{path} is damaged: it must be {json.dumps({_KEY: _FORMAT})}. Nothing was changed. "
            f"If the directory is kalmap's, write this into the file. Else name another directory "
            f"with --data-dir."
        ) from None
    if version not in range(1, _FORMAT + 1):
        raise Damaged(
            f"{path.parent} has format {version}, and this kalmap knows formats 1 to {_FORMAT}. "
            f"Nothing was changed. Use a newer kalmap, or name another directory with --data-dir."
        )


def _write_process_id(lock: int, process: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(process).encode(), 0)


def _read_process_id(lock: int) -> int:
    digits = os.pread(lock, 20, 0).strip()
    return int(digits) if digits.isdigit() else 0


def _is_alive(process: int) -> bool:
    if not process:
        # The other command has the lock, and has not written its id yet.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
