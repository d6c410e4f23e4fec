"""From a record's position in a chunk back to its object and line."""

import json

import pytest

from kalmap.profile import builtin_profile
from kalmap.records import runs
from kalmap.records.formats import detect_format
from kalmap.records.mapping import Mapping
from kalmap.records.parse import File, parse_files
from kalmap.records.runs import place_of

PROFILE = builtin_profile("body-weight")


def jsonl(ids, blank_every=0):
    for n, name in enumerate(ids):
        if blank_every and n % blank_every == 0:
            yield "\n"
        row = {"user_id": "u", "timestamp": "2026-03-01T07:00:00Z", "value": 70}
        yield json.dumps(row | {"measurement_id": name}) + "\n"


def own_csv(ids):
    yield "user_id,timestamp,value,measurement_id\n"
    for name in ids:
        yield f"u,{'x' if name.endswith('7') else '2026-03-01T07:00:00Z'},70,{name}\n"


def other_csv(ids):
    yield "Made by a program\nTyp;Zeit;Kilo;Nr\n"
    for n, name in enumerate(ids):
        for _ in range(n % 3):
            yield "note;;;\n"
        yield f"weight;2026-03-01T07:00:00Z;70;{name}\n"


MAPPING = Mapping(
    columns={"timestamp": "Zeit", "value": "Kilo", "measurement_id": "Nr"},
    user="u",
    delimiter=";",
    skip=1,
    only={"Typ": ["weight"]},
)


def ids_of(prefix, count):
    return [f"{prefix}-{n}" for n in range(count)]


def parsed_with(contents, mapping=None):
    files = []
    for content in contents:
        data = content.encode()
        format_ = detect_format("f", data, mapping)
        files.append(File([data[format_.records_start :]], format_, format_.header_lines))
    return parse_files(files, PROFILE)


@pytest.mark.parametrize(
    ("contents", "mapping"),
    [
        (["".join(jsonl(ids_of("a", 3000)))], None),
        (["".join(jsonl(ids_of("a", 3000), blank_every=7))], None),
        (["".join(own_csv(ids_of("a", 50))), "".join(jsonl(ids_of("b", 20), 3))], None),
        (["".join(other_csv(ids_of("a", 3000))), "".join(jsonl(ids_of("b", 9)))], MAPPING),
    ],
)
def test_every_record_is_found_again_in_its_line(contents, mapping):
    parsed = parsed_with(contents, mapping)
    ids = iter(parsed.ids)
    unreadable = {record.ordinal: record for record in parsed.unreadable}
    assert parsed.records == len(parsed.ids) + len(unreadable)
    for ordinal in range(parsed.records):
        file, line = place_of(parsed.runs, ordinal)
        if ordinal in unreadable:
            assert (file, line) == (unreadable[ordinal].file, unreadable[ordinal].line)
        else:
            assert f"{next(ids)}" in contents[file].split("\n")[line - 1]


def test_lines_without_gaps_are_one_run_however_many_they_are():
    assert len(parsed_with(["".join(jsonl(ids_of("a", 30_000)))]).runs) == 1


def test_runs_are_bounded_and_what_is_not_kept_is_not_known(monkeypatch):
    monkeypatch.setattr(runs, "_MOST", 10)
    contents = ["".join(jsonl(ids_of("a", 100), blank_every=2)), "".join(jsonl(ids_of("b", 5)))]
    parsed = parsed_with(contents)
    assert len(parsed.runs) == 12
    assert place_of(parsed.runs, 3) == (0, 6)
    assert place_of(parsed.runs, 99) == (0, None)
    assert place_of(parsed.runs, 103) == (1, None)


def test_a_report_of_an_earlier_version_has_no_runs():
    assert place_of([], 3) is None
