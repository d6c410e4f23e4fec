"""Arrow's library, pyarrow: it is imported only where a table of Arrow or Parquet is met."""

from typing import Any

from kalmap.errors import InvalidInput


def import_arrow(what: str) -> Any:
    """Import pyarrow.

    Args:
        what: What needs it, as a sentence's beginning.

    Raises:
        InvalidInput: It is not installed here.
    """
    try:
        import pyarrow  # noqa: ICN001, PLC0415 - 0.1 s, and most batches need it not
    except ImportError:
        raise InvalidInput(
            f"{what}, and pyarrow is not installed where this runs. On your machine: "
            '`pip install "kalmap[parquet]"`; in a checkout: .venv/bin/pip install pyarrow. '
            "On AWS: deploy the stack with the parameter Parquet=true."
        ) from None
    return pyarrow


def import_compute(what: str) -> Any:
    """Import pyarrow.compute, as `import_arrow` does."""
    import_arrow(what)
    import pyarrow.compute  # noqa: PLC0415

    return pyarrow.compute


def import_parquet(what: str) -> Any:
    """Import pyarrow.parquet, as `import_arrow` does."""
    import_arrow(what)
    import pyarrow.parquet  # noqa: PLC0415

    return pyarrow.parquet
