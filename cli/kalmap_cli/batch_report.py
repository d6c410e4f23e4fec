"""The report that each batch gets beside its results, if what draws is installed."""

import os
from pathlib import Path

from kalmap.store.ports import BatchRecord
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import RunFailed, as_sentence
from kalmap_cli.output_files import open_output
from kalmap_cli.reporting import needs_extra
from kalmap_cli.screen import SHORT_ID, Screen

REPORT = "report.html"
#: With the value `no`, batches get no report. `kalmap report` writes one all the same.
REPORT_VARIABLE = "KALMAP_REPORT"


def write_report(
    screen: Screen, deployment: Deployment, record: BatchRecord, folder: Path
) -> str | None:
    """Write a batch's report into the folder of its results.

    The batch has ended and its results are there, so whatever goes wrong here is only said.

    Returns:
        The file's path, or why there is none; None if the user wants none.
    """
    wanted = os.environ.get(REPORT_VARIABLE, "yes")
    if wanted == "no":
        return None
    if wanted != "yes":
        return f"none. {REPORT_VARIABLE} is {wanted!r}; it must be yes or no."
    path = folder / REPORT
    screen.note("Drawing the report")
    try:
        with needs_extra():
            from kalmap_cli.reporting.batch_view import view_batch  # noqa: PLC0415
            from kalmap_cli.reporting.page import report_page  # noqa: PLC0415
        page = report_page(view_batch(deployment, record))
        with open_output(path) as file:
            file.write(page.encode())
    except RunFailed as error:
        return f"none. {error}"
    except Exception as error:  # noqa: BLE001 - the results are there, whatever happens here
        again = f"`kalmap report {record.batch_id[:SHORT_ID]}{deployment.options}` tries again."
        return f"none: {as_sentence(error)} {again}"
    return str(path)
