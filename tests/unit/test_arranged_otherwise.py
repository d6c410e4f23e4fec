"""Tables that are not a reading a row get the command that mends them, and it does."""

import json
import shutil
import subprocess

import pytest

from kalmap_cli.main import main
from tests.support.check_command import checked
from tests.support.foreign_files import FOLDER


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def mended(err):
    """Run the command that a sentence names; the file that it has made."""
    beginnings = [err.find(program) for program in ("python3 -c", "awk ", "jq -c")]
    start = min(place for place in beginnings if place >= 0)
    command = err[start : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    return command.rpartition("> ")[2]


@pytest.mark.parametrize(
    ("name", "options", "words", "first"),
    [
        ("several-quantities.csv", "", "type is one of weight, fat, height",
         "anna, 2026-01-05T00:00:00Z, 81.1 kg"),
        ("garmin-de.csv", "--user u --tz Europe/Berlin", "on lines of their own",
         "u, 2026-01-28T07:20:00Z, 80.8 kg"),
        ("stones.csv", "--user u --tz UTC", "has stones and pounds, such as '12 st 10.2 lb'",
         "u, 2026-01-28T08:20:54Z, 80.8302 kg"),
    ],
)  # fmt: skip
def test_what_is_arranged_otherwise_is_mended_by_the_command_that_is_named(
    capsys, tmp_path, name, options, words, first
):
    shutil.copy(FOLDER / name, tmp_path)
    code, _, err = checked(capsys, name, *options.split())
    assert code == 2
    assert words in err
    code, out, err = checked(capsys, mended(err), *options.split())
    assert code == 0, err
    assert "\nrecords     24\n" in out
    assert f"first rows  {first}" in out


def test_several_quantities_in_lines_of_json_get_a_line_of_jq(capsys, tmp_path):
    lines = [
        {"who": "u", "at": f"2026-01-0{day}T08:00:00Z", "type": kind, "reading": value}
        for day in range(1, 6)
        for kind, value in (("pulse", 60), ("weight", 80.5))
    ]
    (tmp_path / "f.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    code, _, err = checked(capsys, "f.jsonl", "--user", "u")
    assert code == 2
    code, out, _ = checked(capsys, mended(err), "--user", "u")
    assert (code, "values      80.5 to 80.5 kg" in out) == (0, True)


def test_persons_beside_a_date_and_a_time_get_such_a_command_too(capsys, tmp_path):
    rows = "".join(f"2026-03-{day:02d},07:1{day}:00,80.{day},61.{day}\n" for day in range(1, 8))
    (tmp_path / "wide.csv").write_text("Date,Time,Anna,Ben\n" + rows)
    code, _, err = checked(capsys, "wide.csv")
    assert code == 2
    mended(err)
    written = (tmp_path / "long.csv").read_text().splitlines()
    assert written[:2] == ["user_id,timestamp,value", "Anna,2026-03-01 07:11:00,80.1"]
    assert len(written) == 15


def test_a_column_for_each_person_gets_a_command_that_writes_a_row_for_each_reading(
    capsys, tmp_path
):
    lines = [f"{day:02d}.01.2026;8{day % 3},1;7{day % 2},2;\n" for day in range(1, 29)]
    (tmp_path / "wide.csv").write_text(
        "Datum;Anna;Ben;Käthe\n" + "".join(lines) + "29.01.2026;;70,5;61,5\n"
    )
    code, _, err = checked(capsys, "wide.csv")
    assert code == 2
    code, out, err = checked(capsys, mended(err))
    assert code == 0, err
    assert "\nrecords     58\n" in out
    assert "\nusers       3\n" in out
    assert "first rows  Anna, 2026-01-01T00:00:00Z, 81.1 kg" in out


def test_whoever_names_the_column_of_values_is_believed(capsys, tmp_path):
    shutil.copy(FOLDER / "several-quantities.csv", tmp_path)
    code, out, _ = checked(capsys, "several-quantities.csv", "--columns", "value=value")
    assert (code, "\nrecords     72\n" in out) == (0, True)


@pytest.mark.parametrize("texts", ["before meal,after meal", "left,right", "weight,weight"])
def test_a_column_of_other_kinds_is_no_column_of_quantities(capsys, tmp_path, texts):
    first, second = texts.split(",")
    (tmp_path / "f.csv").write_text(
        f"date,type,value\n2026-01-01,{first},80.1\n2026-01-02,{second},80.2\n"
    )
    code, _, err = checked(capsys, "f.csv", "--user", "u")
    assert code == 0, err


@pytest.mark.parametrize(
    ("content", "words"), [("Date,Weight (kg)\n", "a header, and no records"), ("\n\n", "is empty")]
)
def test_a_file_without_records_is_called_so(capsys, tmp_path, content, words):
    (tmp_path / "f.csv").write_text(content)
    code, _, err = checked(capsys, "f.csv", "--user", "u")
    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--exact --out s.parquet", "kalmap states --exact --out s.jsonl"),
        ("--exact --out s.csv", "kalmap states --exact --out s.jsonl"),
        ("--exact --out s.jsonl.gz", "kalmap states --exact | gzip > s.jsonl.gz"),
        ("--out s.csv.gz", "kalmap states --format csv | gzip > s.csv.gz"),
    ],
)
def test_states_are_not_written_in_another_form_than_the_files_name_says(capsys, options, words):
    code = main(["states", "--stack", "s", *options.split()])
    assert code == 2
    assert words in capsys.readouterr().err
