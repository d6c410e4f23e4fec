"""The pages in docs/ name only what exists, and their drawing is that of the state machine."""

import ast
import re

import drawing
from tests.support.template import ROOT

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
LAWS = (ROOT / "docs" / "laws.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
#: The repository's folders, as far as pages name what is in them.
FOLDERS = r"(?:functions|cli|statemachine|tests|benchmarks|examples|docs|\.ci)"


def names_of_tests(file):
    """The names of the tests in a file; none if there is no such file."""
    if not (ROOT / file).exists():
        return set()
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_drawing_of_the_state_machine_is_that_of_its_definition():
    sentence = "the state machine has changed: draw it by make statemachine"
    assert drawing.with_drawing(ARCHITECTURE) == ARCHITECTURE, sentence


def test_every_law_names_tests_that_exist():
    missing = [
        f"{file}::{test}"
        for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", LAWS)
        if test not in names_of_tests(file)
    ]
    assert missing == []


def test_every_law_has_a_number_and_a_test():
    laws = re.split(r"^## ", LAWS, flags=re.MULTILINE)[1:]
    assert [law.partition(".")[0] for law in laws] == [str(n) for n in range(1, len(laws) + 1)]
    assert [law.splitlines()[0] for law in laws if "`tests/" not in law] == []


def test_every_path_in_a_page_exists():
    paths = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(rf"`({FOLDERS}/[\w./-]+)(?:::\w+)?`", page.read_text())
    }
    assert {page for page, _ in paths} >= {"CONTRIBUTING.md", "architecture.md", "laws.md"}
    assert [(page, path) for page, path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_module_in_a_page_exists():
    folders = ("functions", "cli", "statemachine", "tests", "benchmarks", "examples")
    modules = [f"/{path}" for folder in folders for path in (ROOT / folder).rglob("*.py")]
    modules += [f"/{path.name}" for path in ROOT.glob("*.py")]
    named = {
        (page.name, module)
        for page in PAGES
        for module in re.findall(r"`((?:\w+/)*\w+\.py)`", page.read_text())
    }
    assert named
    missing = [
        (page, name)
        for page, name in sorted(named)
        if not any(module.endswith(f"/{name}") for module in modules)
    ]
    assert missing == []


def test_every_folder_of_the_library_in_the_architecture_exists():
    folders = re.findall(r"[: ]kalmap/(\w+) ", ARCHITECTURE)
    assert folders
    assert [name for name in folders if not (ROOT / "functions" / "kalmap" / name).is_dir()] == []
