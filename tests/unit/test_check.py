"""`kalmap check`: what it says of files that it can take, of those that it cannot, and how soon."""

import gzip
import json
import random
import shlex
import time

import pytest

from kalmap_cli.inputs import as_input
from kalmap_cli.main import main
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import take_sample
from tests.support.check_command import checked, refused, table, write
from tests.support.foreign_files import FILES

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")


def test_nothing_is_started_or_written(tmp_path, capsys):
    name = write(tmp_path, "own.csv", "user_id,timestamp,value\nu,2026-01-01T00:00:00Z,80\n")
    assert checked(capsys, name)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("pack", [False, True])
def test_of_a_large_file_a_sample_is_read_and_its_records_are_estimated(tmp_path, capsys, pack):
    content = table(40_000) * 20
    data = gzip.compress(content.encode(), 1) if pack else content.encode()
    name = write(tmp_path, "large.csv", data)
    began = time.process_time()
    code, out, err = checked(capsys, name, "--tz", "Europe/Berlin")
    assert time.process_time() - began < 1.0
    assert code == 0, err
    [line] = [line for line in out.splitlines() if line.startswith("records")]
    assert line.startswith("records     a sample of ")
    assert int(line.split()[-1].replace(",", "")) == pytest.approx(800_000, rel=0.05)
    assert "in the sample" in out
    assert "enough for `kalmap tune FILE`" in out


def test_the_sample_of_a_large_file_has_pieces_of_all_of_it(tmp_path):
    name = write(tmp_path, "large.csv", b"".join(b"%09d\n" % n for n in range(300_000)))
    pieces = take_sample(as_input(tmp_path / name)).pieces()
    places = [int(piece.split(b"\n")[1]) for piece in pieces]
    assert places == sorted(places)
    assert max(b - a for a, b in zip(places, [*places[1:], 300_000], strict=True)) < 100_000
    assert sum(map(len, pieces)) < 500_000


def test_what_cannot_be_read_is_counted_and_the_first_are_shown(tmp_path, capsys):
    rows = [f"2026-01-{day:02d},{80 + day / 10}" for day in range(1, 29)]
    rows[4] = "2026-01-05,eighty"
    name = write(tmp_path, "a.csv", "Date,Weight\n" + "\n".join(rows) + "\n")
    code, out, _ = checked(capsys, name, "--user", "u")
    assert code == 0
    assert "unreadable  1 (3.6%)" in out
    assert "a.csv line 6: value (Weight) is 'eighty', which is not a number." in out


def test_a_file_that_run_would_fail_on_has_exit_code_1_and_the_reason(tmp_path, capsys):
    cells = ["80", "81", "eighty"]
    rows = "".join(f"2026-01-{day:02d},{cells[day % 3]}\n" for day in range(1, 31))
    name = write(tmp_path, "a.csv", "Date,Weight\n" + rows)
    code, _, err = checked(capsys, name, "--user", "u", "--columns", "value=Weight")
    assert code == 1
    assert "10 of 30 readings are unreadable" in err
    assert "a.csv, line 3: value (Weight) is 'eighty'" in err
    header = write(tmp_path, "b.csv", "user_id,timestamp,value\n")
    code, _, err = checked(capsys, header)
    assert code == 1
    assert "The input has a header but no records." in err


def test_values_out_of_range_are_told_with_what_may_be_wrong(tmp_path, capsys):
    rows = "".join(f"2026-01-{day:02d},{800 + day}\n" for day in range(1, 9))
    name = write(tmp_path, "a.csv", "Date,Weight\n" + rows)
    code, out, err = checked(capsys, name, *["--user", "u", "--columns", "value=Weight"])
    assert code == 1
    assert "8 of 8 readings are unreadable, out of range" in err
    assert "rejected    8 by body-weight  out_of_range 8" in out
    assert "Is the unit right (--unit), or is another profile meant (--profile)?" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("date,weight\n2026-01-01,80\n", "kalmap check f --user NAME"),
        ("name,date,height\na,2026-01-01,1.8\n", "--columns timestamp=date,value=COLUMN"),
        ("id,date,x,y\n1,2026-01-01,80,81\n1,2026-01-02,80,81\n", "value may be any of x, y"),
        ("date,weight\n01/02/2026,80\n02/02/2026,80\n", "--user NAME"),
        ("when,weight\nsoon,80\nlater,81\n", "(1) Which column has the timestamp"),
        ("a b c\n1 2 3\n", "separated by one of: commas, semicolons, tabs, vertical bars"),
        ("Date,Glucose (mg/dL)\n2026-01-01,90\n", "check f --profile glucose-cgm --user NAME"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image"),
        (b"PAR1\x15\x04", "is a Parquet file"),
        (b"FEA1" + bytes(20), "is a Feather file of version 1"),
        (bytes(range(1, 256)) * 20, "is neither JSONL"),
        ("<html><body>no</body></html>", "is XML or HTML"),
    ],
)
def test_what_is_not_certain_is_asked_with_what_was_found(tmp_path, capsys, content, words):
    assert words in refused(capsys, write(tmp_path, "f", content))


