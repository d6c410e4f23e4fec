"""The options that say where batches run: on this machine, or on a deployed stack."""

import argparse
from pathlib import Path

from kalmap_cli.errors import WrongUsage

DATA_DIR_HELP = "directory of the local cloud's data (default: $KALMAP_DATA_DIR or .kalmap)"


def add_deployment(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where batches run."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="D",
        help=DATA_DIR_HELP,
    )
    parser.add_argument(
        "--stack", metavar="NAME", help="use this deployed stack on AWS, not the local cloud"
    )


def deployment_of(arguments: argparse.Namespace) -> tuple[Path | None, str | None]:
    """The data directory of the local cloud, or the name of a stack on AWS."""
    from kalmap_cli.local import data_dir  # noqa: PLC0415

    if arguments.stack is None:
        return arguments.data_dir or data_dir.default_path(), None
    if arguments.data_dir is not None:
        raise WrongUsage("--data-dir is for the local cloud and cannot be used with --stack.")
    return None, arguments.stack


def existing_deployment(arguments: argparse.Namespace) -> tuple[Path | None, str | None]:
    """The same, where batches have run before.

    Raises:
        WrongUsage: There is no such data directory.
    """
    from kalmap_cli.local import data_dir  # noqa: PLC0415

    path, stack = deployment_of(arguments)
    if path is not None and not data_dir.is_data_directory(path):
        raise WrongUsage(
            f"There is no kalmap data directory {path}. Run a batch first, or name another "
            f"directory with --data-dir."
        )
    return path, stack
