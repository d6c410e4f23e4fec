"""The statements of README.md are true. tests/e2e/test_readme_commands.py runs its commands."""

import json
import re
import subprocess
import tomllib

import msgspec
import pytest
import yaml

from kalmap.api.openapi import OPERATIONS
from kalmap.batch import chunks
from kalmap.batch.identity import MAX_OBJECTS, read_input
from kalmap.outcome import Reason, Status
from kalmap.profile import builtin_profile, load_profile
from kalmap.records import measurement
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.measurement import measurement_of
from kalmap.results.lines import Result
from tests.support.readme_blocks import KALMAP, ROOT, TEXT, api_blocks, blocks, commands
from tests.support.template import definition


def test_every_block_is_of_a_language_that_these_tests_know() -> None:
    fences = re.findall(r"^```(.*)$", TEXT, re.MULTILINE)
    assert set(fences) == {"sh", "json", ""}
    assert len(fences) == 2 * (len(blocks("sh")) + len(blocks("json")))


def test_every_command_is_of_a_kind_that_some_test_runs() -> None:
    assert {words[0] for words in commands()} == {"make", "sam", KALMAP}


def test_every_entry_of_the_api_is_called() -> None:
    """tests/e2e/test_readme_commands.py runs these lines."""
    shown = "\n".join(api_blocks())
    for operation in OPERATIONS:
        path = re.sub(r"\\{\w+\\}", r"[^/\\s\"?]+", re.escape(operation.path))
        call = rf'api "?{path}"?\s+-' if operation.request else rf'api "?{path}(\?\S+)?"?$'
        if operation.path == "/openapi.json":
            assert "`api /openapi.json`" in TEXT
        else:
            assert re.search(call, shown, re.MULTILINE), f"{operation.method} {operation.path}"


def test_figures_are_no_better_than_those_that_were_measured() -> None:
    text = " ".join(TEXT.split())
    measured = (ROOT / "docs" / "benchmarks.md").read_text()

    def measured_figure(pattern: str) -> float:
        return float(re.findall(pattern, measured, re.MULTILINE)[0])

    assert "A million readings of 35,000 users take 23 seconds" in text
    assert measured_figure(r"^\| 1,\d{3},\d{3} \| 3[45],\d{3} \| ([\d.]+) ") <= 23
    assert "less than a fifth of that of an exponential average" in text
    assert measured_figure(r"^with faults: RMSE below the exponential average's by +([\d.]+)") > 0.8
    assert "95 % intervals hold 97 %" in text
    assert (
        round(measured_figure(r"^with faults: coverage of the 95 % interval +([\d.]+)"), 2) == 0.97
    )


def test_every_make_target_in_the_pages_exists() -> None:
    shown = {words[1] for words in commands() if words[0] == "make"}
    shown |= set(re.findall(r"`make ([a-z-]+)`", TEXT + (ROOT / "CONTRIBUTING.md").read_text()))
    assert {"demo", "test"} <= shown
    for target in shown:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_sam_needs_no_option_because_samconfig_has_them() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    assert [words for words in commands() if words[0] == "sam"] == [
        ["sam", "build"],
        ["sam", "deploy"],
    ]
    deploy = settings["deploy"]["parameters"]
    assert deploy["resolve_s3"]
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    runs = [words for words in commands() if "--stack" in words]
    assert all(words[words.index("--stack") + 1] == deploy["stack_name"] for words in runs)


def test_the_measurement_shown_can_be_read() -> None:
    shown = next(block for block in blocks("json") if "measurement_id" in block)
    fields = Jsonl().decode_line(shown.encode())
    read = measurement_of(fields)
    assert set(fields) == {field.name for field in msgspec.structs.fields(read)}


def test_the_result_shown_has_every_field_in_its_order() -> None:
    shown = next(block for block in blocks("json") if "level_sd" in block)
    fields = json.loads(shown)
    assert tuple(fields) == Result.__struct_fields__
    msgspec.convert(fields, Result)


def test_the_execution_input_shown_is_accepted() -> None:
    shown = next(block for block in blocks("json") if "write_mode" in block)
    execution_input = json.loads(shown)
    assert msgspec.to_builtins(read_input(execution_input).source) == execution_input["source"]
    assert read_input({"source": execution_input["source"]}) == read_input(execution_input), (
        "shown are the defaults"
    )


def test_the_statuses_and_reasons_in_the_readme_exist() -> None:
    paragraph = re.search(r"- `status` is (.*?)\n- ", TEXT, re.DOTALL)
    assert paragraph
    statuses, reasons = paragraph.group(1).split("`reason`")
    assert set(re.findall(r"`(\w+)`", statuses)) == {status.label for status in Status}
    assert set(re.findall(r"`(\w+)`", reasons)) <= {reason.label for reason in Reason}


def test_the_states_in_the_readme_are_those_of_the_state_machine() -> None:
    state_machine = definition()
    table = re.findall(r"^\| ((?:[A-Z]\w+(?:, )?)+) \|", TEXT, re.MULTILINE)
    named = [name for row in table for name in row.split(", ")]
    assert named[0] == state_machine["StartAt"]
    assert set(named) <= set(state_machine["States"])
    maps = {name for name, state in state_machine["States"].items() if state["Type"] == "Map"}
    assert maps <= set(named)


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name} links to {target}"


def test_the_profile_that_the_readme_links_to_is_valid() -> None:
    assert load_profile((ROOT / "examples" / "chick-growth.json").read_bytes())


def test_the_parameter_and_the_runtime_in_the_readme_are_those_of_the_template() -> None:
    class Loader(yaml.SafeLoader):
        """Reads CloudFormation's short tags as text."""

    Loader.add_multi_constructor("!", lambda _loader, tag, _node: tag)
    template = yaml.load((ROOT / "template.yaml").read_text(), Loader)
    assert "InputBucket" in template["Parameters"]
    function = template["Globals"]["Function"]
    assert f"{function['Runtime']} on {function['Architectures'][0]}" in TEXT


@pytest.mark.parametrize(
    ("sentence", "limit"),
    [
        (r"last (\d+) readings", builtin_profile("body-weight").window.readings),
        (r"at most (\d+) days", builtin_profile("body-weight").window.days),
        (r"at most (\d+) bytes", measurement.MAX_ID_BYTES),
        (r"a line (\d+) KB", measurement.MAX_LINE_BYTES / 1024),
        (r"gzipped object (\d+) MB", chunks.MAX_GZIP_BYTES / 1024**2),
        (r"inflated (\d+) MB", chunks.MAX_INFLATED_BYTES / 1024**2),
        (r"and (\d+) million lines", chunks.MAX_GZIP_LINES / 1e6),
        (r"at most ([\d,]+) objects", MAX_OBJECTS),
    ],
)
def test_every_limit_in_the_readme_is_that_of_the_code(sentence: str, limit: float) -> None:
    match = re.search(sentence, " ".join(TEXT.split()))
    assert match
    assert float(match.group(1).replace(",", "")) == limit
