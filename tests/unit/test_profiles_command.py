"""`kalmap profiles`: what it lists, explains, checks and makes."""

import io
import json
import shlex
import sys

import msgspec
import numpy as np
import pytest

from kalmap import units
from kalmap.profile import builtin_profile, builtin_profiles, digest, load_profile
from kalmap.profile_fields import FIELDS
from kalmap_cli.main import main
from kalmap_cli.profile_tools.convert import in_unit
from kalmap_cli.profile_tools.effects import effects_of
from kalmap_cli.profile_tools.explain import doubts
from kalmap_cli.profile_tools.new import ask_number
from kalmap_cli.profile_tools.suggest import built_in_of, fitting
from tests.support.template import ROOT

PAGE = (ROOT / "docs" / "profiles.md").read_text()
BUILT_IN = pytest.mark.parametrize("name", builtin_profiles())


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ran(capsys, *arguments):
    """Exit code, stdout and stderr."""
    code = main(["profiles", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_alone_it_lists_the_built_in_profiles_and_with_files_those_too(tmp_path, capsys):
    code, out, _ = ran(capsys)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        [name, units.shown(builtin_profile(name).unit)] for name in builtin_profiles()
    ]
    mine = msgspec.to_builtins(builtin_profile("body-weight")) | {"description": "Of me. More."}
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    code, out, _ = ran(capsys, "list", "mine.json")
    assert code == 0
    assert out.splitlines()[-1].split() == ["mine.json", "kg", "Of", "me"]


def test_show_explains_every_field(capsys):
    code, out, _ = ran(capsys, "show", "glucose-cgm")
    assert code == 0
    for path, field in FIELDS.items():
        if path not in {"description", "learning"}:
            assert f"\n{path}  " in out
            assert field.effect in out
    assert "\nslope_noise  20000 mg/dL/day/√day\n" in out


@BUILT_IN
def test_nothing_is_doubtful_about_a_built_in_profile(name):
    assert doubts(builtin_profile(name)) == []


@pytest.mark.parametrize("name", ["body-weight", "glucose-cgm-mmol"])
def test_check_says_what_a_profile_does(name, capsys):
    code, out, err = ran(capsys, "check", name)
    assert (code, err) == (0, "")
    assert "a reading is believed up to" in out
    assert "Where the level really jumps by" in out
    assert "Note:" not in out


def test_check_asks_the_filter_and_not_a_formula():
    sure = builtin_profile("body-weight")
    wary = msgspec.structs.replace(
        sure, faults=msgspec.structs.replace(sure.faults, share=0.2), measurement_noise=0.2
    )
    trusting = msgspec.structs.replace(sure, faults=msgspec.structs.replace(sure.faults, share=0.0))
    first, others, all_ = effects_of(sure), effects_of(wary), effects_of(trusting)
    assert others.gaps[0].believed < first.gaps[0].believed
    assert all_.gaps[0].believed is None
    assert all_.jump_readings == 1
    growing = [gap.level for gap in first.gaps]
    assert growing == sorted(growing)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "body-weight", "level_noise": 0.5}, "has the same name and other numbers"),
        ({"population": {"level_mean": 500, "level_sd": 1}}, "outside of the range"),
        ({"measurement_noise": 100}, "more than a quarter of the range"),
        ({"level_noise": 0, "slope_noise": 0, "slope_prior": 0}, "a level never moves"),
        ({"jumps": {"sd": 0.5}}, "a jump and a noisy reading look nearly the same"),
        ({"faults": {"share": 0}}, "every reading in the range is believed"),
        ({"window": {"readings": 1}}, "a late reading is hardly ever sorted in"),
    ],
)
def test_what_is_allowed_and_seldom_meant_is_told(change, words):
    content = msgspec.to_builtins(builtin_profile("body-weight")) | {"name": "mine"} | change
    assert any(words in sentence for sentence in doubts(load_profile(content)))


def test_check_tells_doubts_and_fields_that_are_not_used(tmp_path, capsys):
    content = msgspec.to_builtins(builtin_profile("body-weight"))
    content |= {"name": "mine", "unit": "{points}", "gate": 9, "window": {"readings": 1}}
    # As an editor under Windows writes it.
    (tmp_path / "p.json").write_text(json.dumps(content), encoding="utf-8-sig")
    code, out, err = ran(capsys, "check", "p.json")
    assert (code, err) == (0, "")
    assert "points is a unit of the profile's own, which kalmap does not know." in out
    assert "Note: gate: of a profile for kalmap 0.1; not used." in out
    assert "Note: window.readings is 1" in out


def test_a_wrong_profile_is_refused_with_field_value_and_what_is_allowed(tmp_path, capsys):
    (tmp_path / "p.json").write_text('{\n  "name": "x",\n  "unit" "kg"\n}')
    code, _, err = ran(capsys, "check", "p.json")
    assert code == 2
    assert "The profile file p.json is wrong. The profile is not valid JSON:" in err
    assert "(line 3, column " in err
    content = msgspec.to_builtins(builtin_profile("body-weight"))
    (tmp_path / "p.json").write_text(json.dumps(content | {"measurment_noise": 1}))
    code, _, err = ran(capsys, "check", "p.json")
    assert code == 2
    assert "Is measurement_noise meant?" in err


