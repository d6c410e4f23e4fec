"""Files that commands write for their user, from a cloud that stays up."""

import json
import os

from tests.e2e.commands import start
from tests.e2e.test_events import lines


def test_states_go_through_a_link_and_into_a_pipe_and_both_stay(shared, tmp_path):
    (tmp_path / "in.jsonl").write_text(lines("output-1", days=2))
    ran = shared.run("in.jsonl", cwd=tmp_path)
    assert ran.code == 0, ran.err
    (tmp_path / "there.jsonl").touch()
    (tmp_path / "link").symlink_to("there.jsonl")
    os.mkfifo(tmp_path / "pipe")
    states = ("states", "--user", "output-1", "--out")
    linked = shared.kalmap(*states, "link", cwd=tmp_path)
    assert linked.code == 0, linked.err
    assert (tmp_path / "link").is_symlink()
    told = (tmp_path / "there.jsonl").read_text()
    assert json.loads(told)["user_id"] == "output-1"

    process = start(*states, "pipe", "--stack", "kalmap", cwd=tmp_path, **shared.variables)
    assert (tmp_path / "pipe").read_text() == told
    assert process.wait(30) == 0
    assert (tmp_path / "pipe").is_fifo()