def test_a_file_of_another_quantity_than_the_profiles_is_refused(tmp_path, capsys):
    name = write(tmp_path, "g.csv", "Date,Glucose (mg/dL)\n2026-01-01,90\n")
    sentence = refused(capsys, name, "--user", "u")
    assert "says mg/dL, which cannot be converted to kg" in sentence
    assert "glucose-fingerstick (Glucose by fingersticks" in sentence
    assert sentence.endswith("For example: kalmap check g.csv --user u --profile glucose-cgm\n")


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("Temp (°F)", "body-temperature"),
        ("Blutzucker mmol/L", "glucose-cgm-mmol"),
        ("Strip Glucose (mg/dL)", "glucose-fingerstick"),
        ("SYS (kPa)", "blood-pressure-systolic"),
        ("Diastolic", "blood-pressure-diastolic"),
        ("Resting heart rate", "resting-heart-rate"),
        ("脈拍", "resting-heart-rate"),
    ],
)
def test_a_column_of_another_quantity_gets_the_profile_to_type(tmp_path, capsys, name, profile):
    rows = "".join(f"2026-01-{day:02d},{60 + day % 3}\n" for day in range(1, 9))
    file = write(tmp_path, "f.csv", f"Date,{name}\n{rows}")
    sentence = refused(capsys, file, "--user", "u")
    assert f"f.csv --user u --profile {profile}" in sentence
    code, out, err = checked(capsys, file, "--user", "u", "--profile", profile)
    assert code == 0 or "out of range" in err, err
    assert f"by {profile}" in out


def test_the_unit_in_which_values_would_be_in_the_range_is_named(tmp_path, capsys):
    rows = "".join(f"2026-01-{day:02d},{97.5 + day / 10:.1f}\n" for day in range(1, 9))
    file = write(tmp_path, "f.csv", f"Date,Temp\n{rows}")
    options = ["--user", "u", "--profile", "body-temperature"]
    _, out, _ = checked(capsys, file, *options)
    assert "In °F they would be inside: --unit °F." in out
    assert checked(capsys, file, *options, "--unit", "°F")[0] == 0


def test_readings_in_kalmaps_own_form_get_the_profile_of_their_unit(tmp_path, capsys):
    line = {"user_id": "u", "timestamp": "2026-01-01T00:00:00Z", "value": 120, "unit": "mg/dL"}
    file = write(tmp_path, "own.jsonl", json.dumps(line) + "\n")
    code, out, _ = checked(capsys, file)
    assert code == 1
    assert "Readings in mg/dL cannot be converted to kg. Built-in profiles for them: " in out
    assert "for example: --profile glucose-cgm." in out
    assert checked(capsys, file, "--profile", "glucose-cgm")[0] == 0
    file = write(tmp_path, "own.jsonl", json.dumps(line | {"unit": "points"}) + "\n")
    assert "No built-in profile measures in it" in checked(capsys, file)[1]


def test_all_that_a_file_does_not_tell_is_asked_at_once(tmp_path, capsys):
    rows = "".join(f"0{day}/02/2026 08:0{day};{70 + day};{80 + day}\n" for day in range(1, 9))
    file = write(tmp_path, "f.csv", f"when;a;b\n{rows}")
    sentence = refused(capsys, file)
    assert "It does not tell 4 things.\n(1) Which column has the value" in sentence
    assert "(3) Whether the first number of '01/02/2026 08:01' is the day or the month" in sentence
    command = sentence[sentence.index("kalmap check") :]
    assert checked(capsys, *shlex.split(command)[2:])[0] == 0


