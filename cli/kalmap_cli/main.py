"""The command `kalmap`."""

import argparse
import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from kalmap.errors import InvalidInput
from kalmap_cli.arguments import parser
from kalmap_cli.errors import (
    DEBUG_VARIABLE,
    DONE,
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    RunFailed,
    WrongUsage,
    as_sentence,
)
from kalmap_cli.terminal import fit_to_terminal

#: The last descriptor of the three standard streams.
_STDERR = 2
#: Arguments that name something stored.
_STORED_NAMES = ("against", "batch", "new", "stack", "table", "user")
#: For commands that change nothing before their end. Other commands say what they have done.
_INTERRUPTED = "Interrupted. Nothing was changed."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after `kalmap`; None for the process's own.

    Returns:
        The exit code. A sentence on stderr explains every code but 0.
    """
    _open_closed_streams()
    handlers = {signal.SIGINT: _interrupt, signal.SIGTERM: _interrupt}
    earlier_handlers = _set_signal_handlers(handlers)
    try:
        return _flush_stdout(_main(argv))
    finally:
        _set_signal_handlers(earlier_handlers)


def _open_closed_streams() -> None:
    """Open the null device as stdin, stdout or stderr if that is closed, as under cron.

    Otherwise Python's stream is None, and the next file that is opened gets its descriptor.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(_STDERR - 1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def _set_signal_handlers(handlers: Mapping[signal.Signals, Any]) -> dict[signal.Signals, Any]:
    """Set signal handlers; returns the earlier ones."""
    earlier: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):  # only the main thread can set handlers
        for number, handler in handlers.items():
            earlier[number] = signal.signal(number, handler)
    return earlier


def _main(argv: Sequence[str] | None) -> int:
    try:
        arguments = parser().parse_args(argv)
        _refuse_broken_text(arguments)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except SystemExit as end:
        # argparse has printed the help.
        return end.code if isinstance(end.code, int) else WRONG_USAGE
    except (WrongUsage, InvalidInput) as error:
        return _print_error(error, WRONG_USAGE)
    except RunFailed as error:
        return _print_error(error, FAILED)
    except KeyboardInterrupt as error:
        return _print_error(str(error) or _INTERRUPTED, INTERRUPTED)
    except BrokenPipeError:
        # The reader needs no more, as in `kalmap states | head`.
        return DONE
    except ModuleNotFoundError as error:
        return _print_error(
            f"The package {error.name} is not installed, and this command needs it. "
            "`pip install kalmap` installs all that it needs.",
            FAILED,
        )
    except Exception as error:  # noqa: BLE001 - the last boundary: a user gets no traceback
        return _print_unexpected(error)


def _refuse_broken_text(arguments: argparse.Namespace) -> None:
    """Refuse a name of something stored that is not UTF-8. Names of files may be anything."""
    for name in _STORED_NAMES:
        value = getattr(arguments, name, None)
        try:
            if isinstance(value, str):
                value.encode()
        except UnicodeEncodeError as error:
            raise WrongUsage(
                f"{value!r} is not UTF-8, and nothing that kalmap stores has such a name. Type it "
                "in a terminal, or write the script, in UTF-8."
            ) from error


def _flush_stdout(code: int) -> int:
    """Flush stdout; returns the exit code, which a failure may change."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would try to flush the rest when it ends, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == DONE and not isinstance(error, BrokenPipeError):
            return _print_error(f"stdout could not be written: {error.strerror}.", FAILED)
    return code


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    # A second Ctrl-C must not interrupt the saving that the first one has started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _print_error(sentence: object, code: int) -> int:
    for line in f"kalmap: {sentence}".split("\n"):
        print(fit_to_terminal(line, sys.stderr), file=sys.stderr)
    return code


def _print_unexpected(error: Exception) -> int:
    from kalmap_cli.aws_errors import explain_aws_error  # noqa: PLC0415

    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    if explanation := explain_aws_error(error):
        return _print_error(*explanation)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        where = f" ({error.filename})" if error.filename else ""
        again = "Free some space and run the same command again."
        return _print_error(f"{error.strerror}{where}. {again}", FAILED)
    return _print_error(
        f"Something unexpected went wrong: {type(error).__name__}: {as_sentence(error)} Set "
        f"{DEBUG_VARIABLE}=1 and run again to see where.",
        FAILED,
    )


if __name__ == "__main__":
    sys.exit(main())
