"""The JSON schema of profiles, for editors; and the table of fields in docs/profiles.md.

Both are made from `kalmap.profile_fields`. Two rules cannot be said in a schema: the order of
`range`, and that the names in `biases` are among the `sources`.
"""

import json
import re
from typing import Any

import msgspec

from kalmap import units
from kalmap.profile import FORMER, MAX_UNIT, SCHEMA
from kalmap.profile_fields import FIELDS, Field, Profile

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LENGTHS = {"daily": 24, "weekly": 7}
_NULL = {"type": "null"}
_SPECIAL = re.compile(r"[\[\](){}.*+?^$|\\]")
_ANY_SPACE = r"\s*"
#: The same for the regular expression of units.py.
_MOLAR = r"[mM][mM][oO][lL]<180\.15[0-9]*>/[lL]"


def json_schema() -> dict[str, Any]:
    """The schema of a profile's file."""
    found = msgspec.json.schema(Profile)
    definitions: dict[str, Any] = found["$defs"]
    for name, definition in definitions.items():
        definition["description"] = " ".join(definition["description"].split())
        if name != "Profile":
            definition["properties"] = {
                field: _or_null(content) for field, content in definition["properties"].items()
            }
    profile = definitions.pop("Profile")
    for part, length in _LENGTHS.items():
        numbers = definitions["Rhythm"]["properties"][part]
        shorter = {"maxItems": 0}
        numbers["anyOf"] = [{"minItems": length, "maxItems": length}, shorter]
    given = {"type": "number"}
    definitions["Population"]["if"] = {
        "anyOf": [
            {"required": [field], "properties": {field: given}}
            for field in ("level_mean", "level_sd")
        ]
    }
    definitions["Population"]["then"] = {
        "required": ["level_mean", "level_sd"],
        "properties": {"level_mean": given, "level_sd": given},
    }
    properties = profile["properties"]
    properties["unit"] |= {"anyOf": [{"enum": list(units.KNOWN)}, {"pattern": _units()}]}
    properties[SCHEMA] = {"type": "string", "description": "Where this schema is, for an editor."}
    for former in FORMER:
        properties[former] = {
            "deprecated": True,
            "description": "Of kalmap 0.1; it is read and not used.",
        }
    return {"$schema": _DIALECT, **profile, "title": "A profile of kalmap", "$defs": definitions}


def _or_null(content: dict[str, Any]) -> dict[str, Any]:
    """In a section, JSON's null stands for a number that is not given."""
    if content.get("type") not in {"number", "integer"}:
        return content
    described = {key: content.pop(key) for key in ("description", "default") if key in content}
    return described | {"anyOf": [content, _NULL]}


def _units() -> str:
    """Known units in any spelling, and any other in braces."""
    known = [*map(_in_any_case, units.SPELLINGS), _MOLAR]
    # With braces, blanks may stand inside of them, too.
    spelled = "|".join(known)
    own = rf"\{{{_ANY_SPACE}\S(.{{0,{MAX_UNIT - 2}}}\S)?{_ANY_SPACE}\}}"
    return rf"^{_ANY_SPACE}({spelled}|{own}){_ANY_SPACE}$"


def _in_any_case(text: str) -> str:
    # Only what every kind of regular expression lets one escape.
    return "".join(
        f"[{letter.lower()}{letter.upper()}]"
        if letter.lower() != letter.upper()
        else _SPECIAL.sub(r"\\\g<0>", letter)
        for letter in text
    )


def schema_text() -> bytes:
    """The schema as the text of a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False).encode() + b"\n"


def field_table() -> str:
    """The fields as a table in Markdown."""
    lines = ["| field | unit | from | to | default | effect |", "|---|---|--:|--:|---|---|"]
    for field in FIELDS.values():
        low, high = field.low, field.high
        bounds = " | " if low is None or high is None else f"{low:g} | {high:g}"
        unit = field.unit.replace("u", "`u`", 1) if field.unit.startswith("u") else field.unit
        effect = field.effect.replace("|", "\\|")
        lines.append(
            f"| `{field.path}` | {unit} | {bounds} | {default_of(field, 'required')} | {effect} |"
        )
    return "\n".join(lines)


def default_of(field: Field, required: str = "") -> str:
    """A field's default in words."""
    if field.is_required:
        return required
    default = field.default
    if default is None or default in ((), {}, ""):
        return "none"
    if isinstance(default, msgspec.Struct):
        return "as below"
    return f"{default:.4g}" if isinstance(default, float) else str(default)
