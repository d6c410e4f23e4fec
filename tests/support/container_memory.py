"""Full requests to a fresh container, which then prints its peak memory. It is run as a program."""

import json
import sys

import pytest

from tests.support.api_function import Api
from tests.support.both_paths import reading

if __name__ == "__main__":
    # The local cloud that this starts is a process of its own and does not count.
    import tests.support.environment  # noqa: F401
    from kalmap_handlers.memory import peak_memory_mb

    with pytest.MonkeyPatch.context() as monkeypatch:
        api = Api(monkeypatch)
        responses = [
            api.post([reading(f"u-{user}", hour / 10) for user in range(500)])
            if hour % 2
            else api.post([reading(f"v-{hour}", day / 10) for day in range(500)])
            for hour in range(8)
        ]
        peak = peak_memory_mb()
    sys.stdout.write(
        json.dumps(
            {
                "statuses": [one.status for one in responses],
                "results": len(responses[-1].body["results"]),
                "peak_mb": peak,
            }
        )
    )
