"""Inputs of commands: stdin, directories, patterns, addresses in S3, files of several formats."""

import gzip
import json
import os
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from kalmap.records.formats import detect_format
from kalmap.records.mapping import Mapping
from kalmap_cli.aws_errors import explain_aws_error
from kalmap_cli.errors import WrongUsage
from kalmap_cli.inputs import STDIN, as_input, open_inputs, source_in_s3
from kalmap_cli.main import main
from kalmap_cli.stack import Stack
from kalmap_cli.upload import Upload, keys_of, upload_files
from tests.support.check_command import checked

OWN = "user_id,timestamp,value\nanna,2026-03-01T07:00:00Z,70.1\n"
LINE = '{"user_id": "bea", "timestamp": "2026-03-01T07:00:00Z", "value": 60.2}\n'
TABLE = "Name;Datum;Gewicht\ncyd;31.03.2026 07:00;80,5\ncyd;30.03.2026 07:00;80,6\n"


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def piped(text):
    """Make a text the process's stdin; returns the descriptor to restore."""
    read, write = os.pipe()
    os.write(write, text)
    os.close(write)
    before = os.dup(0)
    os.dup2(read, 0)
    os.close(read)
    return before


@pytest.fixture
def stdin():
    kept = []
    yield lambda text: kept.append(piped(text))
    if kept:
        os.dup2(kept[0], 0)


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_stdin_is_read_under_all_its_names(capsys, stdin, name, pack):
    stdin(pack(OWN.encode()))
    code, out, err = checked(capsys, name)
    assert code == 0, err
    assert "stdin is kalmap's own CSV." in out
    assert "records     1" in out


def test_what_stdin_does_not_say_is_asked_for_with_a_command_that_reads_stdin(capsys, stdin):
    stdin(b"date,weight\n2026-01-01,80\n")
    code, _, err = checked(capsys, "-")
    assert code == 2
    assert "kalmap check - --user NAME" in err


def test_an_empty_stdin_is_refused(capsys, stdin):
    stdin(b"")
    code, _, err = checked(capsys, "-")
    assert code == 2
    assert "stdin is empty" in err


def test_the_copy_of_stdin_is_gone_afterwards(stdin):
    stdin(OWN.encode())
    with open_inputs(["-"]) as inputs:
        [file] = inputs.files
        assert file.name is STDIN
        assert file.content.read_text() == OWN
    assert not file.content.parent.exists()


