"""`kalmap check`: units, decimals, dates and users that a file's columns state, or contradict."""

import gzip
import subprocess

import pytest

from tests.support.check_command import checked, refused, write

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


DAYS = [f"2026-03-{day:02d}" for day in range(1, 29)]


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("Date,Gewicht (Pfund)", [], "has 'Pfund', which is no unit that kalmap knows"),
        ("Date,Weight lbs/kg", [], "has lbs and kg, which may be the unit"),
        ("Date,Fett (%)", ["--columns", "value=Fett (%)"], "has '%', which is no unit"),
        ("Date,WeightLbs", [], "has Lbs, which may be the unit"),
        ("Date,Weight (lb) mean", [], "--user u --unit UNIT"),
    ],
)
def test_a_unit_in_a_columns_name_that_is_not_understood_is_asked_for(
    tmp_path, capsys, header, options, words
):
    rows = "".join(f"{day},80\n" for day in DAYS)
    name = write(tmp_path, "f.csv", f"{header}\n{rows}")
    assert words in refused(capsys, name, "--user", "u", *options)
    code, out, err = checked(capsys, name, "--user", "u", *options, "--unit", "kg")
    assert code == 0, err
    assert '"unit":"kg"' in out


def test_pounds_are_understood_as_a_columns_name_and_in_a_column_of_units(tmp_path, capsys):
    rows = "".join(f"{day},176\n" for day in DAYS)
    code, out, err = checked(capsys, write(tmp_path, "a", f"Date,Pounds\n{rows}"), "--user", "u")
    assert code == 0, err
    assert "79.8323 kg" in out
    rows = "".join(f"{day},176,180,cm,pounds\n" for day in DAYS)
    header = "Date,Weight,Height,Height unit,Weight unit\n"
    code, out, err = checked(capsys, write(tmp_path, "b", header + rows), "--user", "u")
    assert code == 0, err
    assert '"unit":"Weight unit"' in out
    assert "79.8323 kg" in out
    code, _, err = checked(
        capsys, write(tmp_path, "c", (header + rows).replace("pounds", "Pfund")), "--user", "u"
    )
    assert code == 1
    assert "Pfund" in err


def test_a_unit_that_contradicts_the_columns_name_is_refused(tmp_path, capsys):
    name = write(tmp_path, "f.csv", "Date,Weight (kg)\n2026-01-01,80\n")
    sentence = refused(capsys, name, "--user", "u", "--unit", "lb")
    assert "--unit says lb, but the column Weight (kg) says kg" in sentence
    assert "kalmap check f.csv --user u - or" in sentence
    assert checked(capsys, name, "--user", "u", "--unit", "kgs")[0] == 0


@pytest.mark.parametrize("column", ["Name", "User", "Person", "Profil", "Familienmitglied"])
def test_one_user_for_a_column_of_several_is_refused(tmp_path, capsys, column):
    rows = "".join(f"{'ab'[number % 2]},{day},80\n" for number, day in enumerate(DAYS))
    name = write(tmp_path, "f.csv", f"{column},Date,Weight\n{rows}")
    sentence = refused(capsys, name, "--user", "anna")
    assert f"--user says that all rows are anna's, but {column} has a, b." in sentence
    assert f"kalmap check f.csv --columns user_id={column} - or" in sentence
    code, out, err = checked(capsys, name, "--columns", f"user_id={column}")
    assert code == 0, err
    assert "\nusers       2\n" in out
    one = write(tmp_path, "one.csv", f"{column},Date,Weight\n{rows}".replace("b,", "a,"))
    assert checked(capsys, one, "--user", "anna")[0] == 0


@pytest.mark.parametrize(
    ("header", "rest", "words"),
    [
        ("Datum,Gewicht", "", "the header has 2 columns, Datum, Gewicht, but most rows have 3"),
        ("Datum,Gewicht,Notiz", ",gut", "the header has 3 columns"),
        ("Datum,Gewicht,Notiz", "", "Is 80,1 one number with a decimal comma?"),
    ],
)
def test_a_decimal_comma_between_commas_is_refused_with_a_command_that_mends_it(
    tmp_path, capsys, header, rest, words
):
    rows = "".join(f"{day} 07:00,80,{n % 9 + 1}{rest}\n" for n, day in enumerate(DAYS))
    name = write(tmp_path, "f.csv", f"{header}\n{rows}")
    options = ["--user", "u", "--tz", "Europe/Berlin"]
    sentence = refused(capsys, name, *options)
    assert words in sentence
    command = sentence[sentence.index("sed ") : sentence.index(" - then")]
    subprocess.run(command, shell=True, check=True)
    code, out, err = checked(capsys, "with-points.csv", *options)
    assert code == 0, err
    assert "values      80.1 to 80.9 kg" in out
    assert "unreadable  0 (" in out


@pytest.mark.parametrize("mark", ["/", "-", "."])
def test_years_of_two_digits_in_front_are_asked_for(tmp_path, capsys, mark):
    rows = "".join(f"{day[2:].replace('-', mark)},80\n" for day in DAYS)
    name = write(tmp_path, "f.csv", f"Date,Weight\n{rows}")
    sentence = refused(capsys, name, "--user", "u")
    assert "the first number may be a year of two digits" in sentence
    assert "kalmap check f.csv --user u --dates day_first" in sentence
    command = sentence[sentence.index("sed ") : sentence.index(" - then")]
    subprocess.run(command, shell=True, check=True)
    code, out, err = checked(capsys, "with-years.csv", "--user", "u")
    assert code == 0, err
    assert "2026-03-01T00:00:00Z to 2026-03-28T00:00:00Z" in out


