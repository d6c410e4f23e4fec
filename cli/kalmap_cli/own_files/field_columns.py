"""The columns of a field, as a mapping has them: the name of one, or the names of several."""


def each_of(names: str | list[str]) -> list[str]:
    """The names of all columns."""
    return [names] if isinstance(names, str) else names


def joined(names: str | list[str]) -> str:
    """The names for a sentence."""
    return " and ".join(each_of(names))


def as_typed(names: str | list[str]) -> str:
    """The names as they are typed behind --columns."""
    return "+".join(each_of(names))
