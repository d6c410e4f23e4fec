"""Batches over the same users, started at the same moment on the local cloud."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from kalmap.profile import builtin_profile
from tests.support.expected_states import folded
from tests.support.faults import rule
from tests.support.faulty_cloud import assert_accounts_for_all, states
from tests.support.two_batches import batch, jsonl

#: A batch reads them in two requests, and writes them in eight.
USERS = 200
PROFILE = builtin_profile("body-weight")
MOST = PROFILE.window.readings


@pytest.fixture
def one_shard(cloud):
    """One shard a batch: what counts here are batches that meet, not shards."""
    name = cloud.function("PlanFunction")
    variables = cloud.lambdas.get_function_configuration(FunctionName=name)["Environment"]
    settings = variables["Variables"] | {"READINGS_PER_SHARD": "100000"}
    with cloud.configured(["PlanFunction"], Environment={"Variables": settings}):
        yield cloud


def dealt(batches, each):
    """Readings dealt out, so that every batch brings some that are late for the others."""
    hands = [[] for _ in range(batches)]
    for user in range(USERS):
        for number in range(batches * each):
            day, hour = divmod(number * 17, 24)
            hands[number % batches].append(
                {
                    "user_id": f"u-{user}",
                    "timestamp": f"2025-{3 + day // 31:02d}-{1 + day % 31:02d}T{hour:02d}:00:00Z",
                    "value": round(70 + user % 30 + (user * 7 + number * 13) % 11 / 10, 1),
                    "measurement_id": str(number),
                }
            )
    return hands


def run_at_once(cloud, hands):
    """Start batches at the same moment; gives how each ended.

    On few processors one would be done before the next has begun, so each waits before it
    writes until all have loaded.
    """
    inputs = [batch(cloud.put(jsonl(hand))) for hand in hands]
    cloud.inject(rule("Write", "GetObject", "held", key=r"\.changed$", last=len(hands)))
    with ThreadPoolExecutor(len(inputs)) as pool:
        started = list(pool.map(cloud.begin, inputs))
    cloud.until_met("held", len(hands))
    cloud.let_go()
    ended = [cloud.end(execution) for execution in started]
    for ran, hand in zip(ended, hands, strict=True):
        assert ran.status == "SUCCEEDED", ran.cause
        assert_accounts_for_all(ran, len(hand))
    assert sum(ran.summary["database"]["conflicts"] for ran in ended) >= USERS
    return ended


@pytest.fixture(scope="module")
def one_fault_free_batch(running):
    """The states after one batch of all that two or eight batches bring."""
    running.restore({})
    (hand,) = dealt(1, MOST)
    assert running.run(batch(running.put(jsonl(hand)))).status == "SUCCEEDED"
    return states(running.items())


@pytest.mark.parametrize("batches", [2, 8])
def test_concurrent_batches_end_with_the_states_of_one_fault_free_batch(
    batches, one_fault_free_batch, one_shard
):
    ended = run_at_once(one_shard, dealt(batches, MOST // batches))
    assert states(one_shard.items()) == one_fault_free_batch
    for ran in ended:
        assert set(ran.counts) <= {("accepted", None), ("rejected", "outlier")}
        assert ran.summary["users"]["failed"] == 0


def test_with_more_readings_than_a_window_each_reading_has_one_result(one_shard):
    hands = dealt(2, 28)
    ended = run_at_once(one_shard, hands)
    in_time = [
        reading
        for ran, hand in zip(ended, hands, strict=True)
        for reading, line in zip(hand, ran.results, strict=True)
        if json.loads(line)["reason"] != "too_late"
    ]
    assert MOST * USERS < len(in_time) < 56 * USERS
    # One count too many or too few of any reading, and no state would be the same.
    bodies = {user: state.body for user, state in states(one_shard.items()).items()}
    assert bodies == folded(PROFILE, jsonl(in_time))
