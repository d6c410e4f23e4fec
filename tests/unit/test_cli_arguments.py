"""What the command line refuses before it starts anything: exit 2 and a sentence."""

import errno
import gzip
import json
import os
import socket
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kalmap.batch.identity import BatchInput, Limits, read_input
from kalmap.profile import DEFAULT_PROFILE
from kalmap_cli.arguments import parser
from kalmap_cli.batch_options import batch_options, now_option
from kalmap_cli.input_files import check_input, read_profile
from kalmap_cli.inputs import as_input
from kalmap_cli.main import main
from tests.support.template import ROOT

LINE = '{"user_id": "u", "timestamp": "2026-01-01T00:00:00Z", "value": 80}\n'


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KALMAP_DATA_DIR", raising=False)


@pytest.fixture
def good(tmp_path):
    file = tmp_path / "good.jsonl"
    file.write_text(LINE)
    return str(file)


def refused(capsys, *arguments):
    """The sentence a command ends with; it must be wrong usage, and leave nothing behind."""
    before = here()
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    assert output.out == ""
    assert here() == before
    return output.err


def here():
    """What stands in the directory."""
    return sorted(path.name for path in Path().iterdir())


def test_a_missing_file_is_named(capsys):
    assert "nope.jsonl" in refused(capsys, "run", "nope.jsonl")


@pytest.mark.parametrize("command", ["forget", "rollback", "results", "show", "status", "compare"])
def test_a_name_that_is_not_utf_8_is_refused_with_a_sentence(capsys, command):
    assert "is not UTF-8, and nothing" in refused(capsys, command, os.fsdecode(b"\xff"))


def test_an_empty_file_is_refused_also_when_it_is_only_white_space(capsys, tmp_path):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "blank.jsonl").write_text("\n \n")
    assert "empty.jsonl is empty" in refused(capsys, "run", "empty.jsonl")
    assert "blank.jsonl is empty" in refused(capsys, "run", "blank.jsonl")


