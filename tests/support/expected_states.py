"""The states that the fold alone gives, without cloud, store, shards and state machine."""

from collections.abc import Mapping

import numpy as np

from kalmap.filter.fold import fold_users
from kalmap.profile import Profile
from kalmap.readings import Readings
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.formats import AnyFormat
from kalmap.records.parse import parse

JSONL = Jsonl()
#: 2027-01-15: after every reading of the tests.
NOW = 1_800_000_000_000_000


def folded(
    profile: Profile,
    content: bytes,
    before: Mapping[str, bytes] | None = None,
    *,
    format_: AnyFormat = JSONL,
    adopt_profile: bool = False,
) -> dict[str, bytes]:
    """States by user after one batch of a file's content, from earlier states by user."""
    states = dict(before or {})
    parsed = parse([content], format_, profile)
    codes = np.array([profile.source_code(name) for name in parsed.sources], np.uint8)
    readings = Readings(
        user=parsed.user,
        time=parsed.time,
        value=parsed.value,
        source=codes[parsed.source],
        tag=parsed.tag,
        hash=parsed.hash,
        index=parsed.ordinal,
    )
    stored = [states.get(user) for user in parsed.users]
    done = fold_users(profile, stored, readings, NOW, adopt_profile=adopt_profile)
    bodies = zip(parsed.users, done.bodies, strict=True)
    return states | {user: body for user, body in bodies if body is not None}
