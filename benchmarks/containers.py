"""Starting a container: what each function imports, and how long that takes.

The larger part of a start. Each handler is imported by processes of their own, with bytecode that
is there already; the figures are the least processor time of seven, and the process's memory then.
A function has a whole core from 1,769 MB on, so most need nearly twice as long on AWS. Not in it:
what Lambda fetches and unpacks, Python's own start, and making clients. All need boto3, for the
batch's folder or a table. tests/contract/test_imports.py holds which do without numpy and the
filter.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "functions"), str(ROOT / "cli")]

from kalmap_cli.local.deploy import read_template

RUNS = 7
LIBRARIES = ("boto3", "aws_lambda_powertools", "msgspec", "numpy", "kalmap.filter")
PROGRAM = """
import sys, time
started = time.process_time()
import {module}
seconds = time.process_time() - started
from kalmap_handlers.memory import peak_memory_mb
print(seconds, peak_memory_mb(), *(name for name in {libraries} if name in sys.modules))
"""


def started(module: str) -> tuple[float, float, set[str]]:
    """Processor seconds of an import, the process's MB, and which libraries came with it."""
    program = PROGRAM.format(module=module, libraries=LIBRARIES)
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / "functions",
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, memory, *libraries = ran.stdout.split()
    return float(seconds), float(memory), set(libraries)


def modules() -> dict[str, str]:
    """What is imported, by what is shown: libraries alone, then the handler of each function."""
    functions = {
        name: resource["Properties"]["Handler"].removesuffix(".handler")
        for name, resource in read_template(ROOT / "template.yaml")["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    return {name: name for name in LIBRARIES[:4]} | functions


def main() -> None:
    """Print a table."""
    imported = modules()
    runs: dict[str, list[tuple[float, float, set[str]]]] = {name: [] for name in imported}
    # In turns, so that what else the machine does meanwhile meets all alike.
    for _ in range(RUNS):
        for name, module in imported.items():
            runs[name].append(started(module))
    print("| imported | processor ms | MB | with numpy | with the filter |")
    print("|---|--:|--:|---|---|")
    for name, of_one in runs.items():
        milliseconds = 1000 * min(seconds for seconds, _, _ in of_one)
        memory = min(memory for _, memory, _ in of_one)
        libraries = of_one[0][2]
        marks = ["yes" if one in libraries else "" for one in ("numpy", "kalmap.filter")]
        print(f"| {name} | {milliseconds:.0f} | {memory:.0f} | {' | '.join(marks)} |")


if __name__ == "__main__":
    main()
