"""What a batch says, and what a user's state says: as pages, charts and lines.

The modules that draw need the extra `kalmap[report]`. No Lambda imports any of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kalmap_cli.errors import RunFailed

#: How to install what draws.
INSTALL = '`pip install "kalmap[report]"`'


@contextmanager
def needs_extra() -> Iterator[None]:
    """Around imports of modules that draw.

    Raises:
        RunFailed: What they need is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise RunFailed(
            f"Drawing needs the package {error.name}, which is not installed. {INSTALL} installs "
            "what is missing."
        ) from error
