"""Time zones by name, from one database, so that the same file gives the same times everywhere.

The database is the package tzdata: that of the machine may be another version, or missing.
"""

import re
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")


@lru_cache(maxsize=64)
def time_zone(name: str) -> ZoneInfo | None:
    """Find a time zone; None if there is none of this name."""
    if not _NAME.fullmatch(name):
        return None
    file = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    try:
        with file.open("rb") as opened:
            return ZoneInfo.from_file(opened, key=name)
    except (OSError, ValueError):
        return None
