"""A user's state in readable fields: the estimate now, or the prediction for a later time."""

from datetime import datetime

import msgspec

from kalmap.api.wire import Interval, UserView
from kalmap.errors import InvalidInput
from kalmap.filter.state import describe, predict
from kalmap.moments import iso, microseconds, moment_at
from kalmap.profile import Profile
from kalmap.store.ports import UserState

_PROBABILITY = 0.95
#: Half the width of a normal distribution's central 95 %, in standard deviations.
_STANDARD_DEVIATIONS = 1.959964


def user_view(item: UserState, profile: Profile | None, at: datetime | None) -> UserView:
    """A stored state in readable fields.

    Args:
        item: The user's item.
        profile: The profile that the state was folded under; None if it is not stored. Then only
            the fields of the table are filled.
        at: The time to predict for; None for the state as it is.

    Raises:
        InvalidInput: `at` is before the newest reading or needs a profile that is not stored, or
            the stored state is damaged.
    """
    view = UserView(
        user_id=item.user,
        profile=item.profile,
        unit=None,
        level=item.level,
        slope=item.slope,
        as_of=None if item.as_of is None else iso(moment_at(item.as_of)),
    )
    if profile is None:
        if at is not None:
            raise InvalidInput(
                f"A prediction needs the profile {item.profile} that this user's state was folded "
                "under, and it is not stored here.",
                "at",
            )
        return view
    stored = describe(item.state.body, profile)
    level, level_sd, slope = stored.level, stored.level_sd, stored.slope
    if at is not None:
        level, level_sd, slope = predict(profile, item.state.body, microseconds(at))
    margin = _STANDARD_DEVIATIONS * level_sd
    return msgspec.structs.replace(
        view,
        unit=profile.unit,
        level=level,
        slope=slope,
        as_of=iso(moment_at(stored.as_of)),
        level_sd=level_sd,
        interval=Interval(level - margin, level + margin, _PROBABILITY),
        readings=stored.window,
        rejected=stored.rejected,
        at=at,
    )
