"""What is found in files of other programs: columns, units, and what is not certain of them."""

import pytest

from kalmap_cli.main import main


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")


def checked(capsys, tmp_path, content, *arguments, name="f.csv"):
    """Exit code, stdout and stderr of `kalmap check`."""
    (tmp_path / name).write_bytes(content.encode())
    code = main(["check", name, "--user", "u", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def rows(values, mark=","):
    return "".join(f"2026-01-{day:02d}{mark}{value}\n" for day, value in enumerate(values, start=1))


def test_values_that_rather_are_in_another_unit_are_asked_about(capsys, tmp_path):
    _, out, _ = checked(capsys, tmp_path, "date,weight\n" + rows(["178.4", "177.9", "178.1"]))
    assert "Their median is 178.1: are they in lb? That would be 80.78 kg. --unit names" in out
    for heavy in ("112.4", "81.3"):
        _, out, _ = checked(capsys, tmp_path, "date,weight\n" + rows([heavy] * 3))
        assert "are they in" not in out


def test_a_unit_that_a_line_before_the_header_says_is_the_values_unit(capsys, tmp_path):
    content = "#Version:6\n#Units:lb\n#date;weight\n" + rows(["178.4", "177.9", "178.1"], ";")
    code, out, err = checked(capsys, tmp_path, content)
    assert (code, '"unit":"lb"' in out) == (0, True), err
    assert "first rows  u, 2026-01-01T00:00:00Z, 80.9209 kg" in out


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
    code, _, err = checked(capsys, tmp_path, f"{header}\n" + rows(["33,61,64", "40,60,63"]))
    assert code == 2
    assert first in err


def test_a_column_of_heart_rates_is_never_taken_for_weights(capsys, tmp_path):
    content = "date;average_resting_heart_rate\n" + rows(["58", "59", "60"], ";")
    code, _, err = checked(
        capsys, tmp_path, content, "--columns", "value=average_resting_heart_rate"
    )
    assert code == 2
    assert "--profile resting-heart-rate" in err


def test_a_serial_number_is_no_value_with_a_unit(capsys, tmp_path):
    content = "date,serial,kg\n" + rows(["9F8A-AAAA,80.1", "9F8A-AAAA,80.3"])
    code, out, err = checked(capsys, tmp_path, content)
    assert (code, '"value":"kg"' in out) == (0, True), err