def test_a_file_that_is_neither_jsonl_nor_csv_is_refused_with_an_example(capsys, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear all,\nweights are fine.\n")
    sentence = refused(capsys, "run", "letter.txt")
    assert "letter.txt is neither JSONL" in sentence
    assert "user_id,timestamp,value" in sentence


def test_a_csv_without_a_required_column_is_refused_by_the_name_of_the_column(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("user_id,value\nu,80\n")
    assert "timestamp" in refused(capsys, "run", "a.csv")


def test_bytes_that_only_begin_like_gzip_are_refused(capsys, tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"\x1f\x8bnot gzip at all")
    assert "gzip" in refused(capsys, "run", "a.jsonl.gz")


def test_a_pipe_is_refused_without_waiting_for_it(capsys, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(capsys, "run", "pipe")


def test_one_bad_file_among_good_ones_stops_the_run_before_it_starts(capsys, good):
    assert "nope.jsonl" in refused(capsys, "run", good, "nope.jsonl")


def test_an_unknown_profile_name_lists_the_names_there_are(capsys, good):
    assert "body-weight" in refused(capsys, "run", good, "--profile", "bodyweight")


def test_a_missing_profile_file_is_named(capsys, good):
    assert "p.json" in refused(capsys, "run", good, "--profile", "p.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"slope_prior": -1}, ["slope_prior", "-1", "from 0 to"]),
        ({"window": {"readings": 0}}, ["window.readings", "0", "a whole number from"]),
        ({"gait": 3}, ["gait"]),
        ({"unit": None}, ["unit"]),
    ],
)
def test_a_wrong_profile_field_is_named_with_its_allowed_range(
    capsys, good, tmp_path, change, words
):
    (tmp_path / "p.json").write_text(json.dumps(read_profile_content() | change))
    sentence = refused(capsys, "run", good, "--profile", "p.json")
    assert "p.json" in sentence
    for word in words:
        assert word in sentence


def read_profile_content():
    return {
        "name": "p",
        "unit": "kg",
        "range": [20, 300],
        "level_noise": 0.1,
        "slope_noise": 0,
        "slope_damping": 0,
        "slope_prior": 0,
        "measurement_noise": 0.5,
    }


def test_every_field_of_a_profile_file_is_passed_on(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps(read_profile_content()))
    passed = read_profile("p.json")
    assert read_profile_content().items() <= json.loads(json.dumps(passed)).items()
    assert read_profile(None) == "body-weight"


def test_a_profile_that_is_not_json_is_refused(capsys, good, tmp_path):
    (tmp_path / "p.json").write_text("{")
    assert "p.json" in refused(capsys, "run", good, "--profile", "p.json")


def test_an_output_directory_that_is_a_file_is_refused(capsys, good):
    assert "--out" in refused(capsys, "run", good, "--out", good)


def test_a_data_directory_that_holds_other_things_is_never_touched(capsys, good, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    for more in ((), ("--fresh",)):
        sentence = refused(capsys, "run", good, "--data-dir", "photos", *more)
        assert "not a kalmap data directory" in sentence
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_options_of_the_local_cloud_do_not_mix_with_a_stack(capsys, good):
    assert "--fresh" in refused(capsys, "run", good, "--stack", "s", "--fresh")
    assert "--data-dir" in refused(capsys, "run", good, "--stack", "s", "--data-dir", "d")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("--write-mode", "maybe"), ("--write-mode is 'maybe'", "transactional")),
        (("--limits", "unusable"), ("--limits", "unusable=")),
        (("--limits", "lost=0.5"), ("--limits has 'lost=0.5'", "failed_shards")),
        (("--limits", "unusable=50%"), ("--limits has unusable=50%", "from 0 to 1")),
        (("--limits", "failed_shards=2"), ("--limits has failed_shards=2", "from 0 to 1")),
        (("--limits", "unusable=nan"), ("--limits has unusable=nan", "from 0 to 1")),
        (("--limits", "unusable=0.1,unusable=0.2"), ("unusable twice",)),
        (("--now", "yesterday"), ("--now is 'yesterday'", "ISO 8601")),
        (("--now", "2026-03-01T07:12:00"), ("no offset from UTC",)),
        (("--now", "0001-01-01T00:00:00+14:00"), ("--now is",)),
    ],
)
def test_an_option_of_the_batch_with_a_wrong_value_is_named(capsys, good, values, words):
    sentence = refused(capsys, "run", good, *values)
    for word in words:
        assert word in sentence


def test_every_field_of_a_batchs_input_has_an_option():
    usual = BatchInput()
    values = {
        "profile": ("--profile", "p.json"),
        "write_mode": ("--write-mode", "none"),
        "limits": ("--limits", "failed_shards=0.25, unusable=1"),
        "adopt_profile": ("--adopt-profile",),
        "now": ("--now", "2026-03-01T07:12:00+01:00"),
        "share": ("--share", "0-10:spring"),
    }
    Path("p.json").write_text(json.dumps(read_profile_content()))
    words = [word for option in values.values() for word in option]
    options = batch_options(parser().parse_args(["run", "f", *words]))
    # A source is what `run` uploads, and `retry` is for the batch to run again. Whichever form
    # results have in the work bucket, `--format` writes those of the user in another.
    assert {*options, "source", "retry_of", "results"} == set(BatchInput.__struct_fields__)
    started = read_input({"source": {"bucket": "b", "prefix": "p/"}} | options)
    for name in values:
        assert getattr(started, name) != getattr(usual, name), name
    assert started.limits == Limits(failed_shards=0.25, unusable=1.0)
    assert started.now == datetime(2026, 3, 1, 6, 12, tzinfo=UTC)
    again = now_option(parser().parse_args(["retry", "3f9a", *values["now"]]))
    assert read_input({"retry_of": "0" * 32} | again).now == started.now


def test_options_that_the_user_omits_are_not_sent_to_the_cloud():
    assert batch_options(parser().parse_args(["run", "f"])) == {"profile": "body-weight"}


