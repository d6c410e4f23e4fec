"""What states must be, by the domain alone: no cloud, no store, no state machine."""

import numpy as np

from kalmap.fold import fold_users
from kalmap.readings import Readings
from kalmap.records.parse import parse
from tests.faults.two_batches import NOW, jsonl


def folded(profile, readings, before=None, *, adopt_profile=False):
    """States by user after one quiet batch of readings, from earlier states by user."""
    parsed = parse([jsonl(readings)], columns=None, profile=profile)
    codes = np.array([profile.source_code(name) for name in parsed.sources], np.uint8)
    columns = Readings(
        user=parsed.user,
        time=parsed.time,
        value=parsed.value,
        source=codes[parsed.source],
        tag=parsed.tag,
        hash=parsed.hash,
        index=parsed.ordinal,
    )
    now = int(np.datetime64(NOW.rstrip("Z"), "us").astype(np.int64))
    bodies = [(before or {}).get(user) for user in parsed.users]
    done = fold_users(profile, bodies, columns, now, adopt_profile=adopt_profile)
    return dict(zip(parsed.users, done.bodies, strict=True))
