"""All changes of the emulator. Importing this module imports ministack."""

from kalmap_cli.local.emulator import (
    code_folders,
    forked_workers,
    item_copies,
    log_lines,
    object_bodies,
    parsed_statements,
    step_calls,
)


def install(workers: int) -> None:
    """Install all changes, in the process of the local cloud.

    Args:
        workers: How many workers may run at once.
    """
    code_folders.install()
    forked_workers.install()
    item_copies.install()
    log_lines.install()
    object_bodies.install()
    parsed_statements.install()
    step_calls.install(workers)
