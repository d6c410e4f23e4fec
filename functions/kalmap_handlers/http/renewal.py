"""A container whose memory has grown too large restarts its process after a response.

An adapter of Lambda's runtime: this works only because of when the runtime releases a response.
"""

import os
import sys
from typing import Any


class LastResponse(dict[str, Any]):
    """A response after which the process restarts, if AWS runs it.

    AWS's runtime releases a response after it has sent it and before it asks for the next request.
    A process that is replaced at this moment loses nothing. Earlier, the response would be lost.
    Later, the next request would be lost.
    """

    def __del__(self) -> None:
        # The local cloud has no such interface, and its workers end soon anyway.
        if "AWS_LAMBDA_RUNTIME_API" in os.environ:
            _restart()


def _restart() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    # The environment that this process began with: the runtime has removed some of it.
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        entries = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        environment = {name: value for name, _, value in entries}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
