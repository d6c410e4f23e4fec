"""Files of other programs: what `kalmap check` finds out, and what is read under its mapping."""

import json
import shlex
import shutil
import subprocess
from datetime import datetime

import msgspec
import pytest

from kalmap.records.formats import detect_format
from kalmap.records.mapping import Mapping
from kalmap.records.parse import File, parse_files
from kalmap_cli.input_files import as_profile, read_profile, understand_file
from kalmap_cli.inputs import as_input
from kalmap_cli.main import main
from kalmap_cli.own_files.said import Said
from tests.support.foreign_files import FILES, FOLDER

BY_NAME = pytest.mark.parametrize("foreign", FILES, ids=lambda foreign: foreign.name)


def checked(capsys, *arguments):
    """Exit code, and what stands on stdout and on stderr."""
    code = main(["check", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def printed_mapping(out):
    [line] = [line for line in out.splitlines() if line.startswith("mapping ")]
    return msgspec.json.decode(line.removeprefix("mapping").strip(), type=Mapping)


@BY_NAME
def test_check_says_how_a_file_is_understood(capsys, foreign):
    code, out, err = checked(capsys, *foreign.arguments)
    assert code == 0, err
    mapping = msgspec.to_builtins(printed_mapping(out))
    assert {name: mapping.get(name) for name in foreign.mapping} == foreign.mapping
    assert foreign.told in out
    assert f"\nrecords     {foreign.records}\n" in out
    assert f"\nusers       {foreign.users}\n" in out
    assert f"\nunreadable  {foreign.unreadable} (" in out
    assert "\nrejected    0 by " in out


@BY_NAME
def test_the_mapping_that_check_prints_reads_every_record(capsys, foreign):
    _, out, _ = checked(capsys, *foreign.arguments)
    mapping, data = printed_mapping(out), foreign.path.read_bytes()
    format_ = detect_format(foreign.name, data, mapping)
    body = data[format_.records_start :]
    measurements = []
    for block in format_.blocks([body]):
        for _, raw in block.records():
            try:
                measurements.append(block.measurement(raw))
            except Exception:  # noqa: BLE001 - counted below
                measurements.append(None)
    assert len(measurements) == foreign.records
    assert measurements.count(None) == foreign.unreadable
    user, timestamp, value, unit = foreign.first
    first = measurements[0]
    assert (first.user_id, first.value, first.unit or "") == (user, value, unit)
    assert first.timestamp == datetime.fromisoformat(timestamp)


@BY_NAME
@pytest.mark.parametrize("step", [64, 500])
def test_a_file_means_the_same_however_it_is_cut(capsys, foreign, step):
    _, out, _ = checked(capsys, *foreign.arguments)
    data = foreign.path.read_bytes()
    profile = as_profile(read_profile(foreign.profile))
    format_ = detect_format(foreign.name, data, printed_mapping(out))
    whole = parse_files([File([data[format_.records_start :]], format_)], profile)
    ranges = format_.split(len(data), step)
    assert len(ranges) > 1 or step == 500
    cut = parse_files(
        [
            File(format_.read_range(start, end, len(data), lambda a, b: data[a:b]), format_)
            for start, end in ranges
        ],
        profile,
    )
    assert cut.records == whole.records == foreign.records
    assert cut.time.tolist() == whole.time.tolist()
    assert cut.value.tolist() == whole.value.tolist()
    assert [cut.users[user] for user in cut.user] == [whole.users[user] for user in whole.user]
    assert [record.detail for record in cut.unreadable] == [
        record.detail for record in whole.unreadable
    ]


@BY_NAME
def test_every_question_comes_with_a_command_that_answers_it(foreign, monkeypatch, capsys):
    """Without options each refusal shows the next command, until the file is taken."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    words = ["check", str(foreign.path)]
    if foreign.profile:
        words += ["--profile", foreign.profile]
    for _ in range(5):
        code, _, err = checked(capsys, *words[1:])
        if code == 0:
            return
        assert foreign.name in err
        assert code == 2
        command = err[err.index("kalmap check") :].split(" - or")[0]
        words = shlex.split(command.replace("uczestnik_id=COLUMN", ""))[1:]
        words = [
            word.replace("timestamp=COLUMN", "timestamp=pomiar_ts").replace("NAME", "anna")
            for word in words
        ]
    pytest.fail("it still asks after five answers")


def test_garmins_dates_are_put_before_their_times_by_the_command_that_is_named(
    capsys, tmp_path, monkeypatch
):
    shutil.copy(FOLDER / "garmin.csv", tmp_path / "my weight.csv")
    monkeypatch.chdir(tmp_path)
    code, _, err = checked(capsys, "my weight.csv", "--user", "anna")
    assert code == 2
    assert "is an export of Garmin Connect weight" in err
    command = err[err.index("awk ") : err.index(" - then")]
    subprocess.run(command, shell=True, check=True)
    code, out, err = checked(capsys, "with-dates.csv", "--user", "anna", "--tz", "Europe/Berlin")
    assert code == 0, err
    assert "\nrecords     10\n" in out
    assert "anna, 2026-01-14T05:58:00Z, 80.5 kg" in out


@pytest.mark.parametrize(
    ("name", "path", "fields"),
    [
        ("fitbit-weight.json", "jq -c '.[]' ", "logId, weight, bmi, date, time"),
        ("fitbit-heart.json", "jq -c '.\"activities-heart\"[]' ", "dateTime, value"),
    ],
)
def test_a_json_document_gets_the_line_of_jq_that_makes_lines_of_it(capsys, name, path, fields):
    code, _, err = checked(capsys, str(FOLDER / name))
    assert code == 2
    assert "is one JSON document" in err
    assert path in err
    assert fields in err


def test_kalmaps_own_files_need_no_mapping(tmp_path):
    line = {"user_id": "u", "timestamp": "2026-01-01T00:00:00Z", "value": 80}
    (tmp_path / "own.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "own.csv").write_text("user_id,timestamp,value\nu,2026-01-01T00:00:00Z,80\n")
    for name in ("own.jsonl", "own.csv"):
        assert understand_file(as_input(tmp_path / name), Said(), "body-weight").mapping is None


def test_a_column_of_offsets_is_asked_about_and_both_answers_work(capsys):
    file = str(FOLDER / "samsung.csv")
    code, _, err = checked(capsys, file, "--user", "anna")
    assert code == 2
    answers = (("--tz UTC", "07:31:09"), ("--columns timestamp=start_time+time_offset", "06:31:09"))
    for answer, time in answers:
        assert answer in err
        code, out, _ = checked(capsys, file, "--user", "anna", *answer.split())
        assert (code, f"first rows  anna, 2026-01-05T{time}Z, 76.5 kg" in out) == (0, True)
