"""Break lines between words to fit the terminal. Lines that go elsewhere stay as they are."""

import shutil
import textwrap
from typing import TextIO

#: Lines get at least this many columns, because shorter lines are hard to read.
_MIN_COLUMNS = 30


def fit_to_terminal(text: str, stream: TextIO, indent: int = 0) -> str:
    """Break a line between words if it is too long for the terminal.

    Args:
        text: The line.
        stream: Where it will be printed.
        indent: Indentation of all lines but the first.
    """
    if not stream.isatty():
        return text
    return textwrap.fill(
        text,
        max(shutil.get_terminal_size().columns, indent + _MIN_COLUMNS),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
