"""What whoever runs kalmap does to stored data, by the commands."""

import json

from tests.support.deployed_stack import daily_readings


def batch_of(folder):
    return json.loads((folder / "summary.json").read_text())["batch_id"]


def exact(shared, user, cwd):
    return shared.kalmap("states", "--user", user, "--exact", cwd=cwd).out


def test_a_batch_is_rolled_back_and_run_again_as_the_screen_says(shared, tmp_path):
    (tmp_path / "good.jsonl").write_text(daily_readings("back"))
    (tmp_path / "bad.jsonl").write_text(daily_readings("back", 6) + "\n" + daily_readings("made"))
    assert shared.run("good.jsonl", "--out", "good", cwd=tmp_path).code == 0
    before = exact(shared, "back", tmp_path)
    assert shared.run("bad.jsonl", "--out", "bad", cwd=tmp_path).code == 0
    bad = exact(shared, "back", tmp_path)
    batch = batch_of(tmp_path / "bad")

    rehearsed = shared.kalmap("rollback", batch[:12], "--rehearse", cwd=tmp_path)
    assert (rehearsed.code, rehearsed.out) == (0, "")
    assert "state from before it again   1 user\n" in rehearsed.err
    assert "made by it, no state again   1 user\n" in rehearsed.err
    assert rehearsed.err.endswith("No state was written.\n")
    assert exact(shared, "back", tmp_path) == bad

    done = shared.kalmap("rollback", batch[:12], cwd=tmp_path)
    assert done.code == 0, done.err
    assert exact(shared, "back", tmp_path) == before
    assert (
        "There is no stored state of user 'made'."
        in shared.kalmap("states", "--user", "made", cwd=tmp_path).err
    )
    listed = shared.kalmap("status", batch, cwd=tmp_path).out
    assert "FAILED" in listed
    assert "were rolled back" in listed

    again = shared.kalmap("retry", batch, "--out", "again", cwd=tmp_path)
    assert again.code == 0, again.err
    assert exact(shared, "back", tmp_path) == bad
    twice = shared.kalmap("rollback", batch, cwd=tmp_path)
    assert twice.code == 1
    assert "left, as changed since       2 users (back, made)" in twice.err
    assert exact(shared, "back", tmp_path) == bad


def test_a_rehearsal_has_nothing_to_roll_back(shared, tmp_path):
    (tmp_path / "r.jsonl").write_text(daily_readings("rehearsed"))
    words = ("r.jsonl", "--write-mode", "none", "--out", "r")
    assert shared.run(*words, cwd=tmp_path).code == 0
    refused = shared.kalmap("rollback", batch_of(tmp_path / "r"), cwd=tmp_path)
    assert refused.code == 2
    assert "was a rehearsal and has written no state" in refused.err
