"""Numbers of things in sentences."""


def counted(count: int, noun: str) -> str:
    """A number of things: `1 user`, `2,000 users`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
