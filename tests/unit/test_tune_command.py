"""`kalmap tune` as a command: what it writes, what it says, and what it refuses."""

import gzip
import itertools

import msgspec
import numpy as np
import pytest

from kalmap.profile import load_profile
from kalmap_cli.commands.tune import tuned_name
from kalmap_cli.errors import DONE, FAILED, WRONG_USAGE
from kalmap_cli.main import main
from tests.support.tuning import BASE, random_walks


@pytest.mark.thorough
def test_a_profile_that_is_worse_than_the_given_one_is_not_written(tmp_path, capsys):
    # The users that are held out have the noise of body-weight, and the others a tenth of it.
    value = random_walks(30, 20, 0.0, 0.02, 22)
    noise = np.full(30, 0.04)
    noise[np.random.default_rng(1).permutation(30)[21:]] = 0.6
    value += noise[:, None] * np.random.default_rng(23).normal(size=value.shape)
    file, out = tmp_path / "readings.csv", tmp_path / "worse.json"
    rows = [
        f"u{user:02},2026-03-{day + 1:02}T07:00:00Z,{reading:.3f},scale"
        for user, readings in enumerate(value)
        for day, reading in enumerate(readings)
    ]
    file.write_text("\n".join(["user_id,timestamp,value,source", *rows, ""]))
    command = ["tune", str(file), "--out", str(out)]
    assert main(command) == FAILED
    assert not out.exists()
    said = capsys.readouterr().err
    assert "body-weight-tuned is worse than body-weight on users that it did not see" in said
    assert "Keep body-weight, or type --even-if-worse" in said
    assert main([*command, "--even-if-worse"]) == DONE
    assert load_profile(out.read_bytes()).name == "body-weight-tuned"


@pytest.mark.thorough
@pytest.mark.parametrize(("copies", "spread"), [(2, 0.0), (5, 0.1)])
def test_copies_a_few_seconds_later_do_not_spoil_the_fit(copies, spread, tmp_path, capsys):
    value = np.repeat(random_walks(40, 25, 0.5, 0.0, 28), copies, axis=1)
    value += spread * np.random.default_rng(29).normal(size=value.shape)
    rows = [
        f"u{user:02},2026-03-{at // copies + 1:02}T07:00:{at % copies * 3:02}Z,{reading:.1f},scale"
        for user, readings in enumerate(value)
        for at, reading in enumerate(readings)
    ]
    file, out = tmp_path / "copies.csv", tmp_path / "profile.json"
    file.write_text("\n".join(["user_id,timestamp,value,source", *rows, ""]))
    assert main(["tune", str(file), "--out", str(out)]) == DONE
    found = load_profile(out.read_bytes())
    assert found.measurement_noise == pytest.approx(0.5, rel=0.15)
    assert found.slope_noise == 0.0
    assert "minutes of the user's reading before" in capsys.readouterr().err


@pytest.mark.thorough
def test_tune_writes_a_profile_that_run_accepts(faulty_readings, tmp_path, capsys):
    packed = tmp_path / "readings.jsonl.gz"
    lines = faulty_readings.read_bytes().splitlines(keepends=True)[:1200]
    packed.write_bytes(gzip.compress(b"".join(lines)))
    before = packed.read_bytes()
    out = tmp_path / "mine.json"
    assert main(["tune", str(packed), "--out", str(out), "--name", "mine"]) == DONE
    assert packed.read_bytes() == before
    profile = load_profile(out.read_bytes())
    assert profile.name == "mine"
    assert profile.range == BASE.range
    assert profile.description.startswith("body-weight, fitted by kalmap tune to ")
    said = capsys.readouterr().err
    assert str(out) in said
    for words in ("last value", "Holt", "body-weight", "mine", "the fit did not see"):
        assert words in said


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["u,2026-01-01T00:00:00Z,80"], "too few to fit"),
        ([f"u,2026-01-{day:02}T00:00:00Z,80" for day in range(1, 29)], "never differ"),
        (
            [f"u{n},2026-01-{day:02}T00:00:00Z,{70 + n}" for n in range(9) for day in range(1, 29)],
            "Each of the 9 users has the same value",
        ),
        (
            [f"u,2026-01-{1 + s // 30 * 27:02}T00:00:{s:02}Z,{s % 7}0" for s in range(50)],
            "if one is taken of those within",
        ),
    ],
)
def test_hopeless_readings_are_refused_in_a_sentence(rows, words, tmp_path, capsys):
    file = tmp_path / "few.csv"
    file.write_text("\n".join(itertools.chain(["user_id,timestamp,value"], rows, [""])))
    assert main(["tune", str(file)]) == WRONG_USAGE
    assert words in capsys.readouterr().err


@pytest.mark.thorough
def test_few_readings_that_differ_need_no_more_than_sentences(tmp_path, capsys):
    # One reading of 40 users' 800 is another one.
    rows = [
        f"u{user:02},2026-01-{day + 1:02}T00:00:00Z,{70 + user + (user == 5 and day == 7)}"
        for user in range(40)
        for day in range(20)
    ]
    file = tmp_path / "same.csv"
    file.write_text("\n".join(["user_id,timestamp,value", *rows, ""]))
    assert main(["tune", str(file), "--out", str(tmp_path / "p.json")]) in (DONE, FAILED)
    said = capsys.readouterr().err
    assert "nan" not in said
    assert "correlated" not in said


def test_an_invalid_profile_name_is_refused(faulty_readings, capsys):
    assert main(["tune", str(faulty_readings), "--name", "My Weight"]) == WRONG_USAGE
    assert "lower-case" in capsys.readouterr().err


def test_a_fitted_profile_has_a_name_of_its_own_also_when_it_is_fitted_again():
    names = ["body-weight"]
    for _ in range(3):
        names.append(tuned_name(names[-1]))
    assert names[1:] == ["body-weight-tuned", "body-weight-tuned-2", "body-weight-tuned-3"]
    longest = tuned_name("x" * 48)
    assert longest == "x" * 42 + "-tuned"
    assert load_profile(msgspec.to_builtins(BASE) | {"name": tuned_name(longest)})
