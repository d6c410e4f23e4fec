"""How the command line ends: exit 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.

The message of each exception is the sentence that the user reads on stderr.
"""

from types import TracebackType
from typing import Self

#: Set, unexpected errors are shown with where they happened.
DEBUG_VARIABLE = "KALMAP_DEBUG"

DONE = 0
FAILED = 1
WRONG_USAGE = 2
#: Shells expect 128 + SIGINT from a program that Ctrl-C ended.
INTERRUPTED = 130


class WrongUsage(Exception):
    """The user's input is wrong: exit 2, before anything is started."""


class RunFailed(Exception):
    """The batch, or the local cloud that runs it, failed: exit 1."""


class Unsaved(RunFailed):
    """The local cloud could not save; its log of changes has everything that it stored."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, with a sentence that says what the command had done: exit 130."""


class Damaged(WrongUsage):
    """A file of the data directory is not what kalmap wrote: exit 2. The file stays as it is."""


class InterruptMessage:
    """What the user reads when Ctrl-C, or a full disk, ends the command.

    Use as a context manager around the work.

    Args:
        sentence: What the command has done at first. The command replaces it as it proceeds.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is KeyboardInterrupt:
            raise Interrupted(f"Interrupted. {self.sentence}") from error
        if kind is Unsaved:
            raise RunFailed(f"{self.sentence} {error}") from error


def as_sentence(error: Exception | str) -> str:
    """Put a text on one line, with a full stop at its end."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith(".") else f"{text}."
