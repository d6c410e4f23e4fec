"""Table content: a file of Arrow or Parquet as its library reads it, here and there."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kalmap.errors import InvalidInput
from kalmap.records.arrow_library import import_arrow, import_compute

#: A file of at most this size is read as a whole, by one request.
_WHOLE_BYTES = 8 * 1024 * 1024
_FROM_CURRENT, _FROM_END = 1, 2


class BrokenTable(Exception):
    """A table cannot be read. The text goes on after the file's name."""


class TableContent:
    """A file that is read at any place, in the form that pyarrow takes.

    Args:
        read: Returns the content's bytes [start, end); fewer at its end.
        size: Bytes of the whole content.
    """

    closed = False

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self.size = size
        self._position = 0
        self._whole: bytes | None = None
        self._left: tuple[float, str] = (math.inf, "")
        """How much may be read, and what is wrong with a file that needs more."""
        self._error: Exception | None = None
        """What reading has raised, so that it is not taken for a fault of the file."""

    def read(self, length: int = -1) -> bytes:
        """Read from the current position."""
        start = self._position
        end = self.size if length < 0 else min(start + length, self.size)
        left, fault = self._left
        self._left = left - max(end - start, 0), fault
        if self._left[0] < 0:
            self._error = BrokenTable(fault)
            raise self._error
        data = self.bytes(start, end) if start < end else b""
        self._position = start + len(data)
        return data

    def bytes(self, start: int, end: int) -> bytes:
        """Read the bytes [start, end)."""
        try:
            if self.size > _WHOLE_BYTES:
                return self._read(start, end)
            if self._whole is None:
                self._whole = self._read(0, self.size)
            return self._whole[start:end]
        except Exception as error:
            self._error = error
            raise

    @contextmanager
    def at_most(self, count: int, fault: str) -> Iterator[None]:
        """Limit what is read within the block.

        Args:
            count: The most bytes.
            fault: What is wrong with a file that needs more; it goes on after the file's name.
        """
        self._left = count, fault
        try:
            yield
        finally:
            self._left = math.inf, ""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position."""
        base = {_FROM_CURRENT: self._position, _FROM_END: self.size}.get(whence, 0)
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def close(self) -> None:
        """Called by pyarrow."""

    def flush(self) -> None:
        """Called by pyarrow."""

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """False."""
        return False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Tell faults of the file from faults of reading it.

        Raises:
            BrokenTable: The file has a fault.
        """
        arrow = import_arrow("A table is read")
        try:
            yield
        except BrokenTable:
            raise
        except (arrow.ArrowException, OSError, ValueError, NotImplementedError) as error:
            if self._error is not None:
                raise self._error from error
            raise BrokenTable(_sentence(str(error))) from error


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Give a broken table its name.

    Raises:
        InvalidInput: The table is broken.
    """
    try:
        yield
    except BrokenTable as error:
        raise InvalidInput(f"{name} {error}") from error


def refuse_unsound(batch: Any) -> None:
    """Refuse a record batch that points outside itself: pyarrow reads unchecked, and may crash.

    Raises:
        BrokenTable: A code is not in its dictionary.
        ArrowInvalid: Another position is outside.
    """
    arrow, compute = import_arrow("A table is read"), import_compute("A table is read")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        column.validate()
        if not arrow.types.is_dictionary(column.type):
            _validate(column)
            continue
        _validate(column.dictionary)
        _validate(column.indices)
        if column.null_count < len(column):
            low, high = compute.min_max(column.indices).as_py().values()
            if low < 0 or high >= len(column.dictionary):
                raise BrokenTable(f"is corrupt: a code of the column {name} has no text.")


def _validate(column: Any) -> None:
    """Check positions. Texts may be no UTF-8, which is told of their rows alone."""
    arrow = import_arrow("A table is read")
    plain = {
        arrow.string(): arrow.binary(),
        arrow.large_string(): arrow.large_binary(),
        arrow.string_view(): arrow.binary_view(),
    }
    column.validate()
    column.view(plain.get(column.type, column.type)).validate(full=True)


def _sentence(fault: str) -> str:
    if "encrypt" in fault.lower() or "decrypt" in fault.lower():
        return "is encrypted. Write it without encryption: kalmap keeps no keys."
    first = fault.strip().splitlines()[0].rstrip(".")[:200] if fault.strip() else "no reason given"
    return f"is corrupt or truncated: {first}."
