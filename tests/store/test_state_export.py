"""Exact states, written and brought back: nothing newer is replaced, nothing broken is written."""

import base64
import csv
import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from kalmap.filter.estimates import describe
from kalmap.moments import iso
from kalmap.profile import builtin_profile
from kalmap.store.ports import Change
from kalmap_cli.errors import WrongUsage
from kalmap_cli.state_export import load_states, read_export, write_export
from kalmap_cli.state_files import WRITERS
from kalmap_cli.state_table import print_table, shown_states
from kalmap_library import fold

PROFILE = builtin_profile("body-weight")
DAYS = [f"2026-03-{day:02d}T07:00:00Z" for day in range(1, 11)]


class Known:
    """The profiles that a bucket has."""

    def find(self, _name, _digest):
        return PROFILE


class Unknown:
    def find(self, _name, _digest):
        return None


def states_after(days, users=("anna", "bea")):
    table = {
        "user_id": [user for user in users for _ in range(days)],
        "timestamp": DAYS[:days] * len(users),
        "value": [70.0 + day / 10 for _ in users for day in range(days)],
    }
    return fold(table).states


def put(store, states, profile="body-weight"):
    old = store.load(profile, list(states)).states
    changes = [
        Change(user, old.get(user), body, view.level, view.slope, view.as_of)
        for user, body in states.items()
        for view in [describe(body, PROFILE)]
    ]
    store.write(profile, changes, batch="b", attempt=str(states.keys()), round_=0)


def stored(store):
    return {(state.user, state.profile): state.state.body for state in store.scan()}


def exported(store, path):
    with path.open("wb") as file:
        write_export(sorted(store.scan()), file)
    return path


def test_an_export_comes_back_into_an_empty_table_to_the_byte(store, client, tmp_path):
    put(store, states_after(5))
    put(store, states_after(3, ["anna"]), "other")
    before = stored(store)
    file = exported(store, tmp_path / "states.jsonl")
    listed = list(store.scan())
    for state in listed:
        client.delete_item(
            TableName=store._table.name,
            Key={"user_id": {"S": state.user}, "profile": {"S": state.profile}},
        )
    assert stored(store) == {}
    loaded = load_states(read_export(file), store, replace=False)
    assert (loaded.new, loaded.replaced, loaded.same, loaded.kept) == (3, 0, 0, [])
    assert stored(store) == before
    readable = {(state.user, state.profile): state[3:] for state in store.scan()}
    assert readable == {(state.user, state.profile): state[3:] for state in listed}
    again = load_states(read_export(file), store, replace=False)
    assert (again.new, again.replaced, again.same, again.kept) == (0, 0, 3, [])


def test_newer_states_are_kept_unless_told_otherwise_and_older_ones_are_replaced(store, tmp_path):
    put(store, states_after(5))
    file = exported(store, tmp_path / "states.jsonl")
    exact = stored(store)
    put(store, states_after(7, ["anna"]))
    put(store, states_after(2, ["bea"]))
    newer = stored(store)["anna", "body-weight"]
    loaded = load_states(read_export(file), store, replace=False)
    assert (loaded.new, loaded.replaced, loaded.same, loaded.kept) == (0, 1, 0, ["anna"])
    after = stored(store)
    assert after["anna", "body-weight"] == newer
    assert after["bea", "body-weight"] == exact["bea", "body-weight"]
    loaded = load_states(read_export(file), store, replace=True)
    assert (loaded.replaced, loaded.same, loaded.kept) == (1, 1, [])
    assert stored(store) == exact


def test_a_state_that_differs_at_the_same_time_is_kept(store, tmp_path):
    """A late reading changes a state without making it newer."""
    put(store, states_after(5, ["anna"]))
    file = exported(store, tmp_path / "states.jsonl")
    late = {"user_id": ["anna"], "timestamp": ["2026-03-02T12:00:00Z"], "value": [70.4]}
    put(store, fold(late, states_after(5, ["anna"])).states)
    before = stored(store)
    assert load_states(read_export(file), store, replace=False).kept == ["anna"]
    assert stored(store) == before


class Racing:
    """A store where another command writes between reading and writing."""

    def __init__(self, store, states):
        self.load, self._write, self._race = store.load, store.write, lambda: put(store, states)

    def write(self, *arguments, **more):
        self._race()
        return self._write(*arguments, **more)


def test_a_state_that_another_command_writes_meanwhile_is_kept(store, tmp_path):
    put(store, states_after(5, ["anna"]))
    file = exported(store, tmp_path / "states.jsonl")
    other = states_after(6, ["anna"])
    for replace in (False, True):
        put(store, states_after(2, ["anna"]))
        racing = Racing(store, other)
        assert load_states(read_export(file), racing, replace=replace).kept == ["anna"]
        assert stored(store)["anna", "body-weight"] == other["anna"]


