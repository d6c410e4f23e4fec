"""`kalmap show`: one user's stored readings and level, in the terminal or as a picture."""

import argparse
import shutil
import sys
from pathlib import Path

from kalmap.store.profiles import Profiles
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, RunFailed, WrongUsage
from kalmap_cli.file_names import printable
from kalmap_cli.output_files import (
    check_outputs,
    check_outside_data_directory,
    is_stream,
    open_output,
)
from kalmap_cli.reporting import needs_extra
from kalmap_cli.reporting.user_state import (
    UserStory,
    rejections_of,
    story_of,
    summary_of,
)
from kalmap_cli.terminal import fit_to_terminal

_FORMS = (".svg", ".png", ".html")
_LABEL = 10


def show(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Show a user under each profile that has a state of them, or draw one of them into a file.

    Raises:
        WrongUsage: There is no such state, there are several to draw, or the file is wrong.
        RunFailed: The extra is not installed, or the file could not be completed.
    """
    out: Path | None = arguments.out
    if out is not None:
        _check_out(out, data_dir)
        check_outputs({"--out": out}, replace=arguments.replace)
    with open_deployment(None, data_dir, stack) as deployment:
        store = deployment.states
        profiles = Profiles(deployment.objects)
        states = sorted(store.of_user(arguments.user), key=lambda state: state.profile)
        chosen = [s for s in states if arguments.profile in {None, s.profile}]
        if not chosen:
            raise WrongUsage(_no_state(arguments, [state.profile for state in states]))
        stories = [story_of(state, profiles) for state in chosen]
    if out is None:
        for story in stories:
            _print(story)
        return DONE
    if len(stories) > 1:
        names = " or ".join(story.profile.name for story in stories)
        raise WrongUsage(f"This user has states under several profiles. Add --profile {names}.")
    _draw(stories[0], out)
    if not is_stream(out):
        print(out)
    return DONE


def _check_out(out: Path, data_dir: Path | None) -> None:
    if out.suffix not in _FORMS:
        raise WrongUsage(f"--out {out} must end in {', '.join(_FORMS[:-1])} or {_FORMS[-1]}.")
    check_outside_data_directory(out, data_dir)


def _no_state(arguments: argparse.Namespace, profiles: list[str]) -> str:
    if profiles:
        return (
            f"User {arguments.user!r} has no state under the profile {arguments.profile!r}, but "
            f"under {', '.join(profiles)}."
        )
    return (
        f"There is no stored state of user {arguments.user!r}. `kalmap users` lists users who "
        "have one."
    )


def _print(story: UserStory) -> None:
    width = shutil.get_terminal_size().columns
    print(f"{printable(story.user)}  {story.profile.name}, in {story.unit}")
    try:
        with needs_extra():
            from kalmap_cli.reporting.terminal_chart import chart_lines  # noqa: PLC0415
    except RunFailed as error:
        print(fit_to_terminal(str(error), sys.stdout))
    else:
        colours = sys.stdout.isatty()
        course = (story.points, story.expected, story.unit)
        print("\n".join(chart_lines(*course, width=min(width, 120), colours=colours)))
        print("• accepted  x rejected; the level between the lines of its 95 % interval")
    for label, text in summary_of(story):
        print(fit_to_terminal(f"{label:{_LABEL}}{text}", sys.stdout, _LABEL))
    for number, (when, why) in enumerate(rejections_of(story)):
        label = "" if number else "rejected"
        print(fit_to_terminal(f"{label:{_LABEL}}{when}  {why}", sys.stdout, _LABEL))


def _draw(story: UserStory, out: Path) -> None:
    with needs_extra():
        from kalmap_cli.reporting import user_picture  # noqa: PLC0415
    drawn = {
        ".svg": user_picture.as_svg,
        ".png": user_picture.as_png,
        ".html": user_picture.as_page,
    }[out.suffix](story)
    with open_output(out) as file:
        file.write(drawn)
