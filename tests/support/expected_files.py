"""States that files must lead to, and those that `kalmap states` tells."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from kalmap.profile import Profile
from kalmap.records.formats import csv_header, detect_format
from tests.support.expected_states import folded


def fold_files(
    profile: Profile, files: Sequence[Path], states: dict[str, bytes] | None = None
) -> dict[str, bytes]:
    """States by user after one batch of these files, from earlier states."""
    content, columns = b"", None
    for file in files:
        data = file.read_bytes()
        if detect_format(file.name, data) == "csv":
            header, _, data = data.partition(b"\n")
            columns = csv_header(header)
        content += data
    return folded(profile, content, states, columns=columns)


def stored(states_output: str) -> dict[str, bytes]:
    """States by user, as `kalmap states` printed them."""
    lines = map(json.loads, states_output.splitlines())
    return {line["user_id"]: base64.b64decode(line["state"]) for line in lines}
