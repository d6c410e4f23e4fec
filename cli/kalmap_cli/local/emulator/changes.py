"""All changes of the emulator. Importing this module imports ministack."""

from kalmap_cli.local.emulator import (
    closed_connections,
    code_folders,
    execution_starts,
    forked_workers,
    item_copies,
    log_lines,
    object_bodies,
    parsed_statements,
    service_models,
    step_calls,
    table_scans,
    translated_templates,
)
from kalmap_cli.local.emulator.forked_workers import Template


def install(workers: int, template: Template) -> None:
    """Install all changes, in the process of the local cloud.

    Args:
        workers: How many workers may run at once.
        template: What they are forked from.
    """
    closed_connections.install()
    code_folders.install()
    execution_starts.install()
    forked_workers.install(template)
    item_copies.install()
    log_lines.install()
    object_bodies.install()
    parsed_statements.install()
    service_models.install()
    step_calls.install(workers)
    table_scans.install()
    translated_templates.install()
