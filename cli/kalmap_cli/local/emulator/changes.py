"""All changes of the emulator. Importing this module imports ministack."""

from kalmap_cli.local.emulator import (
    code_folders,
    forked_workers,
    item_copies,
    log_lines,
    object_bodies,
    parsed_statements,
)


def install() -> None:
    """Install all changes, in the process of the local cloud."""
    code_folders.install()
    forked_workers.install()
    item_copies.install()
    log_lines.install()
    object_bodies.install()
    parsed_statements.install()
