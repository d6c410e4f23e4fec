"""What is stored about a record that could not be read."""

import msgspec


class Unreadable(msgspec.Struct, gc=False):
    """A record that could not be read: its position and what is wrong with it."""

    index: int
    """The first field, as in `results.lines.Result`."""
    file: str
    line: int
    reason: str | None
    detail: str
    excerpt: str
