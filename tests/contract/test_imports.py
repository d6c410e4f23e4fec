"""What each step of the state machine imports: a container that starts pays for all of it."""

import subprocess
import sys
from pathlib import Path

STEPS = Path(__file__).parents[2] / "functions" / "kalmap_handlers" / "steps"
#: Steps that read readings or count slices. All others do without numpy.
WITH_NUMPY = {
    "filter_users",
    "load_states",
    "partition_measurements",
    "plan_batch",
    "plan_shards",
    "record_shard_failure",
}
#: Steps that fold readings or write their results. All others do without the filter.
WITH_FILTER = {"filter_users", "record_shard_failure"}
#: Imports each module in a process of its own, and prints which of the others came with it.
PROGRAM = """
import importlib, os, sys
import aws_lambda_powertools, boto3
for step in sys.argv[1].split():
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, step
        continue
    importlib.import_module(f"kalmap_handlers.steps.{step}")
    print(step, *(name for name in ("numpy", "kalmap.filter", "pyarrow") if name in sys.modules))
    sys.stdout.flush()
    os._exit(0)
"""


def test_a_step_imports_numpy_the_filter_and_pyarrow_only_where_it_needs_them():
    steps = {path.stem for path in STEPS.glob("[!_]*.py")}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, " ".join(sorted(steps))],
        check=True,
        capture_output=True,
        text=True,
    )
    imported = {step: set(names) for step, *names in map(str.split, ran.stdout.splitlines())}
    assert imported.keys() == steps
    assert {step for step, names in imported.items() if "numpy" in names} == WITH_NUMPY
    assert {step for step, names in imported.items() if "kalmap.filter" in names} == WITH_FILTER
    assert not [step for step, names in imported.items() if "pyarrow" in names]
