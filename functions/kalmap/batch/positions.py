"""Where the records of a batch came from: from an index back to an object and its line."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalmap.batch.folder import Folder
from kalmap.batch.partitions import Partitions
from kalmap.errors import InputNotFound
from kalmap.records.runs import Run, place_of
from kalmap.records.shards import CHUNK_START


class Positions:
    """Finds records' objects and lines. What is needed of a chunk is read once.

    Args:
        folder: Of a batch that has been planned.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._partitions = Partitions(folder)
        self._chunks: tuple[list[list[str]], NDArray[np.void]] | None = None
        self._runs: dict[int, list[Run]] = {}

    def find(self, index: int) -> tuple[str | None, int | None]:
        """The key and the line of a record.

        Args:
            index: Its index in the batch's whole input.

        Returns:
            The key, and the line from 1. None for what is not known: batches of earlier versions
            have not stored it.
        """
        files, starts = self._chunks = self._chunks or self._read_chunks()
        if not files:
            return None, None
        # A chunk without records begins where the next one does.
        chunk = int(np.searchsorted(starts["index"], index, side="right")) - 1
        if chunk not in self._runs:
            report = self._partitions.report(chunk)
            self._runs[chunk] = report.runs if report else []
        place = place_of(self._runs[chunk], index - int(starts["index"][chunk]))
        if place is None:
            return files[chunk][0] if len(files[chunk]) == 1 else None, None
        file, line = place
        return files[chunk][file], None if line is None else line + int(starts["line"][chunk])

    def _read_chunks(self) -> tuple[list[list[str]], NDArray[np.void]]:
        try:
            return self._folder.plan().files, self._partitions.chunk_starts()
        except (InputNotFound, msgspec.ValidationError):
            return [], np.empty(0, CHUNK_START)
