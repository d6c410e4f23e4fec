"""Fuzz the API's function: bodies of every shape that the code reads, broken and odd requests.

    python -m tests.fuzz.requests [--requests N] [--seed S]

The function runs in this process, on the local cloud's table and bucket, and none of its answers
may be a 5xx; every problem has its one form. `make fuzz` runs it;
`tests/api/test_broken_requests.py` has a small part of it that is always the same.
"""

import argparse
import contextlib
import io
import random
import sys
from collections import Counter

import pytest

import tests.support.environment  # noqa: F401
from tests.support.api_function import Api
from tests.support.broken_requests import accept_starts, put_object, send

REQUESTS = 20_000


def main(requests: int, seed: int) -> int:
    print(f"The API's function, with seed {seed}", flush=True)
    chance, answered = random.Random(seed), Counter()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        accept_starts(patch)
        api = Api(patch)
        put_object(api)
        for _ in range(requests):
            answered[send(api, chance)] += 1
    print(
        f"{requests:,} requests, none answered by a fault of ours: {dict(sorted(answered.items()))}"
    )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.requests")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    sys.exit(main(arguments.requests, arguments.seed))
