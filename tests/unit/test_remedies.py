"""Commands and settings in messages to users exist."""

import argparse
import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from kalmap.api.openapi import OPERATIONS
from kalmap.batch.identity import BatchInput, Limits
from kalmap.records.mapping import Mapping
from kalmap_cli import arguments
from kalmap_cli.errors import WrongUsage
from kalmap_cli.option_names import with_option_names

ROOT = Path(__file__).resolve().parents[2]
#: Commands of others that a sentence may name; README.md shows each, or where it comes from.
FOREIGN = {
    "sam deploy",
    "aws configure",
    "aws sso login",
    "pip install kalmap",
    'pip install "kalmap[arrow]"',
    'pip install "kalmap[parquet]"',
    'pip install "kalmap[report]"',
    'pip install "kalmap[console]"',
}
#: What stands for something of the user's in a command that a sentence shows.
STANDS_FOR = {"SHARE": "0.5"}
#: Who reads these has written the execution's input or the request, and knows its fields.
OF_THE_INPUT = {"functions/kalmap/batch/identity.py"}
FIELDS = {field.name for field in msgspec.structs.fields(BatchInput)} | {
    f"limits.{name}" for name in Limits.__struct_fields__
}
FIELDS |= {f"source.mapping.{name}" for name in Mapping.__struct_fields__}


#: Made once: there are hundreds of sentences.
parser = functools.cache(arguments.parser)


class Sentence(NamedTuple):
    location: str
    text: str
    """With `{expression}` where a value is filled in."""


def sentences(file: Path) -> Iterator[Sentence]:
    """Texts of a module that may reach a user: those with a space, but no docstrings."""
    nodes = [*ast.walk(ast.parse(file.read_text()))]
    left_out = {node.value for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            left_out |= set(node.values)
        if isinstance(node, ast.FormattedValue) and node.format_spec:
            left_out.add(node.format_spec)
    for node in nodes:
        if node in left_out:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(
                part.value if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                for part in node.values
            )
        else:
            continue
        if " " in text.strip():
            yield Sentence(f"{file.relative_to(ROOT)}:{node.lineno}", text)


#: Read in a test, and not where this file is collected: each process of a test run collects it.
@functools.cache
def said_below(folder: str) -> list[Sentence]:
    files = sorted((ROOT / folder).rglob("*.py"))
    return [sentence for file in files for sentence in sentences(file)]


def of_cli() -> list[Sentence]:
    return said_below("cli")


def of_cloud() -> list[Sentence]:
    return said_below("functions")


QUOTED = re.compile(r"`([^`\n]+)`")
EXAMPLE = re.compile(r"^  (kalmap .+)$", re.MULTILINE)


def commands(sentence: Sentence) -> list[str]:
    """The commands of kalmap that a sentence shows."""
    quoted = [text.replace("{self.prog}", "kalmap") for text in QUOTED.findall(sentence.text)]
    return [text for text in quoted if text.startswith("kalmap ")] + EXAMPLE.findall(sentence.text)


def parses(command: str) -> bool:
    # Where it runs goes with a command that needs it.
    placed = re.sub(r"\{[^}]*options\}", " --data-dir x", command)
    filled = re.sub(r"\{[^}]*\}", "x", placed)
    words = [
        re.sub(r"\b[A-Z]{2,}\b", lambda name: STANDS_FOR.get(name[0], "x"), word)
        for word in shlex.split(filled)
    ]
    try:
        parser().parse_args(words[1:])
    except SystemExit as end:
        return end.code == 0  # --help
    except WrongUsage:
        return False
    return True


@functools.cache
def options(command: str) -> set[str]:
    """The options of one command."""
    chosen = next(a for a in parser()._actions if a.choices)
    return options_of(chosen.choices[command])


def options_of(parser_: argparse.ArgumentParser) -> set[str]:
    """The options of a parser and of its parts."""
    parts = [
        part
        for action in parser_._actions
        if isinstance(action, argparse._SubParsersAction)
        for part in action.choices.values()
    ]
    return set(parser_._option_string_actions).union(*map(options_of, parts))


@functools.cache
def all_options() -> set[str]:
    chosen = next(a for a in parser()._actions if a.choices)
    return {option for command in chosen.choices for option in options(command)}


def test_the_search_for_messages_finds_every_command() -> None:
    shown = [command for sentence in of_cli() for command in commands(sentence)]
    assert {"run", "retry", "status", "states", "serve", "simulate", "tune"} <= {
        command.split()[1] for command in shown
    }
    assert any("--adopt-profile" in command for command in shown)
    assert any("`limits.unusable`" in sentence.text for sentence in of_cloud())


def test_every_command_in_a_message_can_be_parsed() -> None:
    shown = [(s.location, command) for s in of_cli() + of_cloud() for command in commands(s)]
    assert [(location, command) for location, command in shown if not parses(command)] == []


def test_every_command_about_a_batch_in_a_message_has_the_options_of_its_deployment() -> None:
    shown = [(location, quoted) for location, text in of_cli() for quoted in QUOTED.findall(text)]
    about = [
        (location, x) for location, x in shown if re.match(r"kalmap (status|retry|results)\b", x)
    ]
    assert about
    for location, command in about:
        assert command.endswith(("options}", "options} --out DIR")), (location, command)


def test_text_in_backticks_in_a_message_is_a_command_or_a_field_of_the_input() -> None:
    for location, text in of_cli() + of_cloud():
        if "`" not in text or location.startswith("functions/kalmap/api/"):
            continue
        for quoted in QUOTED.findall(text):
            if not quoted.startswith(("kalmap ", "{")):
                assert quoted in FIELDS | FOREIGN, (location, quoted)


def test_an_option_that_a_sentence_names_exists_in_its_command() -> None:
    for location, text in of_cli():
        module = re.fullmatch(r"cli/kalmap_cli/commands/(\w+)\.py:\d+", location)
        others = {
            word for command in commands(Sentence(location, text)) for word in command.split()
        }
        known = options(module[1]) | options("run") if module else all_options()
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text):
            if "curl" not in text:
                assert option in known | others, (location, option)


