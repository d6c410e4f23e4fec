import pytest

from kalmap_cli.simulation import Rates, jsonl_lines, simulate


@pytest.fixture
def in_an_empty_directory(tmp_path, monkeypatch):
    """Work in an empty directory, on a machine whose clock is in Berlin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")


@pytest.fixture(scope="module")
def faulty_readings(tmp_path_factory):
    path = tmp_path_factory.mktemp("tune") / "readings.jsonl"
    with path.open("w") as file:
        for block in simulate(100, 100, 3, rates=Rates(outliers=0.03, unit_mistakes=0.01)):
            file.writelines(jsonl_lines(block))
    return path
