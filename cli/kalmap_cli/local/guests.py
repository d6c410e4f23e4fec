"""Commands that use a local cloud which another one has started: its guests.

<data dir>/cloud-url   the local cloud's address, while guests may come
<data dir>/guests      locked by all guests together, or alone by whoever ends the local cloud

A local cloud does not end under its guests: where there are some, the command that started it
leaves it behind, and it ends with the last of them.
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
    """A guest of the local cloud that runs on a data directory, while the `with` block lasts.

    Args:
        endpoint: the local cloud's address.
        secret: what requests to it are signed with.
        lock: a descriptor of the guests' lock, which is held.
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
    """Let guests come to the local cloud of a data directory."""
    os.close(os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    write_private(directory / CLOUD_URL_FILE, f"{endpoint}\n")


def join_cloud(directory: Path) -> Guest | None:
    """Become a guest on a data directory; None where no local cloud is open to guests now.

    Raises:
        WrongUsage: The directory is another user's.
    """
    if not (directory / CLOUD_URL_FILE).exists():
        return None
    # Another user may have written the address, or listen at it since a local cloud was killed:
    # our readings are not for them.
    check_owner(directory)
    if directory.stat().st_mode & WRITABLE_BY_OTHERS or not is_in_use(directory):
        return None
    try:
        lock = _opened(directory)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        endpoint = (directory / CLOUD_URL_FILE).read_text().strip()
        secret = read_secret(directory)
        # The local cloud may have been killed, and whoever started it not be through with it.
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
    """Around the end of a local cloud: whether it has guests; if not, none can come."""
    try:
        lock = _opened(directory)
    except FileNotFoundError:
        # Nobody was ever invited.
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
    """Return when there is no guest left; from then on none can come."""
    with suppress(FileNotFoundError):
        fcntl.flock(_opened(directory), fcntl.LOCK_EX)


def _opened(directory: Path) -> int:
    return os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)


def _listens(endpoint: str) -> bool:
    place = urlsplit(endpoint)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        return probe.connect_ex((place.hostname or "", place.port or 0)) == 0
