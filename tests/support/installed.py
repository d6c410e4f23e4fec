"""kalmap as users install it: built from the source distribution, in an environment of its own.

Nothing is fetched. The packages that kalmap needs are those of the tests' environment.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from tests.support.template import ROOT

#: 2023-11-14, for builds that must be alike.
EPOCH = "1700000000"


def run(command, folder, **environment):
    """Run a command in a folder, without what would let it find the checkout; returns stdout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def build(kind, checkout, folder):
    """Build a `wheel` or an `sdist` of a checkout into a folder; returns the file."""
    program = f"import sys; from hatchling import build; print(build.build_{kind}(sys.argv[1]))"
    name = run([sys.executable, "-c", program, folder], checkout, SOURCE_DATE_EPOCH=EPOCH)
    return folder / name.strip()


def unpack(sdist, folder):
    """Unpack a source distribution into a folder; returns the checkout that it holds."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [checkout] = folder.iterdir()
    return checkout


class Environment:
    """An environment with one wheel, which finds further packages in the given folders."""

    def __init__(self, folder: Path, wheel: Path, packages: Path):
        run([sys.executable, "-m", "venv", "--without-pip", folder], ROOT)
        self.bin = folder / "bin"
        pip = [sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--quiet"]
        offline = ["--no-deps", "--no-index", "--disable-pip-version-check"]
        run([*pip, *offline, wheel], ROOT)
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.packages = Path(run([self.bin / "python", "-c", where], ROOT).strip())
        # Python searches this folder, but reads no .pth file in it, such as that of the checkout.
        (self.packages / "others.pth").write_text(f"{packages}\n")


def some_packages(folder, *names):
    """A folder that has only the named packages of the tests' environment."""
    installed = Path(sysconfig.get_path("platlib"))
    for name in names:
        for path in (installed / name, installed / f"{name}.libs"):
            if path.exists():
                (folder / path.name).symlink_to(path)
    return folder
