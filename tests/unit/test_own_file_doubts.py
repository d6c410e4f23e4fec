"""What is doubtful in files of other programs: each doubt is told or asked for."""

import shlex
import subprocess

import pytest

from kalmap_cli.main import main
from tests.support.check_command import checked_content, dated


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")


@pytest.mark.parametrize("text", ["N/A", "-", "null", "n.d.", "\u2014", "NaN"])
def test_a_text_that_says_that_there_is_no_value_is_counted_and_not_read(capsys, tmp_path, text):
    content = "date,weight\n" + dated(["80.1", text, "80.2", "80.3", text, "80.1"])
    code, out, err = checked_content(capsys, tmp_path, content)
    assert code == 0, err
    assert f"2 of 6 rows have no value in weight (or {text!r}): not read." in out
    assert "\nunreadable  0 (0.0%)\n" in out
    assert f'"empty":["{text}"]' in out


def test_other_texts_in_a_column_of_numbers_stay_unreadable(capsys, tmp_path):
    content = "date,weight\n" + dated([*(["80.1"] * 12), "eighty"])
    _, out, _ = checked_content(capsys, tmp_path, content)
    assert "value (weight) is 'eighty', which is not a number." in out


@pytest.mark.parametrize(
    ("values", "unit"),
    [(["1,234", "1,240", "1,238"], "oz"), (["1.234", "1.240"], "oz"),
     (["81,081,234", "80,900,000"], "mg"), (["1'234", "1'240"], "oz"),
     (["81,234", "82,100", "81,900"], "g"),
     (["81\u202f234", "81\u202f100"], "g"), (["81\xa0234", "81\xa0100"], "g"),
     (["1 234,5", "950,5"], "oz"), (["81.234,5", "82.100"], "g"), (["81\u2019234.5"], "g")],
)  # fmt: skip
def test_separators_of_thousands_are_refused_with_a_command_that_takes_them_out(
    capsys, tmp_path, values, unit
):
    mark = ";" if any("," in value for value in values) else ","
    content = f"date{mark}weight\n" + dated(values, mark)
    code, _, err = checked_content(capsys, tmp_path, content, "--unit", unit)
    assert code == 2
    assert "with a separator of thousands" in err
    command = err[err.index("python3 -c") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    assert main(["check", "without.csv", "--user", "u", "--unit", unit]) == 0
    out = capsys.readouterr().out
    assert "unreadable  0" in out
    assert "rejected    0" in out


def test_separators_that_also_separate_columns_are_taken_out_by_a_command(capsys, tmp_path):
    content = "date,weight\n" + dated(['"81,234"', '"82,100"'])
    code, _, err = checked_content(capsys, tmp_path, content, "--unit", "g")
    assert code == 2
    command = err[err.index("python3 -c") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    assert main(["check", "without.csv", "--user", "u", "--unit", "g"]) == 0
    assert "values      81.234 to 82.1 kg" in capsys.readouterr().out


def test_taking_out_separators_leaves_dates_in_the_same_line_as_they_are(capsys, tmp_path):
    content = "Datum;Gewicht (g)\n01.03.2026 07:02;81.328\n02.03.2026 07:47;80.850\n"
    _, _, err = checked_content(capsys, tmp_path, content, "--tz", "UTC")
    command = err[err.index("python3 -c") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    expected = "Datum;Gewicht (g)\n01.03.2026 07:02;81328\n02.03.2026 07:47;80850\n"
    assert (tmp_path / "without.csv").read_text() == expected


def test_decimals_of_three_digits_are_taken_for_what_is_plausible(capsys, tmp_path):
    code, out, err = checked_content(
        capsys, tmp_path, "date;weight\n" + dated(["81,234", "82,100"], ";")
    )
    assert code == 0, err
    assert "values      81.234 to 82.1 kg" in out
    assert "'81,234' is taken as 81.234: as 81234 it would be outside of " in out


def test_a_mark_that_may_be_either_is_asked_for(capsys, tmp_path):
    mine = '{"name":"m","unit":"{points}","range":[0,9000],"level_noise":1,"slope_noise":0,'
    mine += '"slope_damping":1,"slope_prior":0,"measurement_noise":1}'
    (tmp_path / "m.json").write_text(mine)
    content = "date;score\n" + dated(["1,234", "1,240"], ";")
    # That the user names the column says nothing of its numbers.
    named = ["--columns", "timestamp=date,value=score"]
    code, _, err = checked_content(capsys, tmp_path, content, "--profile", "m.json", *named)
    assert code == 2
    assert "Is it 1234 with a separator of thousands, or 1.234?" in err
    command = shlex.split(err[err.index("If the second: ") + 15 : err.index(" - if the first")])
    assert main(command[1:]) == 0
    assert "values      1.234 to 1.24 points" in capsys.readouterr().out


def test_the_one_date_that_tells_the_day_from_the_month_is_told(capsys, tmp_path):
    dates = [f"{day:02d}/02/2026" for day in range(1, 10)]
    lines = "".join(f"{date},80\n" for date in [*dates, "13/02/2026"])
    code, out, err = checked_content(capsys, tmp_path, "date,weight\n" + lines)
    assert code == 0, err
    assert "Only '13/02/2026' says whether the day or the month is first" in out
    assert "kalmap check f.csv --user u --dates month_first" in out
    code, out, _ = checked_content(capsys, tmp_path, "date,weight\n" + lines + "14/02/2026,80\n")
    assert "says whether" not in out


JAPANESE = "測定日,体重,メモ\n2026/01/05,61.9,朝食の前に測りました\n2026/01/06,62.0,夕食\n"
RUSSIAN = "Дата,Вес,Заметка\n2026-01-05,81.2,до завтрака\n2026-01-06,81.4,после ужина\n"  # noqa: RUF001
GERMAN = "Datum;Gewicht;Notiz\n2026-01-05;81,2;nach dem Frühstück, müde\n2026-01-06;81,4;schön\n"


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (JAPANESE, "cp932", "SHIFT_JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (RUSSIAN, "cp1251", "WINDOWS-1251"),
        (RUSSIAN, "koi8_r", "KOI8-R"),
        (
            "날짜,체중,메모\n2026-01-05,61.9,아침 식사 전\n2026-01-06,62.0,저녁\n",
            "euc_kr",
            "EUC-KR",
        ),
        (
            "日期,体重,备注\n2026-01-05,61.9,早餐之前测量\n2026-01-06,62.0,晚餐后\n",
            "gbk",
            "GB18030",
        ),
        (GERMAN, "cp850", "CP850"),
    ],
)
def test_text_in_another_encoding_gets_the_line_of_iconv(capsys, tmp_path, text, encoding, name):
    code, _, err = checked_content(capsys, tmp_path, text.encode(encoding))
    assert code == 2
    assert f"probably {name} (" in err
    command = err[err.index("iconv") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    assert (tmp_path / "utf-8.csv").read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        GERMAN,
        "Date;Poids;Note\n2026-01-05;65,4;après le déjeuner à côté\n2026-01-06;65,5;fatigué\n",
        "Fecha;Peso;Notas\n2026-01-05;65,4;después de la cena, mañana\n2026-01-06;65,5;sueño\n",
        "Datum;Vikt;Anteckning\n2026-01-05;83,8;före frukost på måndag\n2026-01-06;83,9;trött\n",
    ],
)
def test_text_in_latin_1_is_read(capsys, tmp_path, text):
    code, out, err = checked_content(capsys, tmp_path, text.encode("cp1252"))
    assert code == 0, err
    assert "It is not UTF-8 and is read as Latin-1" in out


def test_lines_before_the_header_may_be_padded_by_a_spreadsheet(capsys, tmp_path):
    content = (
        "Patient report,Generated on,04-26-2021 05:25 PM UTC,,\n"
        "somebody,,,,\n"
        "Device Timestamp,Weight (kg),Fat,Note,Device\n"
        "2026-01-05 07:31,81.1,20,,scale\n2026-01-06 07:40,81.2,20,,scale\n"
    )
    code, out, err = checked_content(capsys, tmp_path, content, "--tz", "UTC")
    assert code == 0, err
    assert '"skip":2' in out
    assert "\nrecords     2\n" in out


def test_two_numbers_in_a_cell_get_the_command_that_makes_two_columns(capsys, tmp_path):
    lines = "".join(f"0{day}/02/2026,{120 + day}/{80 + day},good\n" for day in range(1, 10))
    content = "Date,Blood pressure,Mood\n" + lines
    code, _, err = checked_content(capsys, tmp_path, content)
    assert code == 2
    assert "Blood pressure has two numbers in a cell, such as '121/81'." in err
    with_pulse = content.replace("Mood", "Pulse").replace("good", "60")
    profile = ["--profile", "blood-pressure-systolic"]
    assert "two numbers in a cell" in checked_content(capsys, tmp_path, with_pulse, *profile)[2]
    checked_content(capsys, tmp_path, content)
    command = err[err.index("sed -E") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    for profile, low in (("systolic", "121 to 129"), ("diastolic", "81 to 89")):
        words = f"two.csv --user u --dates day_first --profile blood-pressure-{profile}"
        assert main(["check", *words.split()]) == 0
        assert f"values      {low} mmHg" in capsys.readouterr().out


def test_glucose_without_a_unit_gets_the_profile_whose_range_fits(capsys, tmp_path):
    _, _, err = checked_content(capsys, tmp_path, "date,glucose\n" + dated(["5.5", "6.1", "7.0"]))
    assert "kalmap check f.csv --user u --profile glucose-cgm-mmol" in err
    _, _, err = checked_content(capsys, tmp_path, "date,glucose\n" + dated(["95", "110", "120"]))
    assert "kalmap check f.csv --user u --profile glucose-cgm -" in err


def test_several_series_are_named_with_their_profiles(capsys, tmp_path):
    content = "date\tsys\tdia\n" + "".join(f"2026-01-0{d}\t12{d}\t8{d}\n" for d in range(1, 9))
    code, _, err = checked_content(capsys, tmp_path, content)
    assert code == 2
    assert "sys (--profile blood-pressure-systolic), dia (--profile blood-press" in err
    command = shlex.split(err[err.index("kalmap check") :])
    assert main(command[1:]) == 0


@pytest.mark.parametrize(("mark", "encoding"), [(",", "utf-8"), (";", "utf-16"), ("\t", "cp1252")])
def test_a_cell_of_several_lines_is_refused_with_a_command_that_joins_its_lines(
    capsys, tmp_path, mark, encoding
):
    lines = [
        "date,weight,note",
        "2026-03-01T07:12Z,81.3,fine",
        '2026-03-05T07:12Z,81.4,"felt ök',
        '2026-01-02T00:00Z,150.0,x"',
        "2026-03-06T07:12Z,81.5,",
    ]
    content = "\n".join(lines).replace(",", mark).encode(encoding)
    code, _, err = checked_content(capsys, tmp_path, content)
    assert code == 2
    assert "a quoted cell begins in line 3 " in err
    command = err[err.index("python3 -c") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    assert main(["check", "joined.csv", "--user", "u"]) == 0
    out = capsys.readouterr().out
    assert "\nrecords     3\n" in out
    assert "values      81.3 to 81.5 kg" in out


def test_a_cell_of_several_lines_is_refused_in_kalmaps_own_csv_too(capsys, tmp_path):
    content = (
        "user_id,timestamp,value,note\n" + "u,2026-03-01T07:12Z,81.3,\n" * 20_000
        + 'u,2026-03-05T07:12Z,81.4,"felt ok\nu,2026-01-02T00:00Z,150.0,x"\n'
    )  # fmt: skip
    (tmp_path / "own.csv").write_text(content)
    assert main(["check", "own.csv"]) == 2
    assert "a quoted cell begins in line 20002 " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("times", "said", "read"),
    [
        (["46082.29306", "46083.5"], "a spreadsheet's number of a day (2026-03-01 07:02)",
         "2026-03-01T06:02:00Z to 2026-03-02T11:00:00Z"),
        (["2026-03-28 07:51:00 CET", "2026-03-29 07:04:00 CEST"], "+02:00 for CEST and +01:00 for",
         "2026-03-28T06:51:00Z to 2026-03-29T05:04:00Z"),
        (['"Sunday, March 01, 2026 at 07:02 AM"', '"Monday, March 02, 2026 at 07:47 PM"'],
         "more words than a date and time", "2026-03-01T06:02:00Z to 2026-03-02T18:47:00Z"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("named", [[], ["--columns", "timestamp=date"]])
def test_times_of_a_known_kind_get_the_command_that_writes_them_anew(
    capsys, tmp_path, times, said, read, named
):
    content = "date,weight\n" + "".join(f"{time},80.5\n" for time in times)
    code, _, err = checked_content(capsys, tmp_path, content, *named)
    assert code == 2
    assert said in err
    assert "kalmap check" not in err
    command = err[err.index("python3 -c") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    assert main(["check", "with-times.csv", "--user", "u", "--tz", "Europe/Berlin"]) == 0
    assert f"span        {read}" in capsys.readouterr().out


def test_a_named_column_that_has_no_times_is_not_named_again(capsys, tmp_path):
    content = "date,weight\nsoon,80.5\nlater,80.6\n"
    code, _, err = checked_content(capsys, tmp_path, content, "--columns", "timestamp=date")
    assert code == 2
    assert "date has 'soon', which kalmap does not know as a date and time." in err
    assert "--columns timestamp=COLUMN" in err


def test_numbers_that_give_1970_are_refused(capsys, tmp_path):
    content = "date,weight\n1772345520,80.5\n1772431920,80.6\n"
    named = ["--columns", "timestamp=date", "--dates"]
    code, _, err = checked_content(capsys, tmp_path, content, *named, "unix_milliseconds")
    assert code == 2
    assert (
        "as unix_milliseconds, all of date, such as '1772345520', would be in the year 1970" in err
    )
    assert "--dates unix_seconds" in err
    assert checked_content(capsys, tmp_path, content, *named, "unix_seconds")[0] == 0
    days = "date,weight\n46082.29306,80.5\n46083.5,80.6\n"
    assert "number of a day" in checked_content(capsys, tmp_path, days, *named, "unix_seconds")[2]


def test_a_kind_of_record_is_not_proposed_as_the_value_beside_a_column_with_a_unit(
    capsys, tmp_path
):
    content = "date;kind;a kg;b kg\n" + "".join(
        f"2026-03-0{day};{day % 2};80.{day};81.{day}\n" for day in range(1, 10)
    )
    code, _, err = checked_content(capsys, tmp_path, content)
    assert code == 2
    assert "The value may be any of a kg, b kg." in err


def test_libreview_in_german_is_recognised(capsys, tmp_path):
    content = (
        "Glukosewerte,Erstellt am,15.03.2026 10:00 UTC,Erstellt von,Muster\n"
        "Gerät,Seriennummer,Gerätezeitstempel,Aufzeichnungstyp,Glukosewert-Verlauf mmol/L,"
        "Glukose-Scan mmol/L,Nicht numerisches schnellwirkendes Insulin,Notizen\n"
        'FreeStyle,A,13-03-2026 00:02,1,,"5,8",,\n'
        'FreeStyle,A,13-03-2026 00:17,0,"6,2",,,\n'
        "FreeStyle,A,14-03-2026 00:17,6,,,,Notiz\n"
    )
    profile = ["--profile", "glucose-cgm-mmol"]
    code, out, err = checked_content(capsys, tmp_path, content, "--tz", "Europe/Berlin", *profile)
    assert code == 0, err
    assert "(LibreView glucose, in German)" in out
    assert "\nrecords     2\n" in out
    assert "values      5.8 to 6.2 mmol/L" in out


@pytest.mark.parametrize("named", [[], ["--columns", "value=Weight"]])
def test_two_columns_of_one_name_are_refused_if_one_is_needed(capsys, tmp_path, named):
    code, _, err = checked_content(
        capsys, tmp_path, "Date,Weight,Weight\n" + dated(["81.0,178.5"]), *named
    )
    assert code == 2
    assert "2 columns are called Weight. Give each a name of its own in line 1" in err
    unneeded = "Date,Weight,Note,Note\n" + dated(["81.0,a,b", "81.1,a,b"])
    assert checked_content(capsys, tmp_path, unneeded, *named)[0] == 0


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("cp1251", "iconv -f WINDOWS-1251"), ("koi8_r", "iconv -f KOI8-R"),
     ("utf-32", "is text in UTF-32")],
)  # fmt: skip
def test_an_encoding_is_known_from_a_short_header(capsys, tmp_path, encoding, told):
    content = "Дата;Вес (кг)\n" + dated(["81,0", "81,1"], ";")  # noqa: RUF001  it is Cyrillic
    code, _, err = checked_content(capsys, tmp_path, content.encode(encoding))
    assert code == 2
    assert told in err


def test_a_new_profile_from_readings_asks_with_a_command_that_works_as_typed(capsys, tmp_path):
    content = "Date,Steps\n" + "".join(
        f'2026-0{day // 28 + 1}-{day % 28 + 1:02d},"{3 + day % 7},{100 + day * 37 % 900}"\n'
        for day in range(40)
    )
    (tmp_path / "steps.csv").write_text(content)
    words = ["--quantity", "steps", "--unit", "steps", "--out", "s.json", "--user", "u"]
    named = ["--columns", "timestamp=Date,value=Steps", "--from", "steps.csv"]
    assert main(["profiles", "new", *words, *named]) == 2
    err = capsys.readouterr().err
    assert "with a separator of thousands, or" in err
    command = shlex.split(err[err.index("If the second: ") + 15 : err.index(" - if the first")])
    assert main(command[1:]) == 0
    assert (tmp_path / "s.json").exists()
