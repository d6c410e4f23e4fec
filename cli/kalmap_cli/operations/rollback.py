"""Rolling back: users get the states from before a batch, where nothing has touched them since."""

from typing import NamedTuple

from kalmap.store.ports import Change, StateStore, StoredState
from kalmap.store.profiles import Profiles
from kalmap_cli.operations.readable_fields import readable_fields
from kalmap_cli.operations.written_states import Attempt, Write, writes_of

#: States that are compared and written at once.
_BLOCK = 5000


class RolledBack(NamedTuple):
    """What became of the users of a batch, or what would."""

    restored: int = 0
    """Users with the state from before the batch again."""
    removed: int = 0
    """Users whom the batch had made, who have no state again."""
    already: int = 0
    """Users whose state was as before the batch."""
    left: tuple[str, ...] = ()
    """Users whose state is another one than the batch has left behind."""
    failed: tuple[tuple[str, str], ...] = ()
    """Users whose state could not be written, each with a sentence."""


def roll_back(
    attempts: list[Attempt], store: StateStore, profiles: Profiles, *, rehearse: bool
) -> RolledBack:
    """Put the states from before a batch in the place of those that it has written.

    A state is replaced only if it is what the batch has written, byte for byte, and on condition
    that it still has the version that was read. A second call goes on where the first one ended.

    Args:
        attempts: Of the batch.
        store: The table of states.
        profiles: The profiles that states were folded under.
        rehearse: Write nothing, and say what would become of the users.

    Raises:
        StoreUnavailable: The states could not be read.
    """
    done = RolledBack()
    for writes in writes_of(attempts, store):
        for start in range(0, len(writes), _BLOCK):
            block = writes[start : start + _BLOCK]
            done = _add(done, _roll_back(block, attempts[0], store, profiles, rehearse=rehearse))
    return done


def _roll_back(
    writes: list[Write], attempt: Attempt, store: StateStore, profiles: Profiles, *, rehearse: bool
) -> RolledBack:
    profile, batch_id = attempt.batch.profile.name, attempt.batch.batch_id
    current = store.load(profile, [write.change.user for write in writes]).states
    already, left = 0, []
    restore: list[tuple[str, StoredState, StoredState]] = []
    remove: dict[str, StoredState] = {}
    for write in writes:
        user = write.change.user
        now, before = current.get(user), write.before
        if (now and now.body) == (before and before.body):
            already += 1
        elif now is None or not _is_left_by(write, now):
            left.append(user)
        elif before is None:
            remove[user] = now
        else:
            restore.append((user, now, before))
    if rehearse:
        return RolledBack(len(restore), len(remove), already, tuple(left))
    fields = readable_fields(profile, [before.body for _, _, before in restore], profiles)
    changes = [
        # The item gets the tokens of the writes from before the batch, since the batch's own is
        # no longer in effect. So a batch before it can be rolled back, too.
        Change(user, now._replace(tokens=before.tokens), before.body, *readable)
        for (user, now, before), readable in zip(restore, fields, strict=True)
    ]
    written = store.write(profile, changes, batch="rollback", attempt=batch_id, round_=0)
    deleted = store.delete(profile, remove)
    return RolledBack(
        len(written.stored),
        len(deleted.deleted),
        already,
        (*left, *written.conflicts, *deleted.conflicts),
        (*written.failed.items(), *deleted.failed.items()),
    )


def _is_left_by(write: Write, now: StoredState) -> bool:
    """Whether a stored state is what the batch has left behind, and nothing has touched it since.

    Another batch with the same readings leaves the same bytes, so the token must be there, too.
    """
    return write.token in now.tokens and now.body == write.change.body and not write.mixed


def _add(first: RolledBack, second: RolledBack) -> RolledBack:
    return RolledBack(
        first.restored + second.restored,
        first.removed + second.removed,
        first.already + second.already,
        first.left + second.left,
        first.failed + second.failed,
    )
