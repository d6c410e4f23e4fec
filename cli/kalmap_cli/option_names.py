"""The options of the command line in place of the fields of a batch's input, in sentences."""

import re

from kalmap.batch.identity import Limits

#: The option of the command line that sets each field of the execution's input.
_OPTIONS = {
    "profile": "--profile",
    "write_mode": "--write-mode",
    "adopt_profile": "--adopt-profile",
    "now": "--now",
    "share": "--share",
    "limits": "--limits",
    "source.mapping.tz": "--tz Europe/Berlin",
} | {f"limits.{name}": f"--limits {name}=SHARE" for name in Limits.__struct_fields__}


def with_option_names(sentence: str) -> str:
    """Replace fields of the input, in backticks in a sentence of the cloud, by their options."""
    return re.sub(r"`([a-z_.]+)`", lambda field: f"`{_OPTIONS.get(field[1], field[1])}`", sentence)
