"""The JSON schema of profiles, held to the decoder both ways."""

import json

import jsonschema
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kalmap import units
from kalmap.errors import InvalidProfile
from kalmap.profile import FORMER, builtin_profile, builtin_profiles, load_profile
from kalmap.profile_fields import FIELDS
from kalmap_cli.main import main
from kalmap_cli.profile_tools.schema import field_table, json_schema, schema_text
from tests.support.template import ROOT

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
GOOD = msgspec.to_builtins(builtin_profile("body-weight"))
#: What no schema can say.
ONLY_THE_DECODER = ("the first must be below the second", "which is not in 'sources'")
#: Where a value is put: every field, every section, and fields that do not exist.
PLACES = sorted({
    *FIELDS, *(path.partition(".")[0] for path in FIELDS), *FORMER, "$schema", "range.0",
    "colour", "window.hours", "sources.scale", "sources.", "biases.scale", "biases.phone",
    "population.level_mean", "rhythm.daily.5",
})  # fmt: skip
ENDS = sorted({end for field in FIELDS.values() for end in (field.low, field.high) if end})
VALUES = (
    st.sampled_from([end * factor for end in ENDS for factor in (1.0, 1.001, 0.999)])
    | st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.floats(-1e13, 1e13)
    | st.text("kg{} lbLB°/_-.x", max_size=50)
    | st.sampled_from([*units.SPELLINGS, "{points}", "{ }", "{}", " KG ", "mmol<180.1558>/L"])
    | st.sampled_from([[], {}, [1.0], [1, 2], [2, 1], ["x"], [0] * 7, [0] * 24, {"scale": 1}, [None]])  # noqa: E501
)  # fmt: skip


@st.composite
def contents(draw):
    """The built-in profile with a few fields replaced or taken out."""
    content = json.loads(json.dumps(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(PLACES)).split(".")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else {}
        if isinstance(place, list) and last.isdigit() and int(last) < len(place):
            place[int(last)] = draw(VALUES)
        elif isinstance(place, dict) and draw(st.booleans()) and draw(st.booleans()):
            place.pop(last, None)
        elif isinstance(place, dict):
            place[last] = draw(VALUES)
    return content


@given(contents())
def test_the_schema_allows_what_the_decoder_reads_and_nothing_else(content):
    try:
        load_profile(json.dumps(content).encode())
        refusal = None
    except InvalidProfile as error:
        refusal = str(error)
    found = [error.message for error in VALIDATOR.iter_errors(content)]
    if refusal is None:
        assert found == []
    elif not any(words in refusal for words in ONLY_THE_DECODER):
        assert found, refusal


def test_every_built_in_profile_and_example_fits_the_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    folder = ROOT / "functions" / "kalmap" / "profiles"
    files = [*folder.glob("*.json"), *(ROOT / "examples").glob("*.json")]
    assert len(files) > len(builtin_profiles())
    for file in files:
        VALIDATOR.validate(json.loads(file.read_text()))


def test_the_shipped_schema_and_the_page_are_made_from_the_code(capsysbinary, tmp_path):
    advice = "write it anew: kalmap profiles schema --out docs/profile.schema.json"
    assert (ROOT / "docs" / "profile.schema.json").read_bytes() == schema_text(), advice
    assert main(["profiles", "schema"]) == 0
    assert capsysbinary.readouterr().out == schema_text()
    assert main(["profiles", "schema", "--out", str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_bytes() == schema_text()
    page = (ROOT / "docs" / "profiles.md").read_text()
    assert field_table() in page, "put the table of schema.field_table() into docs/profiles.md"


def test_a_profile_may_name_its_schema():
    assert load_profile(GOOD | {"$schema": "./profile.schema.json"}) == load_profile(GOOD)
