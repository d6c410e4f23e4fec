"""The library behind `import kalmap`: tables of readings in, tables of results out.

docs/library.md shows it. It calls the same parser and the same fold as a batch. It is never
deployed: the functions on AWS have the package `kalmap` without these names.
"""

from kalmap.errors import InvalidInput, InvalidProfile, KalmapError
from kalmap.profile import Profile
from kalmap_library.files import read
from kalmap_library.folding import Folded, fold
from kalmap_library.profiles import load_profile
from kalmap_library.simulating import simulate
from kalmap_library.stored import predict, smooth
from kalmap_library.table import Table
from kalmap_library.tuning import tune

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
