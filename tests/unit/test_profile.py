"""Profiles: what is accepted, what is refused and in which words."""

import json

import msgspec
import pytest

from kalmap import units
from kalmap.errors import InvalidProfile
from kalmap.profile import MAX_NAME, builtin_profile, digest, load_profile
from kalmap.readings import UNKNOWN_SOURCE
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse

GOOD = msgspec.to_builtins(builtin_profile("body-weight"))


def test_the_built_in_profile_survives_its_own_json():
    profile = builtin_profile("body-weight")
    again = load_profile(msgspec.json.encode(profile))
    assert again == profile
    assert digest(again) == digest(profile)
    assert len(digest(profile)) == 8


def test_an_unknown_built_in_name_lists_those_there_are():
    with pytest.raises(InvalidProfile, match=r"'blood'.*body-weight"):
        builtin_profile("blood")
    with pytest.raises(InvalidProfile, match="Is body-weight meant"):
        builtin_profile("body-wieght")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("slope_prior", -0.5, "'slope_prior' is -0.5; it must be a number from 0"),
        ("slope_prior", "16", "'slope_prior' is '16'"),
        ("slope_prior", True, "'slope_prior' is True"),
        ("slope_prior", None, "'slope_prior' is None"),
        ("faults", {"share": 0.6}, "'faults.share' is 0.6; it must be a number from 0 to 0.5"),
        ("faults", {"often": 1}, "unknown field 'faults.often'"),
        ("jumps", {"sd": 0}, "'jumps.sd' is 0; it must be a number from 1e-09"),
        ("learning", {"prior": 0.5}, "'learning.prior' is 0.5; it must be a number from 1 to 63"),
        ("learning", 4, "'learning' is 4; it must be an object"),
        ("population", {"level_mean": 75.0}, "'population' has no 'level_sd'"),
        ("biases", {"phone": 1.0}, "'biases' has the name 'phone', which is not in 'sources'"),
        ("biases", {"scale": "x"}, "'biases.scale' is 'x'"),
        ("rhythm", {"weekly": [1.0]}, "'rhythm.weekly' is [1.0]; it must be 7 numbers, or none"),
        ("rhythm", {"daily": 24 * ["x"]}, "'rhythm.daily[0]' is 'x'"),
        ("rhythm", {"yearly": []}, "unknown field 'rhythm.yearly'"),
        ("measurement_noise", -0.5, "'measurement_noise' is -0.5; it must be a number from 1e-09"),
        ("measurement_noise", float("nan"), "'measurement_noise' is nan"),
        ("level_noise", -1e-9, "'level_noise'"),
        ("level_noise", float("inf"), "'level_noise' is inf"),
        ("window", {"readings": 2.5}, "'window.readings' is 2.5; it must be a whole number"),
        ("range", [80.0, 20.0], "the first must be below the second"),
        ("range", [20.0], "two numbers"),
        ("range", [20.0, "x"], "'x'"),
        ("name", "Body Weight", "'name' is 'Body Weight'"),
        ("name", "x" * (MAX_NAME + 1), f"1 to {MAX_NAME}"),
        ("name", 3, "'name' is 3"),
        ("unit", "", "'unit' is ''"),
        ("unit", "{ }", "'unit' is '{ }'"),
        ("unit", 5, "'unit' is 5"),
        ("unit", "bananas", "'unit' is 'bananas', which is none of kg, g, mg,"),
        ("unit", "kgg", "stands in braces: '{kgg}'"),
        ("unit", "{" + "x" * 33 + "}", "1 to 32"),
        ("description", 5, "'description' is 5"),
        ("sources", {"scale": 0.0}, "'sources.scale' is 0.0"),
        ("sources", ["scale"], "'sources' is ['scale']"),
        ("sources", {"\ud800": 1.0}, "no form in JSON"),
        ("unit", "\ud800", "no form in JSON"),
        ("sources", {"": 1.0}, "'sources' has the name ''"),
        ("sources", {str(i): 1.0 for i in range(255)}, "at most 254"),
        ("window", {"readings": 25}, "'window.readings' is 25; it must be a whole number"),
        ("window", {"hours": 25}, "unknown field 'window.hours'"),
        ("window", 24, "'window' is 24"),
        ("colour", "red", "unknown field 'colour'; known are: name, unit"),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_what_is_allowed(field, value, words):
    with pytest.raises(InvalidProfile) as caught:
        load_profile(GOOD | {field: value})
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    "field", ["name", "unit", "range", "slope_prior", "measurement_noise", "level_noise"]
)
def test_a_missing_field_is_named(field):
    with pytest.raises(InvalidProfile, match=f"no field '{field}'"):
        load_profile({key: value for key, value in GOOD.items() if key != field})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"name": "x",}', "line 1, column 14"),
        (b'{\n// mine\n"name": "x"}', "comments are not allowed"),
        ('{"name": "x"}'.encode("utf-16"), "it is UTF-16. Save it as UTF-8."),
        (b" \n", "it is empty"),
    ],
)
def test_what_is_wrong_with_a_file_that_is_no_json_is_said(data, words):
    with pytest.raises(InvalidProfile) as caught:
        load_profile(data)
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [b"{", b"[1]", b"\xff\xfe", b"3", b""])
def test_a_profile_that_is_not_a_json_object_is_refused_with_a_sentence(data):
    with pytest.raises(InvalidProfile, match=r"JSON.*\.$"):
        load_profile(data)


