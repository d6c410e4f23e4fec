"""Phrases that several messages share."""

#: The remedy for a batch that was interrupted.
START_AGAIN = "Start the same batch again: what was written counts once."


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 user`, `2,000 users`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
