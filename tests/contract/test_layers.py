"""The library's layers: who may import whom, and that only its edges know AWS, clock and chance."""

import ast
import re

import pytest

from tests.support.template import ROOT

LIBRARY = ROOT / "functions" / "kalmap"
#: What each folder may import besides its own modules and the library's root, "".
LOWER = {
    "": set(),
    "filter": set(),
    "records": set(),
    "store": set(),
    "results": {"filter", "records", "store"},
    "batch": {"records", "results", "store"},
    "pipeline": {"batch", "filter", "records", "results", "store"},
    "api": {"batch", "filter", "records", "results", "store"},
}
AWS = {"boto3", "botocore", "aws_lambda_powertools", "handlers"}
OUTSIDE = {"os", "random", "time", "socket", "subprocess", "urllib"}
#: Modules that wait, meter themselves, or draw lots, and say so.
WAITING = {
    "store/backoff.py", "store/breaker.py", "api/cache.py", "api/online.py",
    "pipeline/aggregate_results.py",
}  # fmt: skip
MODULES = sorted(str(path.relative_to(LIBRARY)) for path in LIBRARY.rglob("*.py"))


def imports(module):
    """What a module imports when it runs; imports for type checkers alone do not count."""
    tree = ast.parse((LIBRARY / module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def folder(module):
    return module.partition("/")[0] if "/" in module else ""


def test_the_rules_name_every_folder_of_the_library_and_only_modules_that_are_there():
    assert {folder(module) for module in MODULES} == set(LOWER)
    assert set(MODULES) >= WAITING


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_lies_below_it(module):
    own = folder(module)
    named = {name.split(".")[1] for name in imports(module) if name.startswith("kalmap.")}
    others = {name for name in named if (LIBRARY / name).is_dir()} - {own}
    assert others <= LOWER[own]


@pytest.mark.parametrize("module", MODULES)
def test_only_the_store_knows_aws_and_only_who_waits_knows_clock_and_chance(module):
    tops = {name.partition(".")[0] for name in imports(module)}
    assert folder(module) == "store" or not tops & AWS
    clock = re.search(r"\b(datetime|date)\.(now|today)\(", (LIBRARY / module).read_text())
    assert module in WAITING or not (tops & OUTSIDE or clock)
