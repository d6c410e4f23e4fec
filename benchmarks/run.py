"""Run every benchmark beside this file and write what they print into docs/benchmarks.md.

    python benchmarks/run.py [NAME...]        all of them, or only these

The page is written when all have ended well; a benchmark that fails is named, and the page stays
as it was. With names, the results go to the terminal only.
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
other work to do, gives others. What each figure is, and what it is compared with, stands in the
benchmark's own file.

"""


def machine() -> str:
    """What the figures were measured on."""
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
    """What a benchmark printed, under its title; Markdown tables as they are."""
    shown = printed if printed.startswith(("|", "#")) else f"```\n{printed}\n```"
    return f"## {title(benchmark)}\n\n`{benchmark.relative_to(ROOT)}`\n\n{shown}\n"


def main(names: list[str]) -> int:
    """Run the benchmarks; 1 where one of them failed, 2 for an unknown name."""
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
