"""A user's state, found and shown: the estimate now, or the prediction for a later time."""

from datetime import datetime

import msgspec

from kalmap.api.cached_states import CachedStates
from kalmap.api.schemas import Interval, UserView, WindowReading
from kalmap.errors import InputNotFound, InvalidInput
from kalmap.filter.codec import profile_digest_of
from kalmap.filter.estimates import describe, predict
from kalmap.moments import aware_moment, iso, microseconds, moment_at
from kalmap.profile import MAX_NAME, Profile
from kalmap.records.measurement import MAX_ID_BYTES
from kalmap.store.ports import UserState
from kalmap.store.profiles import Profiles

_PROBABILITY = 0.95
#: Half the width of a normal distribution's central 95 %, in standard deviations.
_STANDARD_DEVIATIONS = 1.959964


def find_user(
    user: str, profile: str, states: CachedStates, profiles: Profiles, deadline: float
) -> tuple[UserState, Profile | None]:
    """Find a user's state, and the profile that it was folded under if it is stored.

    Raises:
        InputNotFound: The user has no state under a profile of this name.
        StoreUnavailable: The state could not be read.
    """
    state = None
    # The table refuses keys that are empty or too long. No state has such a key.
    if 0 < len(user.encode(errors="replace")) <= MAX_ID_BYTES and len(profile) <= MAX_NAME:
        state = states.get(profile, user, deadline)
    if state is None:
        raise InputNotFound(
            f"There is no state of this user under the profile {profile[:60]!r}. The parameter "
            "profile names another profile."
        )
    return state, profiles.find(state.profile, profile_digest_of(state.state.body))


def prediction_time(text: str | None) -> datetime | None:
    """Read the query parameter `at`.

    Raises:
        InvalidInput: It is not a time with its offset.
    """
    if text is None:
        return None
    try:
        # In a query an unescaped plus sign means a space.
        return aware_moment(text.strip().replace(" ", "+"))
    except (msgspec.ValidationError, OverflowError, ValueError) as error:
        raise InvalidInput(
            "at must be a time with its offset, like 2026-03-01T07:12:00+01:00.", "at"
        ) from error


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
        window=[
            WindowReading(
                iso(moment_at(reading.time)),
                reading.value,
                reading.reason.label,
                reading.level_smoothed,
                reading.level_smoothed_sd,
            )
            for reading in stored.window_readings
        ],
        at=at,
    )
