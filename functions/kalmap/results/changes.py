"""Changes: the new states of a fold, as the store writes them."""

from collections.abc import Mapping, Sequence

import numpy as np

from kalmap.filter.fold import Folded
from kalmap.store.ports import Change, StoredState


def changes(
    users: Sequence[str], folded: Folded, states: Mapping[str, StoredState]
) -> list[Change]:
    """List the new states of the users whose state the fold has changed.

    Args:
        users: The users' ids, in the order in which they were folded.
        folded: The fold.
        states: The stored states that the fold began with.
    """
    changed = []
    for user in np.flatnonzero(folded.users.changed).tolist():
        name, body = users[user], folded.bodies[user]
        if body is None:
            raise AssertionError("a changed user has no new state")
        changed.append(
            Change(
                user=name,
                old=states.get(name),
                body=body,
                level=float(folded.users.level[user]),
                slope=float(folded.users.slope[user]),
                as_of=int(folded.users.as_of[user]),
            )
        )
    return changed
