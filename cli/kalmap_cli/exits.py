"""How the command line ends: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.

Each exception's message is the sentence that the user reads on stderr.
"""

from types import TracebackType
from typing import Self

DONE = 0
FAILED = 1
WRONG_USAGE = 2
#: What shells expect of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130


class WrongUsage(Exception):
    """Something the user gave is wrong: exit 2, before anything was started."""


class RunFailed(Exception):
    """The batch, or the local cloud under it, failed: exit 1."""


class Unsaved(RunFailed):
    """The local cloud could not save; what it had answered is in its log of changes."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, with a sentence that says how far the command has come: exit 130."""


class Damaged(WrongUsage):
    """A file of the data directory is not what kalmap wrote: exit 2, and it is left as it is."""


class HowFar:
    """How far a command has come: what is true of its work when Ctrl-C, or a full disk, ends it.

    Use as a context manager around the work.

    Args:
        sentence: what is true at first; the command changes it as it goes.
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
    """The text on one line, with a full stop at its end."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith(".") else f"{text}."
