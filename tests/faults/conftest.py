import pytest

from tests.faults import faulty_cloud
from tests.faults.faulty_cloud import FaultyCloud
from tests.faults.two_batches import Quiet


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    cloud = FaultyCloud(tmp_path_factory.mktemp("faulty"))
    yield cloud
    cloud.stop()


@pytest.fixture
def cloud(running):
    """The session's cloud without faults, and without states."""
    running.quiet()
    running.restore({})
    yield running
    running.quiet()


@pytest.fixture(scope="session")
def quiet(running):
    """What the two batches do when nothing fails."""
    return Quiet(running)


@pytest.fixture
def between(cloud, quiet):
    """The cloud after the first of the two batches."""
    cloud.restore(quiet.before)
    return cloud


def pytest_terminal_summary(terminalreporter):
    if faulty_cloud.executions:
        kinds = ", ".join(f"{n} {kind}" for kind, n in faulty_cloud.faults.most_common())
        terminalreporter.write_line(
            f"End to end under faults: {faulty_cloud.executions['started']} executions, "
            f"{faulty_cloud.faults.total()} faults injected ({kinds})."
        )
