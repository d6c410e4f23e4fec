import pytest

from tests.support.moto_engine import deployed


@pytest.fixture
def engine(monkeypatch):
    with deployed(monkeypatch) as engine:
        yield engine