def test_a_column_that_may_name_users_is_shown_whatever_it_is_called(tmp_path, capsys):
    rows = "".join(
        f"2026-01-{day:02d},{name},{70 + day}\n" for day in range(1, 9) for name in ("anna", "bo")
    )
    file = write(tmp_path, "f.csv", f"date,Kundin,weight\n{rows}")
    sentence = refused(capsys, file)
    assert "or, if Kundin names them (anna, bo): kalmap check f.csv --columns" in sentence
    assert "user_id=Kundin" in sentence
    code, out, _ = checked(capsys, file, "--user", "anna")
    assert code == 0
    assert "Kundin has anna, bo. If these are users, type" in " ".join(out.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--columns", "value=hight"], "f.csv has no column 'hight' for value. It has: date,"),
        (["--columns", "valu=weight"], "needs FIELD=COLUMN with the fields user_id"),
        (["--columns", "value=weight,value=date"], "has value twice"),
        (["--columns", "value="], "names no column for value"),
        (["--tz", "CET7"], "is 'CET7', which is no time zone"),
        (["--dates", "dmy"], "must be one of iso, day_first"),
        (["--user", " "], "--user is empty"),
        (["--unit", "mmHg", "--user", "u"], "--unit says mmHg, which cannot be converted to kg"),
    ],
)
def test_a_wrong_option_gets_a_sentence(tmp_path, capsys, options, words):
    name = write(tmp_path, "f.csv", "date,weight\n2026-01-01,80\n")
    assert words in refused(capsys, name, *options)


def test_a_columns_name_may_have_commas_equals_signs_and_any_case(tmp_path, capsys):
    name = write(tmp_path, "f.csv", '"When, local",A=B\n2026-01-01,80\n')
    code, out, err = checked(
        capsys, name, "--user", "u", "--columns", 'timestamp="when, LOCAL",value=A=B'
    )
    assert code == 0, err
    assert '"timestamp":"When, local","value":"A=B"' in out


def test_own_headers_with_local_times_and_numeric_ids_are_read_by_a_mapping(tmp_path, capsys):
    name = write(tmp_path, "a.csv", "user_id,timestamp,value\n7,2026-03-01 07:12:00,81.4\n")
    assert "--tz Europe/Berlin" in refused(capsys, name)
    code, out, _ = checked(capsys, name, "--tz", "Europe/Rome")
    assert code == 0
    assert "7, 2026-03-01T06:12:00Z, 81.4 kg" in out
    lines = '{"user_id": 7, "timestamp": "2026-03-01T07:12:00Z", "value": "81.4"}\n'
    code, out, _ = checked(capsys, write(tmp_path, "b.jsonl", lines))
    assert code == 0
    assert "7, 2026-03-01T07:12:00Z, 81.4 kg" in out


def test_dates_that_are_not_certain_are_asked_for_and_points_mean_that_the_day_is_first(
    tmp_path, capsys
):
    slashes = write(tmp_path, "a.csv", "date,weight\n01/02/2026,80\n02/02/2026,80\n")
    sentence = refused(capsys, slashes, "--user", "u")
    assert "the first number may be the day or the month" in sentence
    assert "--dates day_first - or: " in sentence
    points = write(tmp_path, "b.csv", "date;weight\n01.02.2026;80\n02.02.2026;80\n")
    code, out, _ = checked(capsys, points, "--user", "u")
    assert code == 0
    assert "u, 2026-02-01T00:00:00Z" in out


def test_files_of_different_forms_are_refused_with_what_differs(tmp_path, capsys):
    one = write(tmp_path, "a.csv", "date,weight\n2026-01-01,80\n")
    two = write(tmp_path, "b.csv", "date;weight\n2026-01-01;80\n")
    own = {"user_id": "u", "timestamp": "2026-01-01T00:00:00Z", "value": 80}
    three = write(tmp_path, "c.jsonl", json.dumps(own) + "\n")
    sentence = refused(capsys, one, two, "--user", "u")
    assert 'a.csv and b.csv have different forms: delimiter is not given in one and ";"' in sentence
    four = write(tmp_path, "d.csv", "user,date,weight\nu,2026-01-01,80\nu,2026-01-02,80\n")
    code, out, err = checked(capsys, three, four)
    assert code == 0, err
    assert "c.jsonl is kalmap's own JSON lines" in out
    assert "records     3" in out
    # Each command that it names runs.
    _, _, commands = sentence.partition("older readings first: ")
    for command in commands.strip().split(" - then: "):
        assert checked(capsys, *command.split()[2:])[0] == 0