def test_a_port_that_cannot_be_used_is_named(capsys):
    assert "--port is 70000" in refused(capsys, "serve", "--port", "70000")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option in ("--port", "--api-port"):
            assert main(["serve", "--data-dir", "d", option, str(port)]) == 2
            said = capsys.readouterr().err
            assert f"Port {port} of 127.0.0.1 cannot be used" in said
            assert option in said


def test_states_and_status_without_any_run_say_so_and_create_nothing(capsys):
    for command in ("states", "status"):
        assert "Run a batch first" in refused(capsys, command)


def test_without_an_option_the_data_directory_comes_from_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("KALMAP_DATA_DIR", "elsewhere")
    assert "elsewhere" in refused(capsys, "states")


def test_no_command_an_unknown_one_and_an_abbreviated_option_are_wrong_usage(capsys, good):
    for arguments, word in (
        ([], "COMMAND"),
        (["frobnicate"], "'frobnicate'"),
        (["run", good, "--prof", "x"], "--prof"),
        (["simulate", "--users", "many"], "'many'"),
    ):
        sentence = refused(capsys, *arguments)
        assert sentence.startswith("kalmap: ")
        assert word in sentence
        assert sentence.endswith("--help` has examples.\n")


def test_a_full_disk_is_reported_with_a_sentence_at_every_write(monkeypatch, capsys):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("kalmap_cli.local.access_files.write_private", full)
    assert main(["serve", "--data-dir", "d"]) == 1
    assert "kalmap: No space left on device (" in (sentence := capsys.readouterr().err)
    assert "Free some space and run the same command again." in sentence


def test_every_command_has_help_with_examples_that_fits_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(len(line) <= 80 for line in output.splitlines())
    for command in ("run", "status", "retry", "states", "serve", "simulate", "tune"):
        assert f"  kalmap {command}" in output
        assert main([command, "--help"]) == 0
        own = capsys.readouterr().out
        assert f"examples:\n  kalmap {command}" in own
        assert all(len(line) <= 80 for line in own.splitlines())


def test_the_help_names_the_profile_that_is_used_by_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for command in ("run", "tune"):
        assert main([command, "--help"]) == 0
        assert f"(default: {DEFAULT_PROFILE})" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda packed: packed[:-4], "a.jsonl.gz is truncated"),
        (lambda packed: packed + packed[:9], "a.jsonl.gz is truncated"),
        (lambda _: gzip.compress(LINE.encode() + b" " * 2**25), "inflates to more than 250 times"),
        (lambda _: gzip.compress(b"\0" * 2**25), "a.jsonl.gz is binary data"),
        (lambda _: b"PK\3\4" + LINE.encode(), "a.jsonl.gz is a ZIP archive"),
    ],
)
def test_a_gzipped_file_that_no_batch_could_read_is_refused(capsys, tmp_path, damage, word):
    (tmp_path / "a.jsonl.gz").write_bytes(damage(gzip.compress(LINE.encode())))
    for command in (["run"], ["tune", "--out", "p.json"]):
        assert word in refused(capsys, *command, "a.jsonl.gz")


def test_a_gzipped_file_passes_the_checks(tmp_path):
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(LINE.encode()))
    check_input(as_input(packed))


def test_a_wrong_number_of_readings_per_shard_is_refused_before_anything_is_started(
    capsys, good, monkeypatch
):
    monkeypatch.setenv("KALMAP_READINGS_PER_SHARD", "many")
    assert "KALMAP_READINGS_PER_SHARD is 'many'" in refused(capsys, "run", good)


def test_the_version_is_that_of_the_project(capsys):
    assert main(["--version"]) == 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"kalmap {project['version']}\n"


def test_an_output_inside_the_data_directory_is_refused(capsys, good, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "kalmap.json").write_text("{}")
    (tmp_path / "link").symlink_to("d")
    for out in ("d", "d/x", "link/x"):
        for command in (("run", good), ("retry", "3f9a"), ("results", "3f9a"), ("states",)):
            sentence = refused(capsys, *command, "--data-dir", "d", "--out", out)
            assert "lies in the data directory d" in sentence
