"""The benchmarks keep to the names of the code that they measure."""

import subprocess
import sys

from tests.support.template import ROOT


def test_every_benchmark_can_be_imported():
    folder = ROOT / "benchmarks"
    scripts = [path.stem for path in folder.glob("*.py")]
    trials = [f"benchmarks.trials.{path.stem}" for path in folder.glob("trials/*.py")]
    program = f"import sys; sys.path[:0] = {[str(ROOT), str(folder)]}\n"
    program += "\n".join(f"import {name}" for name in [*scripts, *trials])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
