"""At a terminal no line breaks within a word; elsewhere lines stay as they are."""

import fcntl
import os
import struct
import subprocess
import sys
import termios

import pytest

from tests.support.kalmap_command import environment
from tests.support.summary import SUMMARY

#: Reasons enough for several lines, and a hint.
LONG = SUMMARY | {
    "batch_id": "3f9a" * 8,
    "hints": ["12 readings would fit once multiplied by a unit ratio: check the unit of each."],
    "readings": SUMMARY["readings"]
    | {"rejected": dict.fromkeys(("unit_suspect", "implausible_rate", "out_of_range"), 12_345)},
}
PROGRAM = f"from kalmap_cli.screen import print_summary; print_summary({LONG!r})"
STATUS = """
from kalmap.store.ports import BatchRecord
from kalmap_cli.commands.status import _print_batches
_print_batches([BatchRecord(batch_id="3f9a" * 8, status="FAILED", reason="{reason}",
                            execution="e", prefix="batches/b/e",
                            started_at="2026-03-01T07:12:00Z", received=3922, accepted=12,
                            users=200)] * 2)
""".format(reason="The input has a header but no records, in any of its files. No state changed.")


def at_a_terminal(columns, *arguments):
    """What a Python program shows on a terminal that is so wide."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = environment(NO_COLOR="1", TERM="dumb")
    # It says how wide a terminal is, whatever the terminal says.
    variables.pop("COLUMNS", None)
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=variables
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    os.close(ours)
    process.wait(30)
    return shown.decode().replace("\r\n", "\n")


def elsewhere(*arguments):
    process = subprocess.run(
        [sys.executable, *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    return process.stdout + process.stderr


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", PROGRAM),
        ("-c", STATUS),
        ("-m", "kalmap_cli", "run", "a-file-that-is-not-there.jsonl", "--data-dir"),
        ("-m", "kalmap_cli", "states", "--data-dir", "a-directory-that-is-not-there"),
    ],
)
def test_lines_fit_and_no_word_is_torn(columns, arguments):
    shown = at_a_terminal(columns, *arguments)
    assert max(map(len, shown.splitlines())) <= columns
    # The words are those of where there is no terminal, but for a column's head.
    assert set(elsewhere(*arguments).split()) - {"reason"} == set(shown.split())


def test_without_a_terminal_each_batch_and_each_reason_is_one_line():
    assert len(elsewhere("-c", STATUS).splitlines()) == 3
    rows = elsewhere("-c", PROGRAM).splitlines()
    assert sum("unit_suspect 12,345" in row and "out_of_range 12,345" in row for row in rows) == 1


TABLE = """
import sys
from kalmap_cli.text_table import fitting
rows = [("user", "level"), ("0b9c7d1e-52aa-4c1f-9a57-3c1d8f6f2b10", "80.05 ± 0.45")]
print("\\n".join(fitting(rows, {1}, sys.stdout)))
"""


def test_in_a_table_that_is_too_wide_each_id_has_a_line_of_its_own():
    narrow = at_a_terminal(48, "-c", TABLE).splitlines()
    assert narrow[2:] == ["0b9c7d1e-52aa-4c1f-9a57-3c1d8f6f2b10", "  80.05 ± 0.45"]
    wide = at_a_terminal(80, "-c", TABLE).splitlines()
    assert wide[1] == "0b9c7d1e-52aa-4c1f-9a57-3c1d8f6f2b10  80.05 ± 0.45"
