"""Guests of a local cloud that another command has started, and when it may end."""

import fcntl
import os
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ReadTimeoutError

from kalmap.errors import StoreUnavailable
from kalmap_cli.deployment import _explain_lost_cloud
from kalmap_cli.errors import RunFailed, WrongUsage
from kalmap_cli.local.access_files import create_secret, remove_access_files
from kalmap_cli.local.guests import allow_guests, check_for_guests, join_cloud, wait_for_guests


@contextmanager
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def locked(directory):
    """A data directory that a command uses."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield
    os.close(lock)


@pytest.fixture
def open_to_guests(tmp_path):
    """A data directory on which something listens, and its address."""
    with listening() as endpoint, locked(tmp_path):
        create_secret(tmp_path)
        allow_guests(tmp_path, endpoint)
        yield tmp_path, endpoint


def test_a_guest_reads_the_address_and_the_secret_that_only_its_user_can_read(open_to_guests):
    directory, endpoint = open_to_guests
    with join_cloud(directory) as guest:
        assert guest.endpoint == endpoint
        assert guest.secret == (directory / "secret").read_text().strip()
        assert guest.cloud_listens
    assert (directory / "cloud-url").stat().st_mode & 0o777 == 0o600


def test_no_guest_joins_a_cloud_that_does_not_allow_guests_or_has_ended(tmp_path):
    assert join_cloud(tmp_path) is None
    with listening() as endpoint:
        create_secret(tmp_path)
        allow_guests(tmp_path, endpoint)
        with locked(tmp_path):
            join_cloud(tmp_path).__exit__(None, None, None)
        # Killed: its files are still there, and another program listens where it did.
        assert join_cloud(tmp_path) is None
    with locked(tmp_path):
        # Killed, while the command that started it still runs.
        assert join_cloud(tmp_path) is None
    remove_access_files(tmp_path)
    assert list(tmp_path.glob("cloud-url")) == []


def test_a_cloud_may_not_end_under_guests_and_takes_none_while_it_ends(open_to_guests):
    directory, _ = open_to_guests
    with join_cloud(directory), join_cloud(directory), check_for_guests(directory) as has_guests:
        assert has_guests
    with check_for_guests(directory) as has_guests:
        assert not has_guests
        assert join_cloud(directory) is None
    with join_cloud(directory), check_for_guests(directory) as has_guests:
        assert has_guests


def test_without_guests_no_file_is_written_and_the_cloud_does_not_wait(tmp_path):
    with check_for_guests(tmp_path) as has_guests:
        assert not has_guests
    wait_for_guests(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_is_refused_and_reads_that_the_directory_is_not_theirs():
    with tempfile.TemporaryDirectory() as name, listening() as endpoint:
        directory = Path(name)
        directory.chmod(0o755)
        create_secret(directory)
        allow_guests(directory, endpoint)
        with locked(directory), join_cloud(directory):
            pass
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                (directory / "secret").read_text()
            with pytest.raises(WrongUsage, match="belongs to another user"):
                join_cloud(directory)
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_no_reading_is_sent_to_an_address_of_another_user(open_to_guests):
    directory, _ = open_to_guests
    os.chown(directory, 65534, 65534)
    with pytest.raises(WrongUsage, match="belongs to another user"):
        join_cloud(directory)
    os.chown(directory, 0, 0)
    # The directory is ours, but other users may write into it, so the address may be theirs.
    directory.chmod(0o777)
    assert join_cloud(directory) is None
    directory.chmod(0o755)
    with join_cloud(directory):
        pass


@pytest.mark.parametrize(
    "error", [StoreUnavailable("No answer."), ReadTimeoutError(endpoint_url="")]
)
def test_a_request_that_fails_because_the_local_cloud_has_ended_says_so(tmp_path, error):
    guest = SimpleNamespace(cloud_listens=False)
    with pytest.raises(RunFailed, match="ended unexpectedly"), _explain_lost_cloud(tmp_path, guest):
        raise error
    guest.cloud_listens = True
    with pytest.raises(type(error)), _explain_lost_cloud(tmp_path, guest):
        raise error
