"""Inputs of several kinds through the whole pipeline. Results name them as the user did."""

import gzip
import json
import subprocess
import sys

from kalmap_cli.local.deploy import STACK
from tests.support.deployed_stack import Stack, daily_readings
from tests.support.kalmap_command import environment

OWN = "user_id,timestamp,value\n{0},2026-03-01T07:00:00Z,70.1\n\n{0},2026-03-02T07:00:00Z,{1}\n"
TABLE = "Name;Datum;Gewicht\n" + "".join(
    f"in-c;{day}.03.2026 07:00;{weight}\n" for day, weight in [(30, "80,5"), (31, "8000,5")]
)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_stdin_a_directory_and_files_of_several_formats_are_one_batch(shared, tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.csv").write_text(OWN.format("in-a", 700))
    (inbox / "b.jsonl.gz").write_bytes(gzip.compress(daily_readings("in-b", days=2).encode()))
    (inbox / "c.csv").write_text(TABLE)
    (inbox / "d.pdf").write_text("x")
    command = ("run", "-", "inbox", "--tz", "UTC", "--limits", "unusable=1", "--stack", STACK)
    ended = subprocess.run(
        [sys.executable, "-m", "kalmap_cli.main", *command, "--out", "out"],
        cwd=tmp_path,
        env=environment(**shared.variables),
        input=OWN.format("in-d", "heavy"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Left out: d.pdf" in ended.stderr
    out = tmp_path / "out"
    assert [line["user_id"] for line in lines(out / "results.jsonl")] == [
        f"in-{name}" for name in "ddaabbcc"
    ]
    place = [(each["file"], each["line"]) for each in lines(out / "unreadable.jsonl")]
    assert place == [("stdin", 4)]
    place = [(each["file"], each["line"]) for each in lines(out / "rejected.jsonl")]
    assert place == [("inbox/a.csv", 4), ("inbox/c.csv", 3)]
    assert "stdin line 4: value is not a number." in ended.stdout
    assert "inbox/a.csv line 4: in-a, 700 kg: " in ended.stdout


def test_what_lies_in_s3_is_read_there(shared, tmp_path):
    stack = Stack(shared.cloud)
    for name in ("a", "b"):
        key, body = f"exports/in-s3/{name}.csv", OWN.format(f"in-s3-{name}", 70.2)
        stack.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=body.encode())
    address = f"s3://{stack.bucket}/exports/in-s3/"
    ended = shared.run(address, "--out", "out", "--format", "csv", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert "Uploading" not in ended.err
    rows = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["in-s3-a"] * 2 + ["in-s3-b"] * 2
    gone = shared.run(f"{address}gone.csv", cwd=tmp_path)
    assert gone.code == 1
    assert f"There is no object {address}gone.csv" in gone.err


def test_tables_of_other_programs_in_s3_are_understood_as_files_are(shared, tmp_path):
    stack = Stack(shared.cloud)
    for name in ("a", "b"):
        rows = "".join(
            f"s3t-{name};{day:02d}.03.2026 07:00;70,{day % 10};81,{day % 7}\n"
            for day in range(1, 29)
        )
        body = f"Name;Datum;Q7;Q8\n{rows}".encode()
        key = f"exports/tables-in-s3/{name}.csv"
        stack.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=body)
    address = f"s3://{stack.bucket}/exports/tables-in-s3/"
    asked = shared.run(address, "--tz", "UTC", cwd=tmp_path)
    assert asked.code == 2
    options = ("--columns", "timestamp=Datum,value=Q7", "--tz", "UTC")
    assert f"kalmap run {address} --stack {STACK} {' '.join(options)}" in asked.err
    ran = shared.run(address, *options, "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "Uploading" not in ran.err
    assert json.loads(ran.out)["readings"]["accepted"] == 56
    nothing = shared.run(f"{address}c/", "--tz", "UTC", cwd=tmp_path)
    assert (nothing.code, "There is nothing to read below" in nothing.err) == (2, True)
