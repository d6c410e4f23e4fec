"""What each function imports: a container that starts pays for all of it."""

import subprocess
import sys

from tests.support.template import template

#: Functions that read readings or count slices. All others do without numpy.
WITH_NUMPY = {
    "ApiFunction",
    "FailShardFunction",
    "FilterFunction",
    "LoadFunction",
    "PartitionFunction",
    "PlanFunction",
    "PlanShardsFunction",
}
#: Functions that fold readings or write their results. All others do without the filter.
WITH_FILTER = {"ApiFunction", "FailShardFunction", "FilterFunction"}
#: What a container imports when it is needed, if ever, and what only a laptop has.
LATER = (
    "pyarrow",
    "redis",
    "aws_lambda_powertools.utilities.idempotency",
    "kalmap_library",
    "kalmap_cli",
)
#: Imports each module in a process of its own, and prints which of the others came with it.
PROGRAM = """
import importlib, os, sys
import aws_lambda_powertools, boto3
modules, others = (text.split() for text in sys.argv[1:])
for module in modules:
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, module
        continue
    importlib.import_module(module)
    print(module, *(name for name in others if name in sys.modules))
    sys.stdout.flush()
    os._exit(0)
"""


def test_a_function_imports_numpy_the_filter_and_what_is_rarely_used_only_where_it_needs_them():
    functions = {
        resource["Properties"]["Handler"].removesuffix(".handler"): name
        for name, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            " ".join(functions),
            " ".join(("numpy", "kalmap.filter", *LATER)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    imported = {
        functions[module]: set(names) for module, *names in map(str.split, ran.stdout.splitlines())
    }
    assert imported.keys() == set(functions.values())
    assert {name for name, names in imported.items() if "numpy" in names} == WITH_NUMPY
    assert {name for name, names in imported.items() if "kalmap.filter" in names} == WITH_FILTER
    assert not {name: names & {*LATER} for name, names in imported.items() if names & {*LATER}}
