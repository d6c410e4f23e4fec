import io

import pytest

from kalmap_handlers.telemetry import logger
from tests.support.api_function import Api


@pytest.fixture
def start(monkeypatch):
    """Starts a container with its own tables, and with the settings given."""
    return lambda **settings: Api(monkeypatch, **settings)


@pytest.fixture
def log():
    """What the function logs."""
    stream, handler = io.StringIO(), logger.registered_handler
    before, level = handler.setStream(stream), logger.level
    logger.setLevel("DEBUG")
    yield stream
    logger.setLevel(level)
    handler.setStream(before)


@pytest.fixture
def api(start):
    return start()
