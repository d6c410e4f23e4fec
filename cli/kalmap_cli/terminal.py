"""Text that fits the terminal: no line breaks within a word. What goes elsewhere stays as it is."""

import shutil
import textwrap
from typing import TextIO

#: Without room for this many letters, breaking lines helps nobody.
_NARROWEST = 30


def fitted(text: str, stream: TextIO, indent: int = 0) -> str:
    """A line, broken between words where it is too long for the terminal.

    Args:
        text: the line.
        stream: where it is printed to.
        indent: columns that stay free before all but the first line.
    """
    if not stream.isatty():
        return text
    return textwrap.fill(
        text,
        max(shutil.get_terminal_size().columns, indent + _NARROWEST),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
