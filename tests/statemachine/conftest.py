import pytest

from tests.support.moto_engine import deployed


@pytest.fixture
def engine(monkeypatch):
    with deployed(monkeypatch) as engine:
        yield engine


@pytest.fixture
def no_waiting(monkeypatch):
    """Conflict rounds follow each other at once."""
    monkeypatch.setattr("kalmap.pipeline.collect_writes.random.randint", lambda low, high: 0)
