"""The data directory: what the local cloud keeps from run to run, for one user at a time.

<data dir>/kalmap.json    marks the directory as ours
<data dir>/lock           held while a local cloud runs in it; holds its user's process id
<data dir>/cloud/         the local cloud's tables, objects, scratch files and log
<data dir>/aside/         such a folder, set aside by --fresh until the new batch is accepted
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

#: Used when neither --data-dir nor the environment says otherwise.
DEFAULT = ".kalmap"
VARIABLE = "KALMAP_DATA_DIR"

_MARK = "kalmap.json"
_LOCK = "lock"
_KEY = "kalmap_data_directory"
#: Format 1 had one save, in <data dir>/cloud/state, without checksums. It is carried over.
_FORMAT = 2
#: How long an orphaned local cloud may take to save its state and go, seconds.
_ORPHAN_PATIENCE = 130.0


def default_path() -> Path:
    """The data directory used when the user names none."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def is_data_directory(path: Path) -> bool:
    """Whether `path` is a kalmap data directory that has been used before."""
    return (path / _MARK).is_file()


def is_in_use(path: Path) -> bool:
    """Whether somebody has the directory; who was killed has left files that say so, too."""
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
    """Another command has the data directory."""

    def __init__(self, path: Path, holder: int) -> None:
        self.holder = f"another kalmap command{f' (process {holder})' if holder else ''}"
        super().__init__(
            f"The data directory {path} is in use by {self.holder}. Wait until it has ended, end "
            f"it with Ctrl-C if it is `kalmap serve`, or name another directory with --data-dir."
        )


class DataDirectory:
    """A data directory, locked for this process while the `with` block lasts.

    Args:
        path: created where it does not exist.
        fresh: set aside everything that earlier runs stored in it. It comes back at the end, or
            at the next start, unless `forget_what_was_set_aside` was called.

    Raises:
        WrongUsage: on entering: the path cannot be a data directory, belongs to
            something else, or is in use.
        RunFailed: on leaving: the directory was removed or replaced meanwhile.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path.absolute()
        self.cloud = self.path / "cloud"
        self._aside = self.path / "aside"
        self._forgotten = self.path / "forgotten"
        self._fresh = fresh
        self._lock = -1
        self._left = False

    @property
    def lock(self) -> int:
        """The lock's file descriptor: a child that inherits it holds the lock too."""
        return self._lock

    def __enter__(self) -> Self:
        try:
            self._claim()
            self._lock = self._acquire()
            remove_access_files(self.path)
            self._mark()
            self._bring_back()
            if self._fresh and self.cloud.exists():
                self.cloud.rename(self._aside)
            # The local cloud's scratch files outlive it when it is killed.
            shutil.rmtree(self.cloud / "tmp", ignore_errors=True)
            self.cloud.mkdir(exist_ok=True)
            # Also where the data directory itself was there before, and open to others.
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
            if not self._left:
                shutil.rmtree(self.cloud / "tmp", ignore_errors=True)
                self._bring_back()
        finally:
            self._release()

    @property
    def was_replaced(self) -> bool:
        """Whether the path no longer leads to the directory that this process has locked."""
        try:
            return not os.path.samestat(os.fstat(self._lock), (self.path / _LOCK).stat())
        except OSError:
            return True

    @property
    def has_set_aside(self) -> bool:
        """Whether there is something that `fresh` set aside and that is not forgotten yet."""
        return self._aside.exists()

    def hand_over_to(self, process: int) -> None:
        """Leave the directory to a child that has inherited the lock, and goes on using it."""
        self._left = True
        _sign(self._lock, process)

    def delete_set_aside(self) -> None:
        """Forget what `fresh` set aside, once what replaces it has been accepted.

        Until then nothing is lost: whatever ends the command, everything is there again.
        """
        if self._aside.exists():
            # In one step: a kill while the files are being removed must not bring back half.
            self._aside.rename(self._forgotten)
            shutil.rmtree(self._forgotten, ignore_errors=True)

    def _bring_back(self) -> None:
        """End what `fresh` began: what was set aside and not forgotten is in its place again."""
        shutil.rmtree(self._forgotten, ignore_errors=True)
        if self._aside.exists():
            if self.cloud.exists():
                self.cloud.rename(self._forgotten)
            self._aside.rename(self.cloud)
            shutil.rmtree(self._forgotten, ignore_errors=True)

    def _claim(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise WrongUsage(
                f"The data directory {self.path} is not a directory. "
                f"Name another one with --data-dir."
            )
        # Readings may be about people's health: for their owner's eyes only.
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_owner(self.path)
        if is_data_directory(self.path):
            _check_format(self.path / _MARK)
        # A kill before the mark was written leaves no more than the lock.
        elif any(
            path.name.partition(".")[0] not in ("lock", "kalmap") for path in self.path.iterdir()
        ):
            raise WrongUsage(
                f"{self.path} holds other files and is not a kalmap data directory (it has no "
                f"{_MARK}). Name an empty or a new directory with --data-dir."
            )
        _keep_others_out(self.path)

    def _mark(self) -> None:
        """Write the mark, whole or not at all."""
        mark = json.dumps({_KEY: _FORMAT}) + "\n"
        path = self.path / _MARK
        if not path.exists() or path.read_text() != mark:
            temporary = self.path / f"{_MARK}.{os.getpid()}"
            try:
                temporary.write_text(mark)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _acquire(self) -> int:
        lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _ORPHAN_PATIENCE
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = _process_id(lock)
                    # A killed run leaves its local cloud saving the state: worth waiting for.
                    if _alive(holder) or time.monotonic() > deadline:
                        raise InUse(self.path, holder) from None
                    time.sleep(0.1)
                else:
                    break
            _sign(lock, os.getpid())
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _keep_others_out(path: Path) -> None:
    """Let nobody else put files into the directory: who can, has us run what they put there."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & WRITABLE_BY_OTHERS:
        path.chmod(mode & ~WRITABLE_BY_OTHERS)
    # What they have put there before it was closed.
    for entry in path.iterdir():
        with contextlib.suppress(FileNotFoundError):
            check_owner(entry)


def _check_format(mark: Path) -> None:
    try:
        found = json.loads(mark.read_bytes())[_KEY]
    except (ValueError, TypeError, KeyError):
        raise Damaged(
            f"{mark} is damaged: it must be {json.dumps({_KEY: _FORMAT})}. Nothing was changed. "
            f"If the directory is kalmap's, write this into the file. Else name another directory "
            f"with --data-dir."
        ) from None
    if found not in range(1, _FORMAT + 1):
        raise Damaged(
            f"{mark.parent} has format {found}, and this kalmap knows formats 1 to {_FORMAT}. "
            f"Nothing was changed. Use a newer kalmap, or name another directory with --data-dir."
        )


def _sign(lock: int, process: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(process).encode(), 0)


def _process_id(lock: int) -> int:
    written = os.pread(lock, 20, 0).strip()
    return int(written) if written.isdigit() else 0


def _alive(process: int) -> bool:
    if not process:
        # The holder has locked the file and not yet written its number.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
