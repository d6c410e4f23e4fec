"""The most frequent users: warm containers publish them, and new ones load their states."""

import msgspec

from kalmap.api.cache import Key, RecentStates
from kalmap.api.cached_states import CachedStates
from kalmap.keys import CACHE
from kalmap.store.objects import Objects

FREQUENT_KEY = f"{CACHE}frequent.json"


def publish_frequent(recent: RecentStates, objects: Objects, count: int) -> None:
    """Publish the keys that this container was asked for most often."""
    objects.put(FREQUENT_KEY, msgspec.json.encode(recent.frequent(count)))


def warm_up(states: CachedStates, objects: Objects, count: int, deadline: float) -> None:
    """Load the states of the most frequent users into the cache.

    Args:
        states: Access to the states.
        objects: The work bucket.
        count: Most users to load.
        deadline: When to stop, on the monotonic clock.

    Raises:
        StoreUnavailable: The states could not be read.
        MsgspecError: The published list is damaged.
    """
    data = objects.find(FREQUENT_KEY)
    keys = msgspec.json.decode(data, type=list[Key])[:count] if data else []
    for profile in {key.profile for key in keys}:
        users = [key.user for key in keys if key.profile == profile]
        states.load(profile, users, deadline)
