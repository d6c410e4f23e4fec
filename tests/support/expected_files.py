"""The states that a batch of files must give, and those that `kalmap states` shows."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from kalmap.profile import Profile
from kalmap.records.formats import detect_format
from tests.support.expected_states import JSONL, folded


def fold_files(
    profile: Profile, files: Sequence[Path], states: dict[str, bytes] | None = None
) -> dict[str, bytes]:
    """States by user after one batch of these files, from earlier states."""
    content, format_ = b"", JSONL
    for file in files:
        data = file.read_bytes()
        format_ = detect_format(file.name, data)
        content += data[format_.records_start :]
    return folded(profile, content, states, format_=format_)


def stored(states_output: str) -> dict[str, bytes]:
    """States by user, as `kalmap states` printed them."""
    lines = map(json.loads, states_output.splitlines())
    return {line["user_id"]: base64.b64decode(line["state"]) for line in lines}
