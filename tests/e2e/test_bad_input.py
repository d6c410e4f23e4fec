"""Files with bad records, through the whole pipeline, by the deployed stack."""

import gzip
import json
import re
from pathlib import Path

import pytest

from kalmap_cli.option_names import with_option_names
from tests.support.kalmap_command import kalmap

GOOD = b'{"user_id": "%s", "timestamp": "2026-01-0%dT07:00:00+01:00", "value": %s, "unit": "kg"}'
DAY = b'"timestamp": "2026-01-05T07:00:00Z"'

#: Lines, and what must be said of each: None for a reading that is folded.
LINES = (
    (b"\xef\xbb\xbf" + GOOD % (b"u-1", 1, b"80.0"), None),  # a byte order mark
    (b"{broken", "malformed"),
    (GOOD % (b"u-1", 2, b"80.1") + b"\r", None),  # a Windows line end
    (b'{"user_id": "u-1", %s}' % DAY, "missing_field"),
    (b'{%s, "value": 80}' % DAY, "missing_field"),
    (b'{"user_id": "u-1", "timestamp": "2026-01-05T07:00:00", "value": 80}', "bad_timestamp"),
    (b'{"user_id": "u-1", "timestamp": "yesterday", "value": 80}', "bad_timestamp"),
    (b'{"user_id": "u-1", %s, "value": NaN}' % DAY, "bad_value"),
    (b'{"user_id": "u-1", %s, "value": Infinity}' % DAY, "bad_value"),
    (b'{"user_id": "u-1", %s, "value": 1e999}' % DAY, "bad_value"),
    (b'{"user_id": "u-1", %s, "value": "eighty"}' % DAY, "bad_value"),
    (b'{"user_id": "u-1", %s, "value": 80, "unit": "cubit"}' % DAY, "unknown_unit"),
    (b'{"user_id": "u-1", %s, "value": 80, "note": "%s"}' % (DAY, b"x" * 1_000_000), "malformed"),
    (b'{"user_id": "u-\xff", %s, "value": 80}' % DAY, "malformed"),
    (b'["u-1", 80]', "malformed"),
    (b"80", "malformed"),
    (GOOD % (b"u-2", 3, b"60.0"), None),
)


