"""A folder has the complete results of one batch, and another batch never overwrites them."""

import csv
import json

import boto3
import msgspec
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from kalmap.batch.folder import Plan
from kalmap.records.runs import Run
from kalmap.records.shards import PartitionReport, chunk_starts, shard_of
from kalmap.results.lines import Result
from kalmap.results.selection import Selection
from kalmap.store.objects import Objects
from kalmap_cli.errors import RunFailed, WrongUsage
from kalmap_cli.file_names import store_file_names
from kalmap_cli.results_folder import check_results_folder, fetch_results
from kalmap_cli.selected_results import write_selected

FIRST, SECOND = "1" * 32, "2" * 32


@pytest.fixture
def objects(tmp_path, monkeypatch):
    """Two ended batches; the first had a reading that failed."""
    monkeypatch.chdir(tmp_path)
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="work")
        bucket = Objects(s3, "work")
        for batch in (FIRST, SECOND):
            line = b'{"index":0,"batch":"%s"}\n' % batch.encode()
            bucket.put(f"{batch}/summary.json", json.dumps({"batch_id": batch}).encode())
            bucket.put(f"{batch}/round-0/results/000000.jsonl", line)
        bucket.put(f"{FIRST}/failed/0-000000.jsonl", b"{}\n")
        yield bucket


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def content(folder):
    return {name: (folder / name).read_text() for name in names(folder)}


def test_the_results_of_another_batch_stay_and_the_sentence_says_what_to_do(objects, tmp_path):
    out = tmp_path / "out"
    check_results_folder(out)
    fetch_results(objects, FIRST, out)
    before = content(out)
    assert set(before) == {"failed.jsonl", "results.jsonl", "summary.json", "unreadable.jsonl"}
    for refused in (lambda: check_results_folder(out), lambda: check_results_folder(out, SECOND)):
        with pytest.raises(WrongUsage, match="already holds the results of batch 111111111111"):
            refused()
    with pytest.raises(RunFailed, match="already holds the results of batch 111111111111"):
        fetch_results(objects, SECOND, out)
    assert content(out) == before


def test_the_results_of_the_same_batch_are_replaced_with_none_of_the_old_left(objects, tmp_path):
    out = tmp_path / "out"
    fetch_results(objects, FIRST, out)
    check_results_folder(out, FIRST)
    # A fetch that was killed has left this.
    (out / ".kalmap-fetching-1").mkdir()
    (out / ".kalmap-fetching-1" / "results.jsonl").touch()
    objects.put(f"{FIRST}/round-0/results/000000.jsonl", b'{"index":0,"batch":"again"}\n')
    objects.put(f"{FIRST}/failed/0-000000.jsonl", b"")
    fetched = fetch_results(objects, FIRST, out)
    assert "again" in fetched.results.read_text()
    assert sorted(content(out)) == ["results.jsonl", "summary.json", "unreadable.jsonl"]


def test_a_file_named_like_results_is_never_overwritten_in_a_folder_without_a_summary(
    objects, tmp_path
):
    for name in ("results.jsonl", "rejected.jsonl", "failed.jsonl"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).symlink_to("nowhere")
        with pytest.raises(WrongUsage, match="of an unknown batch"):
            check_results_folder(folder)
        with pytest.raises(RunFailed):
            fetch_results(objects, FIRST, folder)
        assert names(folder) == [name]


