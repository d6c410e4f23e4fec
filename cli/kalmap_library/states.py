"""Users' states, as the caller gives them."""

from collections.abc import Mapping

from kalmap.errors import InvalidInput

#: The exact state of each user, as a batch stores it.
States = Mapping[str, bytes]


def checked_states(states: object) -> States:
    """States, if they are some.

    Raises:
        InvalidInput: They have another shape.
    """
    if not isinstance(states, Mapping):
        raise InvalidInput(
            "States are bytes by user, such as kalmap.fold(readings).states; not "
            f"{type(states).__name__}."
        )
    for user, state in states.items():
        if not isinstance(user, str):
            raise InvalidInput(f"The users that have states are text; {user!r} is not.")
        if not isinstance(state, bytes):
            raise InvalidInput(
                f"The state of {user} is {type(state).__name__}, not bytes, as those of "
                "kalmap.fold(readings).states are."
            )
    return states
