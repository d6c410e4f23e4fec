"""How the tests are arranged."""

import ast

from tests.support.template import ROOT

PLACES = ("tests", "benchmarks")


def imported(path):
    """The names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_what_tests_share_is_in_support_and_is_imported_from_nowhere_else():
    violations = [
        (str(path.relative_to(ROOT)), name)
        for folder in PLACES
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path)
        if name.startswith("tests.") and not name.startswith("tests.support.")
    ]
    assert violations == []
