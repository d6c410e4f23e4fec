"""Guests: commands that use a local cloud that another command has started.

<data dir>/cloud-url   the local cloud's address, while guests are allowed
<data dir>/guests      locked shared by guests, and exclusively to end the local cloud

A local cloud does not end while it has guests. If the command that started it ends first, the
local cloud keeps running and ends after its last guest.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from kalmap_cli.local.access_files import (
    CLOUD_URL_FILE,
    WRITABLE_BY_OTHERS,
    check_owner,
    read_secret,
    write_private,
)
from kalmap_cli.local.data_dir import is_in_use

_LOCK = "guests"


class Guest:
    """A guest of the local cloud of a data directory, while the `with` block lasts.

    Args:
        endpoint: The local cloud's address.
        secret: Signs the requests to it.
        lock: A descriptor of the guests' lock, which this process holds.
    """

    def __init__(self, endpoint: str, secret: str, lock: int) -> None:
        self.endpoint = endpoint
        self.secret = secret
        self._lock = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    @property
    def cloud_listens(self) -> bool:
        """Whether the local cloud still listens."""
        return _listens(self.endpoint)


def allow_guests(directory: Path, endpoint: str) -> None:
    """Allow guests in the local cloud of a data directory."""
    os.close(os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    write_private(directory / CLOUD_URL_FILE, f"{endpoint}\n")


def join_cloud(directory: Path) -> Guest | None:
    """Become a guest of the local cloud of a data directory.

    Returns:
        None if no local cloud of the directory allows guests now.

    Raises:
        WrongUsage: The directory belongs to another user.
    """
    if not (directory / CLOUD_URL_FILE).exists():
        return None
    # Another user may have written the address, or may listen at it after a local cloud was
    # killed. They must not get our readings.
    check_owner(directory)
    if directory.stat().st_mode & WRITABLE_BY_OTHERS or not is_in_use(directory):
        return None
    try:
        lock = _open_lock(directory)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        endpoint = (directory / CLOUD_URL_FILE).read_text().strip()
        secret = read_secret(directory)
        # The local cloud may have been killed while the command that started it still runs.
        if endpoint and secret and _listens(endpoint):
            return Guest(endpoint, secret, lock)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


@contextmanager
def check_for_guests(directory: Path) -> Iterator[bool]:
    """Whether a local cloud has guests. If it has none, none can join during the block."""
    try:
        lock = _open_lock(directory)
    except FileNotFoundError:
        # Guests were never allowed.
        yield False
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            guests = False
        except BlockingIOError:
            guests = True
        yield guests
    finally:
        os.close(lock)


def wait_for_guests(directory: Path) -> None:
    """Return when there are no guests. From then on none can join."""
    with suppress(FileNotFoundError):
        fcntl.flock(_open_lock(directory), fcntl.LOCK_EX)


def _open_lock(directory: Path) -> int:
    return os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)


def _listens(endpoint: str) -> bool:
    url = urlsplit(endpoint)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        return probe.connect_ex((url.hostname or "", url.port or 0)) == 0
