"""A function's code is unpacked once for all its workers.

ministack unpacks it for each worker into a new folder, where Python also compiles each module anew.
Here the folder of a worker has links to one folder for all workers with the same code, which keeps
what the first of them has compiled.
"""

import hashlib
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime

#: What ministack names the file with the code, in the folder of a worker.
_CODE = "code.zip"

_unpacking = threading.Lock()


def install() -> None:
    """Give ministack's workers an archive that unpacks code once."""
    lambda_runtime.zipfile = _ZipModule()


class _CodeArchive(zipfile.ZipFile):
    """An archive; if it is a function's code, unpacking it makes links."""

    def extractall(self, path: Any = None, *arguments: Any, **named: Any) -> None:
        if self.filename and Path(self.filename).name == _CODE:
            _link(self, Path(path))
        else:
            super().extractall(path, *arguments, **named)

    def unpack(self, folder: Path) -> None:
        """Unpack into a folder that then is complete, or does not exist."""
        part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
        try:
            super().extractall(part)
            part.rename(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


class _ZipModule:
    """The module zipfile, with another class of archives."""

    ZipFile = _CodeArchive

    def __getattr__(self, name: str) -> Any:
        return getattr(zipfile, name)


def _link(archive: _CodeArchive, folder: Path) -> None:
    content = Path(str(archive.filename)).read_bytes()
    unpacked = Path(tempfile.gettempdir(), f"code-{hashlib.sha256(content).hexdigest()}")
    with _unpacking:
        if not unpacked.exists():
            archive.unpack(unpacked)
    for entry in unpacked.iterdir():
        (folder / entry.name).symlink_to(entry.absolute())
