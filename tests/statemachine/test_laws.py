"""The laws of state, through the whole state machine."""

import json
import random

import pytest

from tests.support.moto_engine import deployed

NOW = "2026-04-01T00:00:00Z"


def readings(seed, users=12, count=90):
    """Ordinary readings, wild ones, ones in pounds, repeated ones; in no particular order."""
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        user = draw.randrange(users)
        value = 70 + user + draw.gauss(0, 0.5)
        kind = draw.random()
        line = {
            "user_id": f"user-{user}",
            "timestamp": f"2026-03-{draw.randint(1, 20):02d}T07:{number % 60:02d}:00Z",
            "value": value * 2.2 if kind < 0.05 else value + 30 if kind < 0.1 else value,
        }
        if kind > 0.6:
            line["measurement_id"] = f"m-{number}"
        lines.append(line)
        if kind > 0.9:
            lines.append(line)
    draw.shuffle(lines)
    return lines


def run(engine, name, lines):
    ended = engine.run({"source": engine.put(f"in/{name}.jsonl", lines), "now": NOW})
    assert ended["status"] == "SUCCEEDED"
    return engine.results(engine.record(ended["output"]["batch_id"]))


@pytest.mark.parametrize("seed", [1, 2])
def test_states_and_results_do_not_depend_on_the_number_of_shards(monkeypatch, seed):
    outcomes = []
    for shards in ("1", "7"):
        with deployed(monkeypatch, READINGS_PER_SHARD="5", MAX_SHARDS=shards) as engine:
            outcomes.append((run(engine, "a", readings(seed)), engine.stored()))
    assert outcomes[0] == outcomes[1]


def test_a_users_results_do_not_depend_on_who_else_is_in_the_batch(monkeypatch):
    lines = readings(6)
    with deployed(monkeypatch) as engine:
        together = run(engine, "all", lines)
    with deployed(monkeypatch) as engine:
        alone = run(engine, "one", [line for line in lines if line["user_id"] == "user-3"])
    mine = [result for result in together if result["user_id"] == "user-3"]
    assert [json.dumps(r | {"index": 0}) for r in mine] == [
        json.dumps(r | {"index": 0}) for r in alone
    ]
