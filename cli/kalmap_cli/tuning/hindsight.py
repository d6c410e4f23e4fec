"""Which readings were wild and where levels jumped, told by all readings, also the later ones."""

import numpy as np

from kalmap.profile import Profile
from kalmap.readings import I64, Bool
from kalmap_cli.tuning.likelihood import foretell
from kalmap_cli.tuning.users import Users

#: So many readings before one tell what it is; before that, only those after it do.
_ENOUGH = 4


def told_apart(profile: Profile, users: Users) -> tuple[Bool, Bool]:
    """Whether each reading is good, and whether its level has jumped.

    The filter knows the past alone: a wild first reading looks good to it, and the next ones wild.
    So it goes through the readings backwards, too.
    """
    forward = foretell(profile, users)
    turned = _turned(users)
    backward = foretell(
        profile, Users(users.counts, -users.time[turned], users.value[turned], users.source[turned])
    ).wrong[turned]
    before = np.arange(users.value.size) - np.repeat(
        np.cumsum(users.counts) - users.counts, users.counts
    )
    after = np.repeat(users.counts, users.counts) - 1 - before
    wrong = np.maximum(forward.wrong, backward)
    wrong = np.where((before < _ENOUGH) & (before < after), backward, wrong)
    wrong = np.where((after < _ENOUGH) & (after <= before), forward.wrong, wrong)
    good = wrong <= 0.5
    return good, forward.restarted & good


def _turned(users: Users) -> I64:
    """Positions of each user's readings, the last one first."""
    ends = np.cumsum(users.counts)
    return np.repeat(2 * ends - users.counts - 1, users.counts) - np.arange(users.value.size)
