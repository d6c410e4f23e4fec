"""Nothing but pointers and counts travels through the state machine's payloads."""

import json

from tests.support.moto_engine import deployed

#: A quarter of what Step Functions takes, and beyond which nothing can be caught.
LIMIT = 64 * 1024


def test_in_a_run_of_200_shards_no_payload_comes_near_the_limit(monkeypatch, capsys):
    with deployed(monkeypatch, READINGS_PER_SHARD="1", MAX_SHARDS="200") as engine:
        events_of_children = []
        engine.fault = lambda function, event, number: events_of_children.append(event)
        lines = [
            {
                "user_id": f"user-{user:04d}" + "x" * 100,
                "timestamp": f"2026-03-{1 + day:02d}T07:00:00Z",
                "value": 80.0 + day,
                "measurement_id": f"{user}-{day}" + "y" * 100,
            }
            for user in range(1000)
            for day in range(2)
        ]
        ended = engine.run({"source": engine.put("in/a.jsonl", lines)})
        assert ended["status"] == "SUCCEEDED"
        assert engine.calls["FilterFunction"] >= 195
        sizes = {
            f"{event['type']} {field}": len(details[field])
            for event in engine.events(ended["executionArn"])
            for details in event.values()
            if isinstance(details, dict)
            for field in ("input", "output", "parameters")
            if isinstance(details.get(field), str)
        }
        sizes["child's task"] = max(len(json.dumps(event)) for event in events_of_children)
        largest = max(sizes, key=lambda name: sizes[name])
        with capsys.disabled():
            print(f"\nlargest payload of 200 shards: {sizes[largest]:,} bytes ({largest})")  # noqa: T201
        assert len(sizes) > 10
        assert sizes[largest] < LIMIT
