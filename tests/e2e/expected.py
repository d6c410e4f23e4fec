"""What the states must be, by the domain alone: no cloud, no store, no state machine."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kalmap.fold import fold_users
from kalmap.profile import Profile
from kalmap.readings import Readings
from kalmap.records.formats import detect_format
from kalmap.records.parse import parse

#: 2027-01-15: after every reading of the tests.
NOW = 1_800_000_000_000_000


def fold_files(
    profile: Profile, files: Sequence[Path], states: dict[str, bytes] | None = None
) -> dict[str, bytes]:
    """States by user after one batch of these files, from earlier states."""
    before = states or {}
    content, columns = b"", None
    for file in files:
        data = file.read_bytes()
        if detect_format(file.name, data) == "csv":
            header, _, data = data.partition(b"\n")
            columns = header.decode().strip().split(",")
        content += data
    parsed = parse([content], columns=columns, profile=profile)
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
    folded = fold_users(profile, [before.get(user) for user in parsed.users], readings, NOW)
    bodies = zip(parsed.users, folded.bodies, strict=True)
    return before | {user: body for user, body in bodies if body is not None}


def stored(states_output: str) -> dict[str, bytes]:
    """States by user, as `kalmap states` printed them."""
    lines = map(json.loads, states_output.splitlines())
    return {line["user_id"]: base64.b64decode(line["state"]) for line in lines}