def test_a_months_file_without_empty_cells_is_read_as_one_with_them(tmp_path, capsys):
    one = write(tmp_path, "a.csv", "date,weight\n2026-01-01,80\n")
    two = write(tmp_path, "b.csv", "date,weight\n2026-02-01,80\n2026-02-02,\n")
    code, out, err = checked(capsys, one, two, "--user", "u")
    assert code == 0, err
    assert "unreadable  0 (" in out


def test_a_command_that_says_more_keeps_what_was_said():
    said = Said("run", {"value": "Weight (kg)"}, user="my self", tz="Europe/Rome")
    assert said.again("a b.csv", {"timestamp": "Date"}, dates="iso") == (
        "kalmap run 'a b.csv' --columns 'timestamp=Date,value=Weight (kg)' --user 'my self' "
        "--tz Europe/Rome --dates iso"
    )


def test_a_file_whose_first_umlaut_is_far_from_its_beginning_is_latin_1(tmp_path, capsys):
    rows = "".join(f"Bea;2026-01-{n % 28 + 1:02d};80\n" for n in range(60_000))
    rest = "".join(f"Jörg;2026-02-{n % 28 + 1:02d};80\n" for n in range(60_000))
    name = write(tmp_path, "a.csv", f"Name;Datum;Gewicht\n{rows}{rest}".encode("latin-1"))
    _, out, _ = checked(capsys, name)
    assert '"encoding":"latin-1"' in out
    assert "It is not UTF-8 and is read as Latin-1" in out
    assert "unreadable  0 (" in out


def test_records_that_are_rare_in_a_large_file_are_not_taken_for_none(tmp_path, capsys):
    attributes = (
        'sourceName="x" unit="count" creationDate="2026-01-05 07:31:09 +0100" '
        'startDate="2026-01-05 07:31:09 +0100" value="1"'
    )
    step = f' <Record type="HKQuantityTypeIdentifierStepCount" {attributes}/>\n'
    content = '<?xml version="1.0"?>\n<HealthData>\n' + step * 10_000 + "</HealthData>\n"
    name = write(tmp_path, "export.xml", content)
    code, out, err = checked(capsys, name, "--user", "u")
    assert code == 0, err
    assert "The sample has no record." in out


@pytest.mark.parametrize("foreign", FILES, ids=lambda foreign: foreign.name)
def test_a_broken_file_is_understood_or_refused_with_a_sentence(tmp_path, capsys, foreign):
    chance = random.Random(foreign.name)
    content = foreign.path.read_bytes()
    for _ in range(25):
        data = bytearray(content)
        for _ in range(chance.choice((1, 3, 30))):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.choice((0, 1, 5, 200))] = chance.randbytes(
                chance.choice((0, 1, 4))
            )
        name = write(tmp_path, f"broken{foreign.path.suffix}", bytes(data))
        code, _, err = checked(capsys, name, *foreign.arguments[1:])
        assert "Something unexpected" not in err, bytes(data)
        assert (code == 0) == (err == "")
        assert err == "" or err.startswith("kalmap: ")


@pytest.mark.thorough
def test_tune_reads_a_file_of_another_program(tmp_path, capsys):
    name = write(tmp_path, "a.csv", table(600, users=5))
    options = ["--tz", "Europe/Berlin", "--out", "tuned.json"]
    assert main(["tune", name, *options]) == 0
    err = capsys.readouterr().err
    assert "a.csv is a table separated by semicolons, with decimal commas: user_id from" in err
    assert "600 readings of 5 users." in err


def test_the_units_of_the_first_records_are_counted(tmp_path, capsys):
    start = '{"user_id": "u", "timestamp": "2026-01-0%dT00:00:00Z", "value": %d'
    ends = ['80, "unit": "kg"}', '176, "unit": "lb"}', "80}", '80, "unit": "kg"}']
    lines = [start.replace("%d", str(day), 1).replace("%d", end) for day, end in enumerate(ends, 1)]
    _, out, _ = checked(capsys, write(tmp_path, "a.jsonl", "\n".join(lines)))
    assert "\nunits       kg 2, lb 1, none 1\n" in out
