"""`kalmap run`: a batch of files, from checking them to the results in a directory."""

from collections.abc import Sequence
from pathlib import Path

from kalmap_cli import drive
from kalmap_cli.follow import follow, report
from kalmap_cli.inputs import check_input, check_output, read_profile
from kalmap_cli.screen import Screen
from kalmap_cli.target import target


def run(
    files: Sequence[Path],
    out: Path,
    profile: str | None,
    data_dir: Path | None,
    stack: str | None,
    *,
    fresh: bool,
) -> int:
    """Run a batch of files and write its results.

    Returns:
        The exit code.

    Raises:
        WrongUsage: A file, the profile or a directory is not as it must be; nothing was started.
        RunFailed: The batch failed; its summary has been written where there is one.
    """
    for file in files:
        check_input(file)
    chosen = read_profile(profile)
    check_output(out)
    with Screen() as screen, target(screen, data_dir, stack, fresh=fresh) as place:
        screen.note(f"Uploading {len(files)} file{'s' if len(files) > 1 else ''}")
        prefix = drive.upload(place.clients, place.stack, files)
        source = {"bucket": place.stack.bucket, "prefix": prefix}
        batch = {"source": source, "profile": chosen}
        fetched, ended = follow(screen, place, batch, out)
        screen.note("Saving" if stack is None else "Done")
    return report(fetched, ended)
