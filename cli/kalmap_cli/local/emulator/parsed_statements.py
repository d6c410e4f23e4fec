"""A PartiQL statement is parsed once for each text, and its parameters are put in.

ministack parses a statement at each execution, in a batch of statements even twice. For a write
with a dozen parameters that is most of its work. Here the parsed form of a text is kept, with a
mark where each parameter belongs. Texts whose parsing depends on a parameter's value are parsed as
ever.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ministack.services import _dynamodb_keywords, dynamodb

#: How many texts are kept.
_TEXTS = 256
#: More parameters than any text has marks: a text has at most 8,192 characters.
_MANY = 10_000
#: Of these the parser looks at the value: it compares types, and joins values to a set.
_DEPENDS_ON_VALUES = frozenset(
    ("<", ">", "<=", ">=", "<<", "[", "BETWEEN", "IN", "LIKE", "EXISTS", "SET_ADD", "SET_DELETE")
)

_parse_anew = _dynamodb_keywords.parse_statement
#: The latest parsed statement with its text and parameters, which a batch asks for twice.
_latest: tuple[Any, Any, Any] = (None, None, None)


def install() -> None:
    """Let ministack parse each text once."""
    parse = dynamodb._parse_partiql  # noqa: SLF001 - the version is pinned exactly
    dynamodb.parse_partiql_statement = parse_statement

    def parse_or_reuse(statement: Any, parameters: Any) -> Any:
        global _latest  # noqa: PLW0603 - one for the process, and replaced as a whole
        text, values, parsed = _latest
        if text is not statement or values is not parameters or not parameters:
            parsed = parse(statement, parameters)
            _latest = statement, parameters, parsed
        return parsed

    dynamodb._parse_partiql = parse_or_reuse  # noqa: SLF001


def parse_statement(text: str, parameters: Sequence[Any] | None) -> Any:
    """Parse a statement as ministack does, with its errors."""
    values = parameters or ()
    form, marks = _form(text)
    if form is None or len(values) < marks:
        return _parse_anew(text, parameters)
    return _filled(form, values)


class _Mark(dict[str, Any]):
    """Where a parameter belongs. It is empty, so that the parser finds no type in it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Marks:
    """As many marks as the parser asks for, in place of a list of parameters."""

    used = 0

    def __len__(self) -> int:
        return _MANY

    def __getitem__(self, number: Any) -> _Mark:
        self.used = max(self.used, number + 1)
        return _Mark(number)


@lru_cache(_TEXTS)
def _form(text: str) -> tuple[Any, int]:
    """A text's parsed form, and the number of its marks; None if it depends on the parameters."""
    marks = _Marks()
    try:
        tokens = _dynamodb_keywords._tokenize(text)  # noqa: SLF001
        if any(token[1].upper() in _DEPENDS_ON_VALUES for token in tokens):
            return None, 0
        return _parse_anew(text, marks), marks.used
    except Exception:  # noqa: BLE001 - the parser may not know what to do with a mark
        return None, 0


def _filled(node: Any, values: Sequence[Any]) -> Any:
    """A copy of a form with the parameters in place of their marks."""
    kind = type(node)
    if kind is tuple:
        return tuple([_filled(part, values) for part in node])
    if kind is list:
        return [_filled(part, values) for part in node]
    if kind is dict:
        return {name: _filled(part, values) for name, part in node.items()}
    return values[node.number] if kind is _Mark else node
