"""The entry point of the command `kalmap`. It handles Ctrl-C before it imports anything else."""

import os
import signal
import sys
from typing import NoReturn


def _end(_signal: int, _frame: object) -> NoReturn:
    os.write(2, b"kalmap: Interrupted. Nothing was changed.\n")
    os._exit(130)


signal.signal(signal.SIGINT, _end)
signal.signal(signal.SIGTERM, _end)

from kalmap_cli.main import main  # noqa: E402 - Ctrl-C may come during this import

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