def test_the_digest_changes_with_every_field_but_the_description():
    base = load_profile(GOOD)
    assert digest(load_profile(GOOD | {"description": "other"})) == digest(base)
    assert digest(load_profile(json.loads(json.dumps(GOOD, sort_keys=True)))) == digest(base)
    others = [
        {"level_noise": 15.0}, {"unit": "lb"}, {"name": "x"}, {"window": {"readings": 3}},
        {"sources": {}}, {"future_tolerance": 0.0}, {"faults": {"share": 0.01}}, {"learning": None},
        {"population": {}}, {"jumps": {"sd": 2.0}}, {"biases": {"scale": 0.1}},
        {"rhythm": {"weekly": 7 * [0.1]}},
    ]  # fmt: skip
    digests = {digest(load_profile(GOOD | other)) for other in others}
    assert len(digests | {digest(base)}) == len(others) + 1


def test_a_profile_of_the_older_form_is_read_without_the_fields_that_are_not_used():
    former = {"gate": 16.0, "rate_limit": 1.0, "recovery": 3, "quality": {"fit": 0.5}}
    assert load_profile(GOOD | former) == load_profile(GOOD)


def test_a_profile_may_leave_out_every_section_but_the_noises():
    sections = (
        "population",
        "faults",
        "jumps",
        "learning",
        "biases",
        "rhythm",
        "sources",
        "window",
    )
    profile = load_profile({key: value for key, value in GOOD.items() if key not in sections})
    assert profile.population.level_mean is None
    assert profile.faults.share > 0.0
    assert load_profile(msgspec.json.encode(profile)) == profile


def test_sources_have_codes_by_name_and_unknown_ones_share_one():
    profile = load_profile(GOOD | {"sources": {"b": 1.0, "a": 2.0}})
    assert profile.source_names == ("a", "b")
    assert [profile.source_code(s) for s in ("a", "b", "c", None)] == [
        0, 1, UNKNOWN_SOURCE, UNKNOWN_SOURCE
    ]  # fmt: skip


def test_units_convert_by_their_exact_definitions():
    assert units.conversion("lb", "kg") == (0.45359237, 0.0)
    assert units.conversion("LBS", "Kg") == (0.45359237, 0.0)
    assert units.conversion("kg", "KG") == (1.0, 0.0)
    assert units.conversion("points", "points") == (1.0, 0.0)
    assert units.conversion("g", "kg") == (0.001, 0.0)
    assert units.conversion("ft", "in") == (pytest.approx(12.0, rel=1e-15), 0.0)
    assert units.conversion("mmol/L", "mg/dL") == (pytest.approx(18.0156), 0.0)
    assert units.conversion("g/L", "mg/dL") == (pytest.approx(100.0), 0.0)
    assert units.conversion("kPa", "mmHg") == (pytest.approx(7.500616827), 0.0)
    assert units.conversion("kg", "cm") is None
    assert units.conversion("points", "kg") is None


@pytest.mark.parametrize(
    ("fahrenheit", "celsius"), [(98.6, 37.0), (32.0, 0.0), (-40.0, -40.0), (104.0, 40.0)]
)
@pytest.mark.parametrize("spelling", ["°F", "degF", "Fahrenheit", "ºF", "℉", "F"])
def test_temperatures_are_converted_with_their_offset(fahrenheit, celsius, spelling):
    factor, offset = units.conversion(spelling, "Celsius")
    assert fahrenheit * factor + offset == pytest.approx(celsius, abs=1e-12)
    factor, offset = units.conversion("°C", spelling)
    assert celsius * factor + offset == pytest.approx(fahrenheit, abs=1e-12)


def test_readings_in_fahrenheit_are_read_by_a_profile_in_celsius():
    profile = load_profile(GOOD | {"unit": "degC", "range": [25, 45], "population": {}})
    line = {"user_id": "u", "timestamp": "2026-03-01T07:12:00Z"}
    records = [{"value": 98.6, "unit": "degF"}, {"value": 37.0}, {"value": 37.0, "unit": "kg"}]
    data = msgspec.json.Encoder().encode_lines([line | one for one in records])
    parsed = parse([data], Jsonl(), profile)
    assert parsed.value.tolist() == [pytest.approx(37.0, abs=1e-12), 37.0]
    assert [record.ordinal for record in parsed.unreadable] == [2]
    assert units.mix_ups(profile.unit) == ()


def test_every_mix_up_has_its_inverse():
    ratios = units.mix_ups("kg")
    assert 0.45359237 in ratios
    for ratio in ratios:
        assert any(abs(ratio * other - 1.0) < 1e-12 for other in ratios)
    assert units.mix_ups("points") == ()


@pytest.mark.parametrize("unit", ["KG", "kilograms", "mmol/L", "mmHg", "lb", "{kg}"])
def test_a_known_unit_goes_by_one_name(unit):
    assert load_profile(GOOD | {"unit": unit}).unit == units.canonical(unit)
    assert units.canonical(unit) in units.KNOWN


def test_a_custom_unit_is_in_braces_and_is_never_converted():
    profile = load_profile(GOOD | {"unit": "{Points}"})
    assert load_profile(msgspec.json.encode(profile)) == profile
    assert units.mix_ups(profile.unit) == ()
    line = {"user_id": "u", "timestamp": "2026-03-01T07:12:00Z", "value": 80}
    records = [{"unit": unit} for unit in ("points", "{points}", None, "kg", "point")]
    data = msgspec.json.Encoder().encode_lines([line | one for one in records])
    parsed = parse([data], Jsonl(), profile)
    assert parsed.value.tolist() == [80.0] * 3
    assert [record.ordinal for record in parsed.unreadable] == [3, 4]
    # States that were folded under it before units stood in braces are still its own.
    assert digest(profile) == digest(msgspec.structs.replace(profile, unit="points"))
