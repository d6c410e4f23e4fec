"""The report that each batch gets beside its results, and the users that the terminal names."""

import contextlib
import os
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from kalmap.store.ports import BatchRecord
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import RunFailed, as_sentence
from kalmap_cli.output_files import open_output
from kalmap_cli.reporting import needs_extra
from kalmap_cli.screen import SHORT_ID, Screen

if TYPE_CHECKING:  # it imports numpy, which most commands do without
    from kalmap_cli.reporting.movers import Mover

REPORT = "report.html"
#: With the value `no`, batches get no report. `kalmap report` writes one all the same.
REPORT_VARIABLE = "KALMAP_REPORT"
#: Users that the terminal names.
_MOST_MOVERS = 3


class WrittenReport(NamedTuple):
    """What became of a batch's report."""

    path: Path | None
    """The file; None if there is none."""
    why_none: str = ""
    """The words that stand in place of the file's path."""
    movers: "list[Mover] | None" = None
    """The users whose level moves most; None if they are not known."""


def prepare_report() -> None:
    """Load what draws a report, which takes half a second, while the batch runs."""
    if os.environ.get(REPORT_VARIABLE, "yes") == "yes":
        Thread(target=_load_drawing).start()


def _load_drawing() -> None:
    # What is wrong here is told when the report is drawn.
    with contextlib.suppress(Exception):
        import kalmap_cli.reporting.page  # noqa: F401, PLC0415
        from kalmap_cli.reporting.drawing import start_drawing  # noqa: PLC0415

        start_drawing()


def write_report(
    screen: Screen, deployment: Deployment, record: BatchRecord, folder: Path
) -> WrittenReport | None:
    """Write a batch's report into the folder of its results.

    The batch has ended and its results are there, so whatever goes wrong here is only said.

    Returns:
        What became of it; None if the user wants no report.
    """
    wanted = os.environ.get(REPORT_VARIABLE, "yes")
    if wanted == "no":
        return None
    if wanted != "yes":
        return WrittenReport(None, f"none. {REPORT_VARIABLE} is {wanted!r}; it must be yes or no.")
    path, movers = folder / REPORT, None
    screen.note("Drawing the report")
    from kalmap_cli.reporting.batch_view import view_batch  # noqa: PLC0415
    from kalmap_cli.reporting.movers import movers_of  # noqa: PLC0415

    try:
        view = view_batch(deployment, record)
        if view.sample and view.people and view.profile:
            movers = movers_of(view.sample, view.people, view.profile, _MOST_MOVERS)
        with needs_extra():
            from kalmap_cli.reporting.page import report_page  # noqa: PLC0415
        page = report_page(view)
        with open_output(path) as file:
            file.write(page.encode())
    except RunFailed as error:
        return WrittenReport(None, f"none. {error}", movers)
    except Exception as error:  # noqa: BLE001 - the results are there, whatever happens here
        again = f"`kalmap report {record.batch_id[:SHORT_ID]}{deployment.options}` tries again."
        return WrittenReport(None, f"none: {as_sentence(error)} {again}", movers)
    return WrittenReport(path, movers=movers)
