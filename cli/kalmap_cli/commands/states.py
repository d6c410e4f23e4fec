"""`kalmap states`: show the stored states, write them exactly, or bring such an export back."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from kalmap.plural import counted
from kalmap.store.profiles import Profiles
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, FAILED, InterruptMessage, WrongUsage
from kalmap_cli.file_names import first_of, shortened
from kalmap_cli.inputs import STDIN, typed
from kalmap_cli.output_files import (
    STDOUT,
    check_outputs,
    check_outside_data_directory,
    is_stdout,
    is_stream,
    open_output,
)
from kalmap_cli.results_files import check_format
from kalmap_cli.state_export import Loaded, load_states, read_export, write_export
from kalmap_cli.state_files import WRITERS
from kalmap_cli.state_table import print_table, shown_states
from kalmap_cli.terminal import fit_to_terminal

_NOTHING_LOADED = "No state was written."


def states(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Show or write the stored states.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Raises:
        WrongUsage: The output file cannot be written, or the user has no state.
        RunFailed: The output file could not be completed.
    """
    user, out = arguments.user, arguments.out or STDOUT
    format_ = _format(arguments)
    check_format(format_, out)
    check_outside_data_directory(out, data_dir)
    check_outputs({"--out": out}, replace=arguments.replace)
    with open_deployment(None, data_dir, stack) as deployment:
        table = arguments.table or deployment.stack.states_table
        store = deployment._replace(stack=deployment.stack._replace(states_table=table)).states
        stored = sorted(
            store.scan() if user is None else store.of_user(user),
            key=lambda state: (state.user, state.profile),
        )
        if user is not None and not stored:
            raise WrongUsage(f"There is no stored state of user {user!r}.")
        profiles = Profiles(deployment.objects)
        shown = [] if arguments.exact else shown_states(stored, profiles)
        options = deployment.options
    if format_ == "table" and is_stdout(out):
        print_table(shown, options)
        return DONE
    with open_output(out) as file:
        if arguments.exact:
            write_export(stored, file)
        else:
            WRITERS[format_](shown, file)
    if not is_stream(out):
        print(f"{counted(len(stored), 'state')} in {out}", file=sys.stderr)
    return DONE


def _format(arguments: argparse.Namespace) -> str:
    """The format of what is written.

    Raises:
        WrongUsage: Options contradict each other.
    """
    wanted, out = arguments.format, arguments.out
    if arguments.json and wanted not in {None, "jsonl"}:
        raise WrongUsage(f"--json and --format {wanted} contradict each other. Give one of them.")
    ending = "" if out is None or is_stdout(out) else out.suffix.lower()
    if ending == ".gz":
        inner = Path(out.stem).suffix.removeprefix(".") if out else ""
        how = "--exact" if arguments.exact else f"--format {inner if inner in WRITERS else 'jsonl'}"
        raise WrongUsage(
            f"{out}: states are written without compression. Type: kalmap states {how} | gzip > "
            f"{typed(Path(str(out)))}"
        )
    if arguments.exact and ending in {".csv", ".parquet"}:
        raise WrongUsage(
            f"{out}: the exact states are written as JSON lines only. Type: kalmap states --exact "
            f"--out {typed(out.with_suffix('.jsonl'))}"
        )
    if arguments.exact and wanted not in {None, "jsonl"}:
        raise WrongUsage("The exact states are written as JSON lines only. Leave --format out.")
    if arguments.json or arguments.exact:
        return "jsonl"
    to_file = out is not None and not is_stdout(out)
    if wanted == "table" and to_file:
        raise WrongUsage(
            f"The table is for the terminal. Give --format {', '.join(WRITERS)} with --out."
        )
    if wanted is None and to_file:
        ending = out.suffix.lower().removeprefix(".")
        return ending if ending in WRITERS else "jsonl"
    return str(wanted or "table")


def load(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Bring states back that `kalmap states --exact` has written.

    Returns:
        The exit code: that of a failure if a state of the export was not written.

    Raises:
        WrongUsage: The file is no such export. Nothing was written.
    """
    for name in ("user", "out", "format", "json", "exact", "table"):
        if getattr(arguments, name):
            raise WrongUsage(f"--load brings states back and cannot be used with --{name}.")
    exported = read_export(arguments.load)
    with (
        InterruptMessage(_NOTHING_LOADED) as message,
        open_deployment(None, data_dir, stack) as deployment,
    ):
        message.sentence = "Some states may have been written. The same command goes on."
        loaded = load_states(exported, deployment.states, replace=arguments.replace)
    file = STDIN if arguments.load == STDOUT else arguments.load
    for sentence in _describe(loaded, file, len(exported)):
        print(fit_to_terminal(sentence, sys.stderr), file=sys.stderr)
    return FAILED if loaded.kept or loaded.failed else DONE


def _describe(loaded: Loaded, file: Path, count: int) -> Iterable[str]:
    yield (
        f"{counted(count, 'state')} in {file}: {loaded.new:,} were missing and are back, "
        f"{loaded.replaced:,} replaced another one, {loaded.same:,} were stored already."
    )
    if loaded.kept:
        yield (
            f"Kept, as it differs and is not older: {counted(len(loaded.kept), 'stored state')} "
            f"({first_of(loaded.kept)}). --replace puts those of the file in their place."
        )
    for user, reason in loaded.failed[:3]:
        yield f"The state of {shortened(user)} was not written: {reason}"
    if len(loaded.failed) > 3:
        yield f"{len(loaded.failed) - 3:,} more were not written. The same command goes on."