def test_messages_of_the_cloud_contain_no_command_line_option() -> None:
    """It is read over HTTP and in the console, too, where there are none."""
    for location, text in of_cloud():
        assert not re.search(r"(?<![\w-])--[a-z]|\bkalmap (run|retry|status)\b", text), location


def test_a_field_that_the_cloud_names_stands_in_backticks_and_becomes_an_option() -> None:
    unmistakable = {name for name in FIELDS if "_" in name or "." in name}
    named = set()
    for location, text in of_cloud():
        file = location.partition(":")[0]
        if file in OF_THE_INPUT or not file.startswith("functions/kalmap/"):
            continue
        shown = re.sub(r"\{[^}]*\}", "", text)
        for name in unmistakable:
            if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", shown) and shown.endswith("."):
                assert f"`{name}`" in text, location
                named.add(name)
    assert {"adopt_profile", "limits.unusable"} <= named
    for name in named:
        typed = QUOTED.findall(with_option_names(f"Set `{name}`."))[0]
        assert parses(f"kalmap run FILE {typed}"), typed


def test_a_request_that_a_sentence_names_is_an_operation_of_the_api() -> None:
    known = {
        f"{operation.method.upper()} {re.sub(r'{.*?}', '{id}', operation.path)}"
        for operation in OPERATIONS
    }
    named = {
        request
        for _, text in of_cloud()
        for request in re.findall(r"\b(?:GET|POST|PUT) /[\w/{}]+", text)
    }
    assert named
    assert named <= known


def test_settings_in_hints_exist_in_the_template_or_the_definition() -> None:
    deployed = (ROOT / "template.yaml").read_text()
    deployed += (ROOT / "statemachine" / "filter_batch.asl.json").read_text()
    names = re.compile(r"\b([A-Z][a-z]+(?:[A-Z][a-z]+)+)\b")
    texts = [
        text
        for location, text in of_cloud()
        if location.startswith("functions/kalmap/results/performance")
    ]
    settings = {name for text in texts for name in names.findall(text)}
    assert {"MemorySize", "ReadingsPerShard"} <= settings
    for name in settings:
        assert name in deployed
