"""The commands that README.md shows, run in their order as they stand there."""

import json
from pathlib import Path

from tests.e2e.commands import SharedCloud, kalmap
from tests.readme import KALMAP, commands


def test_the_readmes_commands_work_in_their_order(tmp_path: Path, shared: SharedCloud) -> None:
    shown = [words[1:] for words in commands() if words[0] == KALMAP]
    assert [words[0] for words in shown] == ["simulate", "run", "status", "states", "run"]
    for words in shown:
        cloud = shared.variables if "--stack" in words else {}
        outcome = kalmap(*words, cwd=tmp_path, **cloud)
        assert outcome.code == 0, outcome.err
    received = len((tmp_path / "readings.jsonl").read_bytes().splitlines())
    assert received > 0
    assert len((tmp_path / "truth.jsonl").read_bytes().splitlines()) == received
    results = (tmp_path / "results" / "results.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["index"] for line in results] == list(range(received))
    assert (tmp_path / "states.jsonl").read_bytes().count(b'"user_id"') > 0
    assert {file.name for file in (tmp_path / "results").iterdir()} == {
        "results.jsonl",
        "rejected.jsonl",
        "summary.json",
    }