def test_other_files_in_the_results_folder_stay(objects, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    check_results_folder(tmp_path)
    fetch_results(objects, FIRST, tmp_path)
    assert content(tmp_path)["notes.txt"] == "mine"


def test_without_out_each_batch_has_a_folder_of_its_own_and_latest_leads_to_the_newest(
    objects, tmp_path
):
    for batch in (FIRST, SECOND):
        check_results_folder(None)
        fetch_results(objects, batch, None)
        latest = tmp_path / "kalmap-out" / "latest"
        assert latest.is_symlink()
        assert batch in (latest / "results.jsonl").read_text()
    assert names(tmp_path / "kalmap-out") == ["1" * 12, "2" * 12, "latest"]
    assert FIRST in (tmp_path / "kalmap-out" / ("1" * 12) / "results.jsonl").read_text()


def test_an_incomplete_write_leaves_no_file_and_the_earlier_results_stay(objects, tmp_path):
    out = tmp_path / "out"
    fetch_results(objects, FIRST, out)
    before = content(out)
    # The batch's last object cannot be read as lines of results: fetching ends in the middle.
    objects.put(f"{FIRST}/round-0/results/000000.jsonl", b'{"index":zero,}\n')
    for folder in (out, tmp_path / "new"):
        with pytest.raises(ValueError, match="zero"):
            fetch_results(objects, FIRST, folder)
    assert content(out) == before
    assert names(tmp_path) == ["out"]


def test_checking_a_folder_does_not_create_it(tmp_path):
    check_results_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(WrongUsage, match="cannot be written to"):
            check_results_folder(wrong)
    assert names(tmp_path) == ["file"]


def test_a_batch_without_a_summary_has_no_results_and_makes_no_folder(objects, tmp_path):
    assert fetch_results(objects, "3" * 32, tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_results_have_the_same_columns_and_values_in_every_format(objects, tmp_path):
    results = [
        Result(0, 'anna, "A"', "m-1", "2026-03-01T07:00:00Z", 70.1, "accepted", None, 70.0, 0.5),
        Result(1, None, None, None, None, "unreadable", "bad_value"),
        Result(2, "ümit", None, "2026-03-01T07:00:00Z", 1e-7, "accepted", None, restarted=True),
    ]
    encoded = msgspec.json.Encoder().encode_lines(results)
    objects.put(f"{FIRST}/round-0/results/000000.jsonl", encoded)
    lines = fetch_results(objects, FIRST, tmp_path).results.read_text().splitlines()
    assert {tuple(json.loads(line)) for line in lines} == {Result.__struct_fields__}
    table = fetch_results(objects, FIRST, tmp_path, "csv")
    # What was written before in another format stays.
    assert {"results.jsonl", "results.csv"} <= set(names(tmp_path))
    with table.results.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == Result.__struct_fields__
    parquet = fetch_results(objects, FIRST, tmp_path, "parquet").results
    typed = pq.read_table(parquet).to_pylist()
    for row, line in zip(typed, map(json.loads, lines), strict=True):
        if row["timestamp"] is not None:
            row["timestamp"] = row["timestamp"].isoformat().replace("+00:00", "Z")
        assert row == line
    for row, line in zip(rows, lines, strict=True):
        shown = [json.loads(cell) if cell in {"true", "false"} else cell or None for cell in row]
        expected = json.loads(line).values()
        assert [each if isinstance(each, bool) else each and type(e)(each)
                for each, e in zip(shown, expected, strict=True)] == list(expected)  # fmt: skip


def test_another_batch_never_overwrites_results_in_another_format(objects, tmp_path):
    objects.put(f"{FIRST}/round-0/results/000000.jsonl", b"")
    fetch_results(objects, FIRST, tmp_path, "csv")
    with pytest.raises(RunFailed, match="already holds the results of batch 111111111111"):
        fetch_results(objects, SECOND, tmp_path, "csv")


def put_results(objects, results):
    """A batch of two shards, each with the results of its users."""
    shards = 2
    for shard in range(shards):
        own = [line for line in results if shard_of(line.user_id or "", shards) == shard]
        encoded = msgspec.json.Encoder().encode_lines(own)
        objects.put(f"{FIRST}/round-0/results/{shard:06d}.jsonl", encoded)
    objects.put(f"{FIRST}/plan.json", b'{"chunks":1,"shards":2,"files":[]}')


RESULTS = [
    Result(n, user, None, "2026-03-01T07:00:00Z", 70.0 + n, status, reason)
    for n, (user, status, reason) in enumerate(
        [
            ("anna", "accepted", None),
            ("bea", "rejected", "outlier"),
            ("anna", "rejected", "outlier"),
            ("cyd", "accepted", None),
            (None, "unreadable", "bad_value"),
            ("anna", "unreadable", "bad_value"),
        ]
    )
]


@pytest.mark.parametrize(
    ("selection", "indices"),
    [
        (Selection(), [0, 1, 2, 3, 4, 5]),
        (Selection(user="anna"), [0, 2]),
        (Selection(status="rejected"), [1, 2]),
        (Selection(user="anna", status="rejected"), [2]),
        (Selection(status="unreadable"), [4, 5]),
        (Selection(user="nobody"), []),
    ],
)
def test_results_are_selected_by_user_and_status(objects, tmp_path, selection, indices):
    put_results(objects, RESULTS)
    for format_ in ("jsonl", "csv"):
        out = tmp_path / format_
        assert write_selected(objects, FIRST, out, selection, format_) == len(indices)
        [file] = out.iterdir()
        with file.open(newline="") as opened:
            rows = csv.DictReader(opened) if format_ == "csv" else map(json.loads, opened)
            assert [int(row["index"]) for row in rows] == indices


def test_a_part_of_the_results_never_replaces_the_whole(objects, tmp_path):
    put_results(objects, RESULTS)
    fetch_results(objects, FIRST, tmp_path)
    before = content(tmp_path)
    with pytest.raises(WrongUsage, match="a part of them must not replace"):
        write_selected(objects, FIRST, tmp_path, Selection(user="anna"), "csv")
    assert content(tmp_path) == before


def test_rejected_readings_are_written_with_the_users_name_of_the_file_and_the_line(
    objects, tmp_path
):
    put_results(objects, RESULTS)
    key = f"uploads/{'0' * 32}/000-in.csv"
    store_file_names(objects, f"uploads/{'0' * 32}/", {key: "my folder/in.csv"})
    objects.put(f"{FIRST}/plan.json", msgspec.json.encode(Plan(1, 2, [[key]])))
    objects.put(f"{FIRST}/starts.bin", chunk_starts([6], [1]))
    report = PartitionReport(0, 6, 8, [], [], runs=[Run(0, 0, 1), Run(2, 0, 5)])
    objects.put(f"{FIRST}/partitions/000000.report", msgspec.msgpack.encode(report))
    for format_ in ("jsonl", "csv"):
        fetched = fetch_results(objects, FIRST, tmp_path / format_, format_)
        assert fetched.rejected_lines == 2
        lines = [json.loads(line) for line in fetched.rejected.read_text().splitlines()]
        assert [
            (each["user_id"], each["file"], each["line"], each["reason"]) for each in lines
        ] == [
            ("bea", "my folder/in.csv", 3, "outlier"),
            ("anna", "my folder/in.csv", 6, "outlier"),
        ]


def test_rejected_readings_of_an_earlier_version_have_no_line(objects, tmp_path):
    put_results(objects, RESULTS)
    lines = fetch_results(objects, FIRST, tmp_path).rejected.read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [None, None]


def test_results_of_which_a_part_is_gone_replace_no_better_ones(objects, tmp_path):
    put_results(objects, RESULTS)
    summary = {"batch_id": FIRST, "readings": {"received": len(RESULTS)}}
    objects.put(f"{FIRST}/summary.json", json.dumps(summary).encode())
    fetch_results(objects, FIRST, tmp_path / "out")
    before = content(tmp_path / "out")
    objects.put(f"{FIRST}/round-0/results/000001.jsonl", b"")
    for format_ in ("jsonl", "csv"):
        with pytest.raises(RunFailed, match=r"Only \d of the 6 results of batch 1{12} are still"):
            fetch_results(objects, FIRST, tmp_path / "out", format_)
    assert content(tmp_path / "out") == before
    fetched = fetch_results(objects, FIRST, tmp_path / "what is left")
    assert 0 < len(fetched.results.read_text().splitlines()) < len(RESULTS)
