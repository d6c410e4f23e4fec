"""The data directory: what the local cloud keeps from run to run, for one user at a time.

<data dir>/kalmap.json    marks the directory as ours
<data dir>/lock           held while a local cloud runs in it; holds its user's process id
<data dir>/cloud/         the local cloud's tables, objects, scratch files and log
"""

import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from kalmap_cli.exits import WrongUsage

#: Used when neither --data-dir nor the environment says otherwise.
DEFAULT = ".kalmap"
VARIABLE = "KALMAP_DATA_DIR"

_MARK = "kalmap.json"
_MARK_CONTENT = '{"kalmap_data_directory": 1}\n'
#: How long an orphaned local cloud may take to save its state and go, seconds.
_ORPHAN_PATIENCE = 20.0


def default_path() -> Path:
    """The data directory used when the user names none."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def exists(path: Path) -> bool:
    """Whether `path` is a kalmap data directory that has been used before."""
    return (path / _MARK).is_file()


class DataDirectory:
    """A data directory, locked for this process while the `with` block lasts.

    Args:
        path: created where it does not exist.
        fresh: forget everything that earlier runs stored in it.

    Raises:
        WrongUsage: on entering: the path cannot be a data directory, belongs to
            something else, or is in use.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path.absolute()
        self.cloud = self.path / "cloud"
        self._fresh = fresh
        self._lock = -1

    @property
    def lock(self) -> int:
        """The lock's file descriptor: a child that inherits it holds the lock too."""
        return self._lock

    def __enter__(self) -> Self:
        try:
            self._claim()
            self._lock = self._acquire()
            if self._fresh and self.cloud.exists():
                shutil.rmtree(self.cloud)
            # The local cloud's scratch files outlive it when it is killed.
            shutil.rmtree(self.cloud / "tmp", ignore_errors=True)
            self.cloud.mkdir(exist_ok=True)
            # Also where the data directory itself was there before, and open to others.
            self.cloud.chmod(0o700)
            for name in ("state", "s3", "tmp"):
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
        shutil.rmtree(self.cloud / "tmp", ignore_errors=True)
        self._release()

    def _claim(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise WrongUsage(
                f"The data directory {self.path} is not a directory. "
                f"Name another one with --data-dir."
            )
        # Readings may be about people's health: for their owner's eyes only.
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if exists(self.path):
            return
        if any(self.path.iterdir()):
            raise WrongUsage(
                f"{self.path} holds other things and is not a kalmap data directory (it has no "
                f"{_MARK}). Name an empty or a new directory with --data-dir."
            )
        (self.path / _MARK).write_text(_MARK_CONTENT)

    def _acquire(self) -> int:
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + _ORPHAN_PATIENCE
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = _process_id(lock)
                    # A killed run leaves its local cloud saving the state: worth waiting for.
                    if _alive(holder) or time.monotonic() > deadline:
                        raise WrongUsage(
                            f"The data directory {self.path} is in use by another kalmap command"
                            f"{f' (process {holder})' if holder else ''}. Wait until it has ended, "
                            f"end it with Ctrl-C if it is `kalmap serve`, or name another "
                            f"directory with --data-dir."
                        ) from None
                    time.sleep(0.1)
                else:
                    break
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


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