def test_a_directory_stands_for_the_tables_in_it_and_what_is_left_out_is_told(capsys, tmp_path):
    for name in ("b.csv", "a.jsonl", "notes.pdf", "profile.json", ".hidden.csv", "deep/c.csv"):
        path = tmp_path / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LINE if name.endswith("jsonl") else OWN)
    (tmp_path / "inbox" / "empty.csv").touch()
    code, out, err = checked(capsys, "inbox")
    assert code == 0, err
    assert "records     2" in out
    assert "inbox: 2 files of 5 are read. Left out: empty.csv, notes.pdf, profile.json" in out
    assert "Folders in it are not read" in out
    assert ".hidden" not in out
    code, out, err = checked(capsys, "inbox/**/*.csv")
    assert code == 2
    assert "empty.csv is empty" in err
    (tmp_path / "inbox" / "empty.csv").unlink()
    code, out, err = checked(capsys, "inbox/**/*.csv")
    assert code == 0, err
    assert "records     2" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing/*.csv", "No file matches the pattern nothing/*.csv"),
        ("inbox", "no file in it ends in .jsonl"),
        ("gone.csv", "There is no file gone.csv"),
    ],
)
def test_what_names_no_file_is_refused(capsys, tmp_path, name, words):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.pdf").write_text("x")
    code, _, err = checked(capsys, name)
    assert code == 2
    assert words in err


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(capsys, tmp_path):
    (tmp_path / "a[1].csv").write_text(OWN)
    assert checked(capsys, "a[1].csv")[0] == 0


def test_a_file_that_is_named_twice_is_read_once(capsys, tmp_path):
    (tmp_path / "a.csv").write_text(OWN)
    (tmp_path / "b.jsonl").write_text(LINE)
    code, out, _ = checked(capsys, "a.csv", ".", "a.csv")
    assert code == 0
    assert "2 files named twice: each file is read once." in out
    assert "records     2" in out


def test_files_of_several_formats_are_read_together_each_by_its_own(capsys, tmp_path):
    (tmp_path / "a.csv").write_text(OWN)
    (tmp_path / "b.jsonl").write_text(LINE)
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    code, out, err = checked(capsys, ".", "--tz", "UTC")
    assert code == 0, err
    assert "users       3" in out
    assert "records     4" in out


def test_what_is_said_of_a_unit_is_said_of_all_files(capsys, tmp_path):
    """A file in kalmap's own format may have values without a unit, which the user then names."""
    (tmp_path / "a.csv").write_text(OWN)
    (tmp_path / "c.csv").write_text(TABLE)
    code, _, err = checked(capsys, "a.csv", "c.csv", "--tz", "UTC", "--unit", "lb")
    assert code == 2
    assert "have different forms" in err


@pytest.mark.parametrize(
    ("content", "mapping", "own"),
    [
        (OWN, {"timestamp": "Datum", "value": "Gewicht"}, True),
        (LINE, {"timestamp": "Datum", "value": "Gewicht"}, True),
        (OWN, {"timestamp": "timestamp", "value": "value"}, False),
        (OWN.replace("value", "VALUE", 1), {"timestamp": "timestamp", "value": "VALUE"}, False),
        ("\ufeff" + OWN, {"timestamp": "Datum", "value": "Gewicht"}, True),
        (OWN + "x" * 10, {"timestamp": "1", "value": "2"}, True),
    ],
)
def test_beside_a_mapping_kalmaps_own_formats_are_those_that_lack_its_columns(
    content, mapping, own
):
    given = Mapping(columns=mapping, user="anna")
    format_ = detect_format("a", content.encode(), given)
    assert isinstance(format_, type(detect_format("a", content.encode()))) is own


def test_json_lines_of_another_program_are_not_taken_for_kalmaps_own():
    given = Mapping(columns={"timestamp": "t", "value": "v"}, user="anna", layout="jsonl")
    for first in ({"note": "x"}, {"t": 1, "v": 2}, {"timestamp": 1, "value": 2}):
        format_ = detect_format("a", json.dumps(first).encode() + b"\n", given)
        assert getattr(format_, "mapping", None) == given
    assert getattr(detect_format("a", LINE.encode(), given), "mapping", None) is None


@pytest.mark.parametrize(
    ("names", "source"),
    [
        (["a.csv"], None),
        (["s3://b/in/a.csv"], {"bucket": "b", "key": "in/a.csv"}),
        (["s3://b/in/"], {"bucket": "b", "prefix": "in/"}),
        (["s3://b/in/2026-*"], {"bucket": "b", "prefix": "in/2026-"}),
    ],
)
def test_an_address_in_s3_is_a_key_or_a_prefix(names, source):
    assert source_in_s3(names) == source


@pytest.mark.parametrize("names", [["s3://b"], ["s3:///k"], ["s3://b/k", "a.csv"]])
def test_an_incomplete_address_and_one_among_files_are_refused(names):
    with pytest.raises(WrongUsage, match="s3://"):
        source_in_s3(names)


def test_only_run_with_a_stack_reads_from_s3(capsys):
    assert main(["run", "s3://b/k.csv"]) == 2
    assert "kalmap run s3://b/k.csv --stack NAME" in capsys.readouterr().err
    for command in ("check", "tune"):
        assert main([command, "s3://b/k.csv"]) == 2
        assert "aws s3 cp s3://b/k.csv ." in capsys.readouterr().err


@pytest.fixture
def s3():
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="work")
        yield client


STACK = Stack("machine", "work", "states", "batches")


def uploaded(s3):
    return [item["Key"] for item in s3.list_objects_v2(Bucket="work").get("Contents", ())]


def test_a_file_is_inflated_while_it_is_uploaded(s3, tmp_path):
    lines = b"".join(b'{"n": %d}\n' % n for n in range(400_000))
    (tmp_path / "large.jsonl.gz").write_bytes(gzip.compress(lines, 1))
    prefix = upload_files(
        lambda _: s3, STACK, [Upload(as_input(tmp_path / "large.jsonl.gz"), inflate=True)]
    )
    key = f"{prefix}000-large.jsonl.gz"
    assert s3.get_object(Bucket="work", Key=key)["Body"].read() == lines


def test_an_upload_that_breaks_off_leaves_no_object(s3, tmp_path):
    packed = gzip.compress(LINE.encode() * 1000)
    (tmp_path / "good.csv").write_text(OWN)
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[:-9])
    files = [
        Upload(as_input(tmp_path / "good.csv")),
        Upload(as_input(tmp_path / "cut.jsonl.gz"), inflate=True),
    ]
    with pytest.raises(WrongUsage, match=r"cut\.jsonl\.gz is truncated"):
        upload_files(lambda _: s3, STACK, files)
    assert uploaded(s3) == []


def test_a_bucket_that_refuses_an_upload_is_told_with_its_own_words(s3, tmp_path):
    (tmp_path / "good.csv").write_text(OWN)
    nowhere = STACK._replace(bucket="no-such-bucket")
    with pytest.raises(ClientError, match="NoSuchBucket") as refused:
        upload_files(lambda _: s3, nowhere, [Upload(as_input(tmp_path / "good.csv"))])
    sentence, _ = explain_aws_error(refused.value)
    assert sentence.startswith("The cloud refused a request: ")
    assert str(tmp_path) not in sentence


def test_files_keep_their_order_also_if_they_are_many():
    for count in (3, 1001):
        keys = keys_of("uploads/u/", [Path("in/a.csv")] * count)
        assert keys == sorted(set(keys))
        assert len(keys) == count
    assert keys_of("uploads/u/", [Path("in/a\n.csv")]) == ["uploads/u/000-a_.csv"]


def test_results_of_a_batch_in_a_directory_are_left_out_and_told(tmp_path):
    for name in ("w.csv", "results.jsonl", "unreadable.jsonl", "rejected.jsonl"):
        (tmp_path / name).write_text("{}")
    with open_inputs([str(tmp_path)]) as inputs:
        # Without a summary they may be anybody's.
        assert len(inputs.files) == 4
    (tmp_path / "summary.json").write_text("{}")
    with open_inputs([str(tmp_path)]) as inputs:
        assert [each.name.name for each in inputs.files] == ["w.csv"]
    told = "own results of a batch are left out: rejected.jsonl, results.jsonl, unreadable.jsonl."
    assert any(told in sentence for sentence in inputs.told)
