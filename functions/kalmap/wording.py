"""Phrases that several messages share."""

#: The remedy for a batch that did not end well.
START_AGAIN = "Start the same batch again: what was written counts once."
#: The same for a batch that was interrupted while it may have been writing.
START_INTERRUPTED_AGAIN = f"Some states may have been written. {START_AGAIN}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 user`, `2,000 users`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
