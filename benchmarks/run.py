"""Run every benchmark beside this file, and write their output into docs/benchmarks.md.

    python benchmarks/run.py [NAME...]        all of them, or only these

The page is written if all have succeeded. If one fails, its name is printed and the page is not
changed. With names, the output goes only to the terminal.
"""

import ast
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """\
# Benchmarks

Written by `make bench`. Compare figures within one run only: another machine, or the same one with
other work to do, gives others. The file of each benchmark says what its figures are, and what they
are compared with.

"""


def machine() -> str:
    """The machine and the versions that the figures were measured with."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores of {cpu}, "
        f"{platform.system()}, Python {platform.python_version()}, numpy {version('numpy')}.\n"
    )


def title(benchmark: Path) -> str:
    """The first sentence of the benchmark's docstring."""
    text = ast.get_docstring(ast.parse(benchmark.read_text())) or benchmark.stem
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def section(benchmark: Path, printed: str) -> str:
    """A benchmark's output under its title. Markdown tables stay as they are."""
    shown = printed if printed.startswith(("|", "#")) else f"```\n{printed}\n```"
    return f"## {title(benchmark)}\n\n`{benchmark.relative_to(ROOT)}`\n\n{shown}\n"


def main(names: list[str]) -> int:
    """Run the benchmarks. The exit code is 1 if one of them failed, and 2 for an unknown name."""
    found = {file.stem: file for file in sorted(HERE.glob("*.py")) if file.stem != "run"}
    if unknown := [name for name in names if name not in found]:
        print(f"No such benchmark: {', '.join(unknown)}. There are: {', '.join(found)}.")
        return 2
    sections, failed = [], []
    for name in names or found:
        print(f"== {title(found[name])}", flush=True)
        done = subprocess.run(
            [sys.executable, found[name]],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        print(done.stdout, flush=True)
        if done.returncode:
            failed.append(name)
        sections.append(section(found[name], done.stdout.strip()))
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
        return 1
    if not names:
        PAGE.write_text(HEAD + machine() + "\n" + "\n".join(sections))
        print(f"Written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