@pytest.fixture(scope="module")
def ran(shared, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bad")
    (directory / "bad.jsonl").write_bytes(b"\n".join(line for line, _ in LINES) + b"\n")
    outcome = shared.run("bad.jsonl", "--limits", "unusable=1", cwd=directory)
    assert outcome.code == 0, outcome.err
    return directory / "kalmap-out" / "latest", outcome.out


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_bad_line_is_in_unreadable_jsonl_with_its_position_and_reason(ran):
    out, _ = ran
    refused = {line["line"]: line for line in lines(out / "unreadable.jsonl")}
    expected = {number: reason for number, (_, reason) in enumerate(LINES, 1) if reason}
    assert {number: line["reason"] for number, line in refused.items()} == expected
    for line in refused.values():
        assert line["file"] == "bad.jsonl"
        assert line["detail"].endswith(".")
        assert len(line["excerpt"]) <= 200


def test_the_screen_shows_the_first_bad_lines_with_the_users_file_name(ran):
    out, printed = ran
    shown = printed.partition("unreadable.jsonl")[2].splitlines()[1:5]
    refused = lines(out / "unreadable.jsonl")
    assert shown == [
        *(f"            bad.jsonl line {r['line']}: {r['detail']}" for r in refused[:3]),
        f"            and {len(refused) - 3} more",
    ]


def test_beside_bad_lines_the_others_are_processed_and_every_line_has_its_result(ran):
    out, _ = ran
    results = lines(out / "results.jsonl")
    assert [result["index"] for result in results] == list(range(len(LINES)))
    for result, (_, reason) in zip(results, LINES, strict=True):
        assert (result["status"], result["reason"]) == (
            ("unreadable", reason) if reason else ("accepted", None)
        )
    counted = json.loads((out / "summary.json").read_text())["readings"]
    assert counted["received"] == len(LINES)
    assert counted["accepted"] == 3
    assert sum(counted["unreadable"].values()) == len(LINES) - 3


def test_a_csv_with_a_byte_order_mark_and_windows_line_ends_beside_a_gzipped_jsonl(
    shared, tmp_path
):
    rows = ["user_id,timestamp,value,note", "w-1,2026-01-01T07:00:00Z,80.5,a", "w-1,bad,80.5,b"]
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode() + b"\r\n")
    packed = gzip.compress(GOOD % (b"w-2", 2, b"70.0") + b"\n")
    (tmp_path / "b.jsonl.gz").write_bytes(packed)
    outcome = shared.run("a.csv", "b.jsonl.gz", "--out", "out", cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    results = lines(tmp_path / "out" / "results.jsonl")
    assert [(result["user_id"], result["reason"]) for result in results] == [
        ("w-1", None),
        ("w-1", "bad_timestamp"),
        ("w-2", None),
    ]
    (refused,) = lines(tmp_path / "out" / "unreadable.jsonl")
    assert refused["line"] == 3
    assert refused["file"] == "a.csv"


def test_a_batch_that_is_mostly_unusable_fails_with_its_reason_and_changes_no_state(
    shared, tmp_path
):
    good = [GOOD % (b"gate-1", 1 + day, b"80.%d" % day) for day in range(8)]
    bad = [b'{"user_id": "gate-1", %s, "value": null}' % DAY] * 100
    (tmp_path / "mostly-bad.jsonl").write_bytes(b"\n".join(good + bad))
    outcome = shared.run("mostly-bad.jsonl", "--out", "out", cwd=tmp_path)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith("kalmap: The batch failed:")
    assert "unusable" in outcome.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert with_option_names(summary["reason"]) in outcome.err
    assert summary["database"]["write_units"] == 0
    assert len(lines(tmp_path / "out" / "results.jsonl")) == 108
    asked_for = ("states", "--user", "gate-1", "--stack", "kalmap")
    assert kalmap(*asked_for, cwd=tmp_path, **shared.variables).code == 2
    listed = kalmap("status", "--stack", "kalmap", cwd=tmp_path, **shared.variables)
    assert any("failed" in line and "unusable" in line for line in listed.out.splitlines())
    # And what the sentence says to type does what it says.
    [advice] = re.findall(r"raise `(--limits unusable=SHARE)`", outcome.err)
    typed = advice.replace("SHARE", "1").split()
    raised = shared.run("mostly-bad.jsonl", *typed, "--out", "raised", cwd=tmp_path)
    assert raised.code == 0, raised.err
    assert kalmap(*asked_for, cwd=tmp_path, **shared.variables).code == 0


def test_a_batch_of_which_nothing_could_be_read_fails_and_names_the_users_own_file(
    shared, tmp_path
):
    (tmp_path / "my data").mkdir()
    file = Path("my data") / "local.csv"
    rows = [f"u,2026-03-0{n}T07:12:00Z,81,cubit" for n in range(1, 6)]
    rows.insert(0, "user_id,timestamp,value,unit")
    (tmp_path / file).write_text("\n".join(rows))
    outcome = shared.run(file, "--out", "out", cwd=tmp_path)
    assert outcome.code == 1
    assert "Nothing could be read" in outcome.err
    assert f"{file}, line 2: " in outcome.err
    assert "uploads/" not in outcome.err + outcome.out
    unreadable = lines(tmp_path / "out" / "unreadable.jsonl")
    shown = [f"{file} line {line['line']}: {line['detail']}" for line in unreadable[:3]]
    assert [line.strip() for line in outcome.out.splitlines() if str(file) in line] == shown
    # A later command knows it, too.
    batch = json.loads((tmp_path / "out" / "summary.json").read_text())["batch_id"]
    again = shared.kalmap("results", batch, "--out", "again", cwd=tmp_path)
    assert again.code == 0, again.err
    assert lines(tmp_path / "again" / "unreadable.jsonl") == unreadable
    assert f"{file}, line 2: " in shared.kalmap("status", batch, cwd=tmp_path).out


def test_a_stack_that_is_not_there_or_is_no_kalmap_is_wrong_usage(shared, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD % (b"u", 1, b"80"))
    command = ("run", "a.jsonl", "--stack")
    missing = kalmap(*command, "no-such-stack", cwd=tmp_path, **shared.variables)
    assert missing.code == 2
    assert "no-such-stack" in missing.err
    shared.cloud.clients("cloudformation").create_stack(
        StackName="other",
        TemplateBody='{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}',
    )
    other = kalmap(*command, "other", cwd=tmp_path, **shared.variables)
    assert other.code == 2
    assert "not a deployed kalmap" in other.err
