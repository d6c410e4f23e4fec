import sys

import pytest

from tests.support.faults import faults
from tests.support.faulty_cloud import FaultyCloud, executions
from tests.support.two_batches import FaultFreeRun


@pytest.fixture(scope="session")
def running(tmp_path_factory, pytestconfig):
    """A local cloud for the session, which ends by saying what was run and injected."""
    cloud = FaultyCloud(tmp_path_factory.mktemp("faulty"))
    yield cloud
    cloud.stop()
    kinds = ", ".join(f"{number} {kind}" for kind, number in faults.most_common())
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        # Not stdout, which has no terminal where tests run side by side.
        sys.stderr.write(
            f"\nEnd to end under faults: {executions.total()} executions, {faults.total()} faults "
            f"injected ({kinds or 'none'}).\n"
        )


@pytest.fixture
def cloud(running):
    """The session's cloud without faults, and without states."""
    running.stop_faults()
    running.restore({})
    yield running
    running.stop_faults()


@pytest.fixture(scope="session")
def fault_free_run(running):
    """What the two batches do when nothing fails."""
    return FaultFreeRun(running)


@pytest.fixture
def between(cloud, fault_free_run):
    """The cloud after the first of the two batches."""
    cloud.restore(fault_free_run.before)
    return cloud
