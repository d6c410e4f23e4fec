"""The reports that the console shows: drawn once, in a thread, since drawing takes seconds."""

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from kalmap.store.ports import BatchRecord
from kalmap_cli.deployment import Deployment
from kalmap_cli.reporting.batch_view import view_batch
from kalmap_cli.reporting.page import report_content

#: Reports that are kept. Each has at most 2 MB.
_MOST = 8

Content = dict[str, Any]


class DrawnReports:
    """Draws reports of ended batches, one at a time, and keeps the newest.

    Args:
        deployment: Where the batches ran.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._reports: OrderedDict[tuple[str, str, str], Future[Content]] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console-report")

    def get(self, record: BatchRecord, seconds: float) -> Content | None:
        """What fills the report's template; None if it is not drawn within some seconds."""
        # A batch that is run again has another folder.
        key = (record.prefix, record.status, record.finished_at or "")
        with self._lock:
            report = self._reports.get(key)
            if report is None or (report.done() and report.exception()):
                report = self._thread.submit(self._draw, record)
                self._reports[key] = report
            self._reports.move_to_end(key)
            while len(self._reports) > _MOST:
                self._reports.popitem(last=False)
        try:
            return report.result(seconds)
        except TimeoutError:
            return None

    def _draw(self, record: BatchRecord) -> Content:
        return report_content(view_batch(self._deployment, record))