def line(**change):
    body = base64.b64encode(states_after(3, ["anna"])["anna"]).decode()
    fields = {"user_id": "anna", "profile": "p", "level": 1.0, "slope": 0.0, "as_of": None}
    return json.dumps(fields | {"state": body} | change)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is empty"),
        (["not json"], "line 1 is no state"),
        ([line(), '{"index": 0, "user_id": "anna"}'], "line 2 is no state"),
        ([line(state="%%%")], "line 1 is no state"),
        ([line(state="aGVsbG8=")], "line 1: its state was cut off or altered"),
        ([line(), "", line(user_id="b", state=line()[-200:-8])], "line 3"),
        ([line(), line()], "two states of anna under p: in line 1 and line 2"),
        ([line(user_id="")], "a name that is empty or too long"),
        ([line(user_id="x" * 129)], "a name that is empty or too long"),
        ([line(user_id="\x1b[31mred")], "or holds a control character"),
        ([line(profile="a\x00b")], "or holds a control character"),
        ([line(profile="")], "a name that is empty or too long"),
        ([line(user_id="x" * 100_000)], "line 1 is no state"),
    ],
)
def test_what_is_no_export_is_refused_with_its_line(tmp_path, lines, words):
    (tmp_path / "f").write_text("".join(f"{each}\n" for each in lines))
    with pytest.raises(WrongUsage, match=words):
        read_export(tmp_path / "f")


def test_one_altered_bit_of_a_state_is_found(tmp_path):
    body = bytearray(states_after(3, ["anna"])["anna"])
    body[20] ^= 1
    (tmp_path / "f").write_text(line(state=base64.b64encode(bytes(body)).decode()) + "\n")
    with pytest.raises(WrongUsage, match="cut off or altered"):
        read_export(tmp_path / "f")


def test_an_export_is_read_gzipped_and_from_stdin(tmp_path, monkeypatch):
    content = line(state=base64.b64encode(states_after(3, ["anna"])["anna"]).decode()).encode()
    plain, packed, cut = tmp_path / "plain", tmp_path / "states.jsonl.gz", tmp_path / "cut.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content[:50]) + gzip.compress(content[50:]))
    cut.write_bytes(gzip.compress(content)[:-9])
    assert read_export(packed) == read_export(plain)
    with packed.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert read_export(Path("-")) == read_export(plain)
    with pytest.raises(WrongUsage, match=r"cut.gz cannot be read: .* Nothing was written"):
        read_export(cut)


def test_states_are_shown_with_the_same_fields_in_every_format(store):
    states = states_after(5)
    put(store, states)
    shown = shown_states(sorted(store.scan()), Known())
    view = describe(states["anna"], PROFILE)
    assert shown[0].user_id == "anna"
    assert (shown[0].level, shown[0].level_sd) == (view.level, view.level_sd)
    assert (shown[0].slope, shown[0].slope_sd) == (view.slope, view.slope_sd)
    assert (shown[0].unit, shown[0].readings) == ("kg", 5)
    assert shown[0].as_of == DAYS[4]
    files = {name: io.BytesIO() for name in WRITERS}
    for name, write in WRITERS.items():
        write(shown, files[name])
    lines = [json.loads(each) for each in files["jsonl"].getvalue().splitlines()]
    rows = list(csv.DictReader(files["csv"].getvalue().decode().splitlines()))
    assert [list(each) for each in lines] == [list(each) for each in rows]
    assert [str(each["level"]) for each in lines] == [each["level"] for each in rows]
    table = parquet.read_table(files["parquet"])
    assert table.schema.field("as_of").type == pa.timestamp("us", tz="UTC")
    typed = [each | {"as_of": iso(each["as_of"])} for each in table.to_pylist()]
    assert typed == lines


def test_states_without_a_spread_and_no_states_have_the_same_typed_columns(store):
    schemas = []
    put(store, states_after(5))
    for shown in ([], shown_states(list(store.scan()), Unknown())):
        file = io.BytesIO()
        WRITERS["parquet"](shown, file)
        schemas.append(parquet.read_schema(file))
    assert schemas[0] == schemas[1]
    assert schemas[0].field("level_sd").type == pa.float64()


def test_a_state_whose_profile_is_not_stored_or_that_is_damaged_is_shown_without_a_spread(
    store, capsys
):
    put(store, states_after(5, ["anna"]))
    change = Change("bea", None, b"garbage", 70.0, 0.0, 0)
    store.write("body-weight", [change], batch="b", attempt="c", round_=0)
    known = shown_states(sorted(store.scan()), Known())
    assert [state.level_sd is None for state in known] == [False, True]
    unknown = shown_states(sorted(store.scan()), Unknown())
    assert [state.level_sd is None for state in unknown] == [True, True]
    assert unknown[0].level == pytest.approx(known[0].level, rel=1e-6)
    print_table(known, "")
    assert "is damaged, or its profile is not stored here" in capsys.readouterr().out


def test_on_a_terminal_the_table_has_as_many_rows_as_fit_and_says_how_to_see_the_rest(
    store, capsys, monkeypatch
):
    put(store, states_after(1, [f"u{n:02d}" for n in range(40)]))
    shown = shown_states(sorted(store.scan()), Known())
    print_table(shown, " --data-dir d")
    assert len(capsys.readouterr().out.splitlines()) == 42
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")
    print_table(shown, " --data-dir d")
    out = capsys.readouterr().out
    assert "18 of 40 states are shown" in out
    assert "--data-dir d" in out
    assert len(out.splitlines()) <= 24
    assert all(len(each) <= 80 for each in out.splitlines())