def test_years_of_two_digits_do_not_hide_that_the_month_may_be_first(tmp_path, capsys):
    rows = "".join(f"01/{month:02d}/{year},80\n" for year in range(22, 27) for month in (1, 2, 3))
    sentence = refused(capsys, write(tmp_path, "f.csv", f"Date,Weight\n{rows}"), "--user", "u")
    assert "--dates day_first - or: kalmap check f.csv --user u --dates month_first" in sentence


def test_a_column_of_units_has_any_name(tmp_path, capsys):
    rows = "".join(f"{day},176,lb\n" for day in DAYS)
    name = write(tmp_path, "f.csv", f"Date,Weight,System\n{rows}")
    code, out, err = checked(capsys, name, "--user", "u")
    assert code == 0, err
    assert "79.8323 kg" in out


def test_one_date_with_a_year_of_two_digits_is_asked_for(tmp_path, capsys):
    sentence = refused(
        capsys, write(tmp_path, "f.csv", "Date,Weight\n26/03/01,80\n"), "--user", "u"
    )
    assert "the first number may be a year of two digits" in sentence


def test_a_table_without_a_header_may_have_decimal_commas_between_commas(tmp_path, capsys):
    rows = "".join(f"{day} 07:00,80,{n % 9 + 1}\n" for n, day in enumerate(DAYS))
    sentence = refused(capsys, write(tmp_path, "f.csv", rows), "--user", "u", "--tz", "UTC")
    assert "The value may be any of 2, 3." in sentence
    assert "If 2 and 3 are one number with a decimal comma, do not." in sentence
    command = sentence[sentence.index("sed ") : sentence.index(" - then")]
    subprocess.run(command, shell=True, check=True)
    code, out, err = checked(capsys, "with-points.csv", "--user", "u", "--tz", "UTC")
    assert code == 0, err
    assert "values      80.1 to 80.9 kg" in out


def test_years_of_two_digits_behind_the_day_are_read(tmp_path, capsys):
    rows = "".join(f"{day[8:]}.03.26,80\n" for day in DAYS)
    code, out, err = checked(
        capsys, write(tmp_path, "f.csv", f"Date,Weight\n{rows}"), "--user", "u"
    )
    assert code == 0, err
    assert "2026-03-01T00:00:00Z to 2026-03-28T00:00:00Z" in out


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"'])
def test_the_separator_that_excel_writes_first_is_understood(tmp_path, capsys, line):
    rows = "".join(f"{day};80,5\n" for day in DAYS)
    name = write(tmp_path, "f.csv", f"{line}\r\nDatum;Gewicht\n{rows}")
    code, out, err = checked(capsys, name, "--user", "u")
    assert code == 0, err
    assert '"skip":1' in out
    assert "\nrecords     28\n" in out


def test_a_truncated_gzip_is_refused(tmp_path, capsys):
    rows = "".join(f"{day},{80 + n / 10}\n" for n, day in enumerate(DAYS * 50))
    data = gzip.compress(f"Date,Weight\n{rows}".encode())
    sentence = refused(capsys, write(tmp_path, "f.csv.gz", data[:-200]), "--user", "u")
    assert "f.csv.gz is truncated: its gzip stream does not end." in sentence


def test_rows_without_a_value_are_counted_and_told(tmp_path, capsys):
    rows = "".join(f"{day},{'' if n % 4 == 0 else 80}\n" for n, day in enumerate(DAYS))
    name = write(tmp_path, "f.csv", f"Date,Weight\n{rows}")
    code, out, err = checked(capsys, name, "--user", "u")
    assert code == 0, err
    assert "\nrecords     21\n" in out
    assert "7 of 28 rows have no value in Weight: not read." in out


@pytest.mark.parametrize("header", ["Date", "Wann"])
def test_dates_of_which_some_have_the_day_first_get_the_true_reason(tmp_path, capsys, header):
    rows = "".join(f"{n}/3/2026,80\n3/{n}/2026,80\n" for n in range(13, 29))
    name = write(tmp_path, "f.csv", f"{header},Weight\n{rows}")
    sentence = refused(capsys, name, "--user", "u")
    assert f"{header} has '13/3/2026', where only the day can be first, and '3/13/2026'" in sentence
    assert f"--columns timestamp={header} --user u --dates day_first - or: " in sentence
    assert "where only the month can" in refused(
        capsys, name, "--user", "u", "--columns", f"timestamp={header}"
    )


def test_an_unknown_time_zone_of_the_machine_is_a_word_that_cannot_be_typed(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr("os.path.realpath", lambda _: "/usr/share/zoneinfo/Etc/UTC")
    name = write(tmp_path, "f.csv", "Date,Weight\n2026-03-01 07:00,80\n")
    assert "--tz ZONE" in refused(capsys, name, "--user", "u")
    assert "is 'ZONE', which is no time zone" in refused(
        capsys, name, "--user", "u", "--tz", "ZONE"
    )
