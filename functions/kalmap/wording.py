"""Wordings that several messages share."""

#: The remedy for a batch that ended before its end.
START_AGAIN = "Start the same batch again: what was written counts once."


def counted(count: int, noun: str) -> str:
    """A number of things: `1 user`, `2,000 users`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
