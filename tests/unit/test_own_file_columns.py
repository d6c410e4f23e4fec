"""What is found in files of other programs: columns, units, and what is not certain of them."""

import shutil
import subprocess

import pytest

from kalmap_cli.main import main
from tests.support.check_command import checked_content, dated
from tests.support.foreign_files import FOLDER


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")


def test_values_that_rather_are_in_another_unit_are_asked_about(capsys, tmp_path):
    _, out, _ = checked_content(
        capsys, tmp_path, "date,weight\n" + dated(["178.4", "177.9", "178.1"])
    )
    assert "Their median is 178.1: are they in lb? That would be 80.78 kg. --unit names" in out
    for heavy in ("112.4", "81.3"):
        _, out, _ = checked_content(capsys, tmp_path, "date,weight\n" + dated([heavy] * 3))
        assert "are they in" not in out


def test_a_unit_that_a_line_before_the_header_says_is_the_values_unit(capsys, tmp_path):
    content = "#Version:6\n#Units:lb\n#date;weight\n" + dated(["178.4", "177.9", "178.1"], ";")
    code, out, err = checked_content(capsys, tmp_path, content)
    assert (code, '"unit":"lb"' in out) == (0, True), err
    assert "first rows  u, 2026-01-01T00:00:00Z, 80.9209 kg" in out


def test_a_column_of_units_that_contradicts_the_values_name_is_told(capsys, tmp_path):
    content = "date,Weight (kg),Weight unit\n" + dated(["178.1,lb", "177.5,lb"])
    _, out, _ = checked_content(capsys, tmp_path, content)
    assert "says kg, and Weight unit has lb: what is in Weight unit counts." in out
    assert "first rows  u, 2026-01-01T00:00:00Z, 80.7848 kg" in out
    _, out, _ = checked_content(capsys, tmp_path, content.replace("lb", "kg"))
    assert "counts." not in out


@pytest.mark.parametrize(
    ("header", "first"),
    [
        ("date,minutes,Average weight (kg),Max weight (kg)", "'timestamp=date,value=Average wei"),
        (
            "date,minutes,average_resting_heart_rate,steps",
            "value=average_resting_heart_rate --user u",
        ),
    ],
)
def test_the_column_that_seems_to_be_meant_stands_first_in_the_question(
    capsys, tmp_path, header, first
):
    code, _, err = checked_content(
        capsys, tmp_path, f"{header}\n" + dated(["33,61,64", "40,60,63"])
    )
    assert code == 2
    assert first in err


def test_a_column_of_heart_rates_is_never_taken_for_weights(capsys, tmp_path):
    content = "date;average_resting_heart_rate\n" + dated(["58", "59", "60"], ";")
    code, _, err = checked_content(
        capsys, tmp_path, content, "--columns", "value=average_resting_heart_rate"
    )
    assert code == 2
    assert "--profile resting-heart-rate" in err


def test_a_serial_number_is_no_value_with_a_unit(capsys, tmp_path):
    content = "date,serial,kg\n" + dated(["9F8A-AAAA,80.1", "9F8A-AAAA,80.3"])
    code, out, err = checked_content(capsys, tmp_path, content)
    assert (code, '"value":"kg"' in out) == (0, True), err


def run_command(err, program):
    """Run the command that a sentence names, and say which file it has made."""
    command = err[err.index(f"{program} ") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    return command.rpartition("> ")[2]


@pytest.mark.parametrize(
    ("name", "options", "first"),
    [
        ("nested.ndjson", "", "anna, 2026-01-05T08:01:46Z, 81.1 kg"),
        ("columns.json", "", "anna, 2026-01-05T08:01:46Z, 81.1 kg"),
        ("fitbit-bpm.json", "--user u --tz UTC --profile resting-heart-rate",
         "u, 2026-01-05T08:01:46Z, 63 bpm"),
    ],
)  # fmt: skip
def test_nested_json_is_read_after_the_lines_of_jq_that_are_named(
    capsys, tmp_path, name, options, first
):
    shutil.copy(FOLDER / name, tmp_path)
    for _ in range(3):
        code = main(["check", name, *options.split()])
        out, err = capsys.readouterr()
        if code == 0:
            break
        name = run_command(err, "jq")
    assert f"first rows  {first}" in out, err


def test_lines_that_end_in_carriage_returns_are_mended_by_the_command_that_is_named(
    capsys, tmp_path
):
    content = ("date,kg\n" + dated(["80.1", "80.3"])).replace("\n", "\r")
    code, _, err = checked_content(capsys, tmp_path, content)
    assert code == 2
    assert main(["check", run_command(err, "tr"), "--user", "u"]) == 0


def test_rows_that_end_with_a_comma_are_read_but_never_a_decimal_comma(capsys, tmp_path):
    code, out, err = checked_content(
        capsys, tmp_path, "date,kg,fat\n" + dated(["80.1,20.5,", "80.3,21.0,"])
    )
    assert (code, '"ends_with_delimiter":true' in out) == (0, True), err
    code, _, err = checked_content(capsys, tmp_path, "date,kg,fat\n" + dated(["80,1,", "80,3,"]))
    assert code == 2
    assert "Write decimal points: sed" in err


def test_a_row_with_something_behind_its_last_comma_is_unreadable(capsys, tmp_path):
    many = [f"2026-{1 + n // 28:02d}-{1 + n % 28:02d},80.1,20.5,\n" for n in range(250)]
    _, out, _ = checked_content(
        capsys, tmp_path, "date,kg,fat\n" + "".join(many) + "2026-12-01,80,1,20.5\n"
    )
    assert "f.csv line 252: The line has 4 columns, the header 3." in out


def test_dates_in_the_future_are_asked_about_and_no_profile_is_blamed(capsys, tmp_path):
    late = "date,kg\n" + "".join(f"2099-01-{day:02d},80.{day}\n" for day in range(1, 9))
    code, out, _ = checked_content(capsys, tmp_path, late)
    assert code == 1
    assert "Many readings are in the future. Are their dates written otherwise (--dates)" in out
    assert "body-weight rejects" not in out


def test_times_are_not_offered_as_values(capsys, tmp_path):
    content = "date,modifiedTimeMillis,a,b\n" + dated(
        [f"17676001060{n:02d},80.1,3.5" for n in range(9)]
    )
    _, _, err = checked_content(capsys, tmp_path, content)
    assert "may be any of a, b." in err
