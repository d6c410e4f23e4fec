"""Offsets: what a source or the time of day or week adds to a reading, and not to the level.

The filter takes readings without them, so levels and predictions are without them, too.
"""

import numpy as np

from kalmap.moments import DAY
from kalmap.profile import Profile
from kalmap.readings import F64, I64, U8

_HOUR = DAY // 24
#: 1970-01-01 was a Thursday.
_FIRST_WEEKDAY = 3


def offsets(profile: Profile, time: I64, source: U8) -> F64 | None:
    """What is in each reading beside its level and its noise, in the profile's unit.

    Args:
        profile: Has the biases and the rhythm.
        time: (readings,) Microseconds since 1970 UTC.
        source: (readings,) Source codes.

    Returns:
        (readings,) None if the profile has neither.
    """
    daily, weekly = profile.rhythm.daily, profile.rhythm.weekly
    if not (any(profile.biases.values()) or daily or weekly):
        return None
    biases = np.zeros(256)
    for code, name in enumerate(profile.source_names):
        biases[code] = profile.biases.get(name, 0.0)
    found: F64 = biases[source]
    if daily:
        hours = np.array((*daily, daily[0]))
        hour, inside = np.divmod(np.mod(time, DAY), _HOUR)
        found += hours[hour] + (hours[hour + 1] - hours[hour]) * (inside / float(_HOUR))
    if weekly:
        found += np.array(weekly)[np.mod(time // DAY + _FIRST_WEEKDAY, 7)]
    return found
