"""End-to-end tests: the command as a process, and the deployed stack. Nothing is replaced.

Starting a local cloud, deploying, and warming its workers takes seconds. So most tests share one
local cloud for the session, and use it like AWS: by `--stack`.
"""

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from kalmap_cli.deployment import local_parameters
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import deploy
from tests.support import forked_programs
from tests.support.kalmap_command import SharedCloud, environment


@pytest.fixture(scope="session", autouse=True)
def _forked_clouds() -> None:
    """Local clouds that tests themselves start are forks, where that is safe."""
    if sys.platform == "linux":
        packages = environment()["PYTHONPATH"]
        forked_programs.install(packages, path=forked_programs.template_of(packages))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedCloud]:
    directory = tmp_path_factory.mktemp("shared-cloud")
    with DataDirectory(directory) as data, LocalCloud(data, idle_seconds=20.0) as cloud:
        deploy(cloud.clients, local_parameters() | {"ReadingsPerShard": "50"})
        yield SharedCloud(cloud, directory)


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of the test itself that fail are sent again as often as ever, but at once."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
