"""Per-user Kalman filtering for very large batches of timestamped measurements.

The names below are the library for notebooks and programs, which docs/library.md shows. They come
from `kalmap_library` when they are asked for; the functions on AWS do without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalmap_library import (
        Folded,
        InvalidInput,
        InvalidProfile,
        KalmapError,
        Profile,
        Table,
        fold,
        load_profile,
        predict,
        read,
        simulate,
        smooth,
        tune,
    )

__all__ = [
    "Folded",
    "InvalidInput",
    "InvalidProfile",
    "KalmapError",
    "Profile",
    "Table",
    "fold",
    "load_profile",
    "predict",
    "read",
    "simulate",
    "smooth",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("kalmap_library"), name)
    if name == "__version__":
        metadata = import_module("importlib.metadata")
        try:
            return metadata.version("kalmap")
        except metadata.PackageNotFoundError:
            raise AttributeError("kalmap is not installed, so it has no __version__") from None
    raise AttributeError(f"module 'kalmap' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__, "__version__"]
