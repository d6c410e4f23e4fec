"""Failed readings are stored, and `kalmap retry` runs exactly those again."""

import json
import re

import msgspec

from kalmap.profile import builtin_profile
from tests.support.deployed_stack import Stack, daily_readings
from tests.support.kalmap_command import kalmap


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_user_whose_state_is_corrupt_fails_alone_and_is_run_again_once_it_is_mended(
    shared, tmp_path
):
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_text(daily_readings("sound", days=2) + "\n" + daily_readings("broken", days=2))
    second.write_text(daily_readings("sound", days=4) + "\n" + daily_readings("broken", days=4))
    assert shared.run(first, cwd=tmp_path).code == 0
    stack = Stack(shared.cloud)
    table, dynamodb = stack.outputs["StatesTable"], stack.client("dynamodb")
    key = {"user_id": {"S": "broken"}, "profile": {"S": "body-weight"}}
    sound = dynamodb.get_item(TableName=table, Key=key)["Item"]
    dynamodb.put_item(TableName=table, Item=sound | {"state": {"B": b"garbage"}})

    ran = shared.run(second, "--out", "out", cwd=tmp_path)
    assert ran.code == 0
    assert "kalmap retry" in ran.out
    failed = read(tmp_path / "out" / "failed.jsonl")
    assert [line["user_id"] for line in failed] == ["broken"] * 4
    results = read(tmp_path / "out" / "results.jsonl")
    assert [r["reason"] for r in results if r["status"] == "failed"] == ["corrupt_state"] * 4
    assert dynamodb.get_item(TableName=table, Key=key)["Item"]["state"]["B"] == b"garbage"

    dynamodb.put_item(TableName=table, Item=sound)
    batch = json.loads((tmp_path / "out" / "summary.json").read_text())["batch_id"]
    again = shared.kalmap("retry", batch[:16], "--out", "again", cwd=tmp_path)
    assert again.code == 0, again.err
    results = read(tmp_path / "again" / "results.jsonl")
    assert [r["status"] for r in results] == ["duplicate"] * 2 + ["accepted"] * 2
    assert not (tmp_path / "again" / "failed.jsonl").exists()

    # Once more the same retry: it is that batch, which has run.
    twice = shared.kalmap("retry", batch[:16], "--out", "twice", cwd=tmp_path)
    assert twice.code == 0, twice.err
    assert "had run before" in twice.out
    assert read(tmp_path / "twice" / "results.jsonl") == results

    retried = json.loads((tmp_path / "again" / "summary.json").read_text())["batch_id"]
    before = shared.kalmap("status", cwd=tmp_path).out
    nothing = shared.kalmap("retry", retried, "--out", "nothing", cwd=tmp_path)
    assert nothing.code == 0, nothing.err
    assert nothing.out == f"Nothing to run again: batch {retried[:12]} has no failed reading.\n"
    assert not (tmp_path / "nothing").exists()
    assert shared.kalmap("status", cwd=tmp_path).out == before


def test_an_unknown_batch_cannot_be_run_again(shared, tmp_path):
    refused = shared.kalmap("retry", "zzz", cwd=tmp_path)
    assert refused.code == 2
    assert "There is no batch whose id begins with zzz" in refused.err


def test_another_version_of_a_profile_is_not_retried_but_adopted_as_the_screen_says(
    shared, tmp_path
):
    file, again = tmp_path / "versions.jsonl", ("run", "versions.jsonl", "--profile", "p.json")
    file.write_text(daily_readings("versions", days=2))
    for name, prior in (("p.json", 0.06), ("q.json", 0.05)):
        profile = msgspec.structs.replace(
            builtin_profile("body-weight"), name="v", slope_prior=prior
        )
        (tmp_path / name).write_bytes(msgspec.json.encode(profile))
    assert shared.kalmap(*again, cwd=tmp_path).code == 0
    (tmp_path / "q.json").replace(tmp_path / "p.json")
    refused = shared.kalmap(*again, cwd=tmp_path)
    assert refused.code == 1
    assert "kalmap retry" not in refused.out + refused.err
    [command] = re.findall(r"`kalmap (run FILE [^`]*)`", refused.out)
    [option] = re.findall(r"run with `([^`]*)`", refused.err)
    typed = command.replace("FILE", "versions.jsonl").replace(" P ", " p.json ").split()
    assert option in typed
    adopted = kalmap(*typed, cwd=tmp_path, **shared.variables)
    assert adopted.code == 0, adopted.err
    assert re.search(r"^failed +0$", adopted.out, re.MULTILINE)