@BUILT_IN
def test_every_built_in_profile_has_a_section_with_sources_and_limits(name):
    profile = builtin_profile(name)
    assert profile.name == name
    assert len(profile.description) > 100
    [base] = [known for known in builtin_profiles() if known == name.removesuffix("-mmol")]
    if base != name:
        # The same profile in another unit: its section and its numbers are those of the first.
        converted = in_unit(builtin_profile(base), profile.unit)
        assert digest(profile) == digest(msgspec.structs.replace(converted, name=name))
        assert f"`{name}` is the same in {units.shown(profile.unit)}." in PAGE
        return
    section = PAGE[PAGE.index(f"\n### {name}\n") + 1 :].partition("\n### ")[0]
    assert "Tried" in section
    assert "Not " in section


def test_a_profile_is_made_from_a_built_in_one_in_another_unit(tmp_path, capsys):
    code, out, err = ran(
        capsys, "new", "--unit", "lb", "--quantity", "body weight", "--out", "w.json"
    )
    assert (code, out) == (0, "")
    assert "kalmap profiles check w.json" in err
    made = load_profile((tmp_path / "w.json").read_bytes())
    assert made.unit == "lb"
    assert made.name == "my-body-weight"
    pound = builtin_profile("body-weight").measurement_noise / 0.45359237
    assert made.measurement_noise == pytest.approx(pound, rel=1e-3)
    fever = in_unit(builtin_profile("body-temperature"), "°F")
    assert fever.range == (86.0, 111.2)
    assert fever.jumps.sd == pytest.approx(1.8 * builtin_profile("body-temperature").jumps.sd)


@pytest.mark.parametrize("count", [8, 26])
def test_a_profile_is_made_from_readings_few_or_many(tmp_path, capsys, count):
    random = np.random.default_rng(1)
    level = 40.0 + np.cumsum(random.normal(0.0, 0.5, count))
    rows = "".join(
        f"2026-{1 + day // 28:02d}-{1 + day % 28:02d},{value:.1f}\n"
        for day, value in enumerate(level + random.normal(0.0, 2.0, count))
    )
    (tmp_path / "pain.csv").write_text(f"date,value\n{rows}")
    words = '--unit points --quantity "back pain" --from pain.csv --user anna --out p.json'
    code, _, err = ran(capsys, "new", *shlex.split(words))
    assert code == 0, err
    assert "points is not a unit that kalmap knows." in err
    assert ("too few to fit a profile" in err) == (count == 8)
    made = load_profile((tmp_path / "p.json").read_bytes())
    assert (made.name, made.unit) == ("back-pain", "{points}")
    low, high = made.range
    assert f"The range is {low:g} to {high:g} points, from these readings." in err
    assert low < 30.0 < 50.0 < high
    assert 0.5 < made.measurement_noise < 4.0
    assert main(["check", "pain.csv", "--user", "anna", "--profile", "p.json"]) == 0
    assert "points is a unit of the profile's own" in capsys.readouterr().out


def test_on_a_terminal_it_asks_until_an_answer_is_a_number(tmp_path, capsys, monkeypatch):
    answers = "pain\npoints\n0\nno\n-1\n100\n40\n30\n3,5\n5\n"
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    assert main(["profiles", "new", "--out", "p.json"]) == 0
    said = stderr.getvalue()
    assert "'no' is not a number." in said
    assert "It must be above 0." in said
    made = load_profile((tmp_path / "p.json").read_bytes())
    assert made.range == (0.0, 100.0)
    assert made.population.level_sd == 15.0
    assert made.measurement_noise == pytest.approx(3.5 / 2**0.5, rel=1e-2)
    assert made.level_noise == 5.0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "needs --quantity and --unit"),
        ("--unit kg --quantity luggage", "Built-in profiles in such a unit: body-weight (Body"),
        ("--unit points --quantity pain", "--from FILE"),
        ("--unit ' ' --quantity pain", "Profile field 'unit'"),
        ("--unit kg --quantity x --from nowhere.csv", "There is no file nowhere.csv"),
    ],
)
def test_what_is_missing_for_a_new_profile_is_said(capsys, words, sentence):
    code, _, err = ran(capsys, "new", *shlex.split(words))
    assert code == 2
    assert sentence in err


def test_profiles_are_suggested_by_unit_and_by_name():
    assert fitting("mmol/L")[:2] == ["glucose-cgm-mmol", "glucose-fingerstick-mmol"]
    assert fitting("kPa", ["SYS"]) == ["blood-pressure-systolic"]
    assert fitting("degF") == ["body-temperature"]
    assert fitting(None, ["Resting Heart Rate"]) == ["resting-heart-rate"]
    assert fitting("points") == []
    assert built_in_of("glucose-cgm-mmol-tuned") == "glucose-cgm-mmol"
    assert built_in_of("glucose") is None


def test_a_comma_that_may_separate_thousands_is_asked_about(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("1,500\n0,5\n"))
    assert ask_number("How far?") == 0.5
    assert "Is 1,500 1500 or 1.500? Write it without the comma." in capsys.readouterr().err
