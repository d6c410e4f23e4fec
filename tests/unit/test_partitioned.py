"""Partitioned directories of Parquet are read with the columns in their folders' names."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from kalmap_cli.main import main

TIMES = [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=day) for day in range(4)]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, **columns):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"timestamp": TIMES, **columns}), path)


def checked(capsys, *arguments):
    code = main(["check", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_a_folders_name_says_the_user_as_text(capsys):
    write("all/user_id=007/part-0.parquet", value=[80.0] * 4)
    write("all/user_id=a%20b/year=2026/part-0.parquet", value=[81.0] * 4)
    write("all/user_id=7/part-0.parquet", value=[60.0] * 4)
    code, out, err = checked(capsys, "all")
    assert code == 0, err
    assert "all: 3 Parquet files joined, with user_id from the names of the folders." in out
    assert "\nusers       3\n" in out
    assert "first rows  007, 2026-01-05T00:00:00Z, 80 kg" in out


def test_the_command_itself_joins_them_where_pandas_is_installed():
    write("all/user_id=a/part-0.parquet", value=[80.0] * 4)
    ended = subprocess.run(
        [sys.executable, "-m", "kalmap_cli", "check", "all"], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_column_that_only_some_files_have_is_read(capsys):
    write("all/user_id=a/part-0.parquet", value=[80.0] * 4)
    write("all/user_id=b/part-0.parquet", value=[176.4] * 4, unit=["lb"] * 4)
    code, out, err = checked(capsys, "all")
    assert code == 0, err
    assert "none 4, lb 4" in out
    assert "values      80 to 80.0137 kg" in out


def test_users_in_the_files_count_and_those_of_folders_do_not(capsys):
    write("all/user_id=1/part-0.parquet", user_id=[17, 17, 18, 18], value=[80.0] * 4)
    code, out, _ = checked(capsys, "all")
    assert code == 0
    assert "\nusers       2\n" in out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.csv", b"timestamp,value\n", "reads such columns of Parquet only"),
     ("a.parquet", b"PAR1 no", "Its files cannot be joined: ")],
)  # fmt: skip
def test_files_that_cannot_be_joined_are_refused_with_a_sentence(capsys, name, content, words):
    folder = Path("all/user_id=a")
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    code, _, err = checked(capsys, "all")
    assert code == 2
    assert words in err
