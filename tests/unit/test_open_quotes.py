"""Quoted cells that go on in the next line: what they hold is never taken for a reading."""

import subprocess
from pathlib import Path

import pytest

from kalmap.profile import builtin_profile
from kalmap.records.format_csv import Csv
from kalmap.records.formats import detect_format
from kalmap.records.mapping import Mapping
from kalmap.records.measurement import MAX_LINE_BYTES
from kalmap.records.open_quotes import cut_at_open_quotes
from kalmap.records.parse import parse
from kalmap_cli.main import main

PROFILE = builtin_profile("body-weight")
MAPPING = Mapping(columns={"timestamp": "date", "value": "weight"}, user="u")
OWN = b"user_id,timestamp,value,note\n"
FOREIGN = b"x,date,weight,note\n"
ROWS = (
    b"u,2026-03-01T00:00Z,80.5,fine\n"
    b'u,2026-03-02T00:00Z,81.4,"felt ok\n'
    b"u,2026-01-02T00:00Z,150.0,x\n"
    b"u,2026-01-03T00:00Z,151.0,\n"
    b'u,2026-01-04T00:00Z,152.0,"\n'
    b'u,2026-03-05T00:00Z,80.6,"said ""no"", then, yes"\n'
)


@pytest.mark.parametrize(("header", "mapping"), [(OWN, None), (FOREIGN, MAPPING)])
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_lines_inside_an_open_quote_are_unreadable_and_never_readings(header, mapping, size):
    data = header + ROWS
    format_ = detect_format("f.csv", data, mapping)
    body = data[format_.records_start :]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    parsed = parse(parts, format_, PROFILE)
    assert parsed.value.tolist() == [80.5, 80.6]
    assert [record.line for record in parsed.unreadable] == [2, 3, 4, 5]
    assert all("a quoted cell goes on in the next line" in r.detail for r in parsed.unreadable)


def test_an_open_quote_goes_on_in_the_next_block_but_not_for_longer_than_a_line_may_be():
    inside, ok = b"u,2026-01-02T00:00Z,150.0,x\n", b"u,2026-03-01T00:00Z,80.5,\n"
    opening, closing = b'a,"b\n', b'c"\n'
    blocks = [ok + opening + inside, inside * 2, inside + closing + ok]
    found = list(cut_at_open_quotes(blocks, ","))
    assert found == [
        (ok, False), (opening + inside, True), (inside * 2, True), (inside + closing, True),
        (ok, False),
    ]  # fmt: skip
    many = ok * (MAX_LINE_BYTES // len(ok) + 1)
    assert list(cut_at_open_quotes([opening + many, ok], ",")) == [
        (opening, True), (many, False), (ok, False),
    ]  # fmt: skip


def test_a_line_that_ends_a_quote_is_unreadable_at_the_beginning_of_a_chunk_too():
    columns = ["user_id", "timestamp", "value", "note"]
    parsed = parse([b'u,2026-01-02T00:00Z,150.0,x"\n'], Csv(columns=columns), PROFILE)
    assert (parsed.value.size, len(parsed.unreadable)) == (0, 1)


def test_inch_marks_in_most_lines_are_refused_with_a_command_that_quotes_them(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    lines = [f"u,2026-03-{day:02d}T07:00:00Z,81.{day},5'11\"\n" for day in range(1, 9)]
    Path("in.csv").write_text(f"user_id,timestamp,value,height\n{''.join(lines)}")
    assert main(["check", "in.csv"]) == 2
    err = capsys.readouterr().err
    command = err[err.index("python3 -c") : err.index(" - then give")]
    subprocess.run(command, shell=True, check=True)
    assert main(["check", "quoted.csv"]) == 0
    out = capsys.readouterr().out
    assert "\nrecords     8\n" in out
    assert "\nunreadable  0 (0.0%)\n" in out
