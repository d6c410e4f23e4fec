"""What a batch says, and what a user's state says: as pages, charts and lines.

The modules that draw need the extra `kalmap[report]`. No Lambda imports any of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kalmap_cli.errors import RunFailed

#: The extras of the command line that draw.
REPORT_EXTRA, CONSOLE_EXTRA = "report", "console"
_INSTALL = {
    REPORT_EXTRA: ("Drawing", '`pip install "kalmap[report]"`'),
    CONSOLE_EXTRA: ("The console", '`pip install "kalmap[console]"`'),
}


@contextmanager
def needs_extra(extra: str = REPORT_EXTRA) -> Iterator[None]:
    """Around imports of modules that need an extra.

    Raises:
        RunFailed: What they need is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        what, install = _INSTALL[extra]
        raise RunFailed(
            f"{what} needs the package {error.name}, which is not installed. {install} installs "
            "what is missing."
        ) from error
