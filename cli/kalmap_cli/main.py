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

from kalmap_cli.arguments import parser
from kalmap_cli.exits import (
    DONE,
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    RunFailed,
    WrongUsage,
    as_sentence,
)
from kalmap_cli.terminal import fitted

_DEBUG = "KALMAP_DEBUG"
#: The number of the last of the three files that every program begins with.
_STDERR = 2
#: Said of commands that change nothing before their end; others say how far they came.
_INTERRUPTED = "Interrupted. Nothing was changed."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; every outcome is a code, and a sentence on stderr.

    Args:
        argv: the arguments behind the command's name; None for the process's own.
    """
    _open_what_is_closed()
    handled = {signal.SIGINT: _interrupt, signal.SIGTERM: _interrupt}
    before = _handle(handled)
    try:
        return _told(_main(argv))
    finally:
        _handle(before)


def _open_what_is_closed() -> None:
    """Put the null device where stdin, stdout or stderr is closed, as it may be under cron.

    Python has None there, and the next file that is opened would get its number.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(_STDERR - 1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def _handle(handlers: Mapping[signal.Signals, Any]) -> dict[signal.Signals, Any]:
    """Set signal handlers; returns those that were set before."""
    before: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):  # outside the main thread signals are not ours
        for number, handler in handlers.items():
            before[number] = signal.signal(number, handler)
    return before


def _main(argv: Sequence[str] | None) -> int:
    try:
        arguments = parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except SystemExit as end:
        # argparse has printed the help that was asked for.
        return end.code if isinstance(end.code, int) else WRONG_USAGE
    except WrongUsage as error:
        return _complain(error, WRONG_USAGE)
    except RunFailed as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt as error:
        return _complain(str(error) or _INTERRUPTED, INTERRUPTED)
    except BrokenPipeError:
        # The reader has what it wanted, as in `kalmap states | head`.
        return DONE
    except Exception as error:  # noqa: BLE001 - the last boundary: a user gets no traceback
        return _unexpected(error)


def _told(code: int) -> int:
    """The exit code, once all that was printed has arrived."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is still to be printed would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == DONE and not isinstance(error, BrokenPipeError):
            return _complain(f"stdout could not be written: {error.strerror}.", FAILED)
    return code


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    # Once is enough: a second Ctrl-C must not interrupt the saving that the first one began.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _complain(sentence: object, code: int) -> int:
    print(fitted(f"kalmap: {sentence}", sys.stderr), file=sys.stderr)
    return code


def _unexpected(error: Exception) -> int:
    from kalmap_cli.aws_errors import told  # noqa: PLC0415 - takes a moment

    if os.environ.get(_DEBUG):
        traceback.print_exception(error)
    if known := told(error):
        return _complain(*known)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        where = f" ({error.filename})" if error.filename else ""
        again = "Free some space and run the same command again."
        return _complain(f"{error.strerror}{where}. {again}", FAILED)
    return _complain(
        f"Something unexpected went wrong: {type(error).__name__}: {as_sentence(error)} Set "
        f"{_DEBUG}=1 and run again to see where.",
        FAILED,
    )


if __name__ == "__main__":
    sys.exit(main())
