"""Readings for `kalmap tune`, and what is fitted to them."""

import numpy as np

from kalmap.profile import Profile, builtin_profile
from kalmap_cli.tuning.fit import fit
from kalmap_cli.tuning.users import Users

BASE = builtin_profile("body-weight")
DAY = 86_400_000_000
SCALE = BASE.source_code("scale")


def users_of(value: np.ndarray, days: float = 1.0) -> Users:
    """A rectangle of users by readings, so many days apart."""
    users, readings = value.shape
    time = np.tile(np.round(np.arange(readings) * days * DAY).astype(np.int64), users)
    source = np.full(value.size, SCALE, np.uint8)
    return Users(np.full(users, readings), time + 12_345 * DAY, value.ravel(), source)


def random_walks(users: int, readings: int, noise: float, step: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    begin = random.normal(75.0, 12.0, (users, 1))
    level = begin + np.cumsum(step * random.normal(size=(users, readings)), axis=1)
    return level + noise * random.normal(size=(users, readings))


def fitted(users: Users, base: Profile = BASE) -> Profile:
    return fit(base, users, lambda _text: None).profile
