"""How long a module may be: what is longer has a second idea in it."""

from tests.support.template import ROOT

MOST_LINES = 400
#: Modules of tests/e2e may be longer: each starts a local cloud, which its tests share.
FOLDERS = ("functions", "cli", "statemachine", "benchmarks", "examples", "tests")
E2E = ROOT / "tests" / "e2e"


def test_no_module_is_longer_than_a_reader_keeps_in_mind():
    modules = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in modules
        if E2E not in path.parents
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
    assert len(lengths) > 400
