import socket

import pytest

from kalmap.errors import StoreUnavailable
from kalmap.store.breaker import Circuit, CircuitBreaker, CircuitOpen
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import Change, DatabaseUse, Loaded, StoredState, WriteResult
from tests.support.dynamodb import new_client
from tests.support.dynamodb_faults import THROTTLED, Injector

GOOD = Loaded({}, DatabaseUse(requests=1))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(threshold=3, rest=2, longest_rest=10, clock=clock)


def unavailable():
    raise StoreUnavailable("No answer.")


def trouble(breaker, times):
    for _ in range(times):
        with pytest.raises(StoreUnavailable):
            breaker.run(unavailable)


def test_only_consecutive_errors_open_the_breaker(breaker):
    trouble(breaker, 2)
    breaker.run(lambda: GOOD)
    trouble(breaker, 2)
    assert breaker.circuit is Circuit.CLOSED
    trouble(breaker, 1)
    assert breaker.circuit is Circuit.OPEN


@pytest.mark.parametrize(
    "result",
    [
        Loaded({}, DatabaseUse(requests=4, throttles=2, retries=2)),
        WriteResult({}, {}, {"u": "Refused."}, DatabaseUse(requests=1)),
    ],
)
def test_sustained_throttling_opens_the_breaker_even_if_operations_succeed(breaker, result):
    for _ in range(3):
        assert breaker.run(lambda: result) is result
    assert breaker.circuit is Circuit.OPEN


@pytest.mark.parametrize(
    "result",
    [
        Loaded({}, DatabaseUse(requests=4, throttles=1, retries=1)),
        Loaded({}, DatabaseUse()),
        WriteResult(
            {"a": StoredState(1, b"s", (1,))}, {}, {"b": "Refused."}, DatabaseUse(requests=1)
        ),
        WriteResult({}, {"a": None}, {}, DatabaseUse(requests=1)),
    ],
)
def test_a_rare_throttle_a_bad_user_and_a_conflict_leave_the_breaker_closed(breaker, result):
    for _ in range(10):
        breaker.run(lambda: result)
    assert breaker.circuit is Circuit.CLOSED


def test_an_open_breaker_answers_immediately_with_the_time_to_retry(breaker, clock):
    trouble(breaker, 3)
    clock.now = 0.5
    asked = []
    with pytest.raises(CircuitOpen, match=r"Try again in 1\.5 seconds\.") as refused:
        breaker.run(lambda: asked.append(1) or GOOD)
    assert refused.value.retry_after == 1.5
    assert not asked


def test_after_its_pause_the_breaker_allows_one_trial_and_a_success_closes_it(breaker, clock):
    trouble(breaker, 3)
    clock.now = 2.0
    assert breaker.circuit is Circuit.HALF_OPEN

    def trial():
        with pytest.raises(CircuitOpen):
            breaker.run(lambda: GOOD)
        return GOOD

    assert breaker.run(trial) is GOOD
    assert breaker.circuit is Circuit.CLOSED
    trouble(breaker, 2)
    assert breaker.circuit is Circuit.CLOSED


def test_each_failed_trial_doubles_the_pause_up_to_the_maximum(breaker, clock):
    trouble(breaker, 3)
    rests = []
    for _ in range(5):
        with pytest.raises(CircuitOpen) as refused:
            breaker.run(lambda: GOOD)
        rests.append(refused.value.retry_after)
        clock.now += refused.value.retry_after
        trouble(breaker, 1)
    assert rests == [2, 4, 8, 10, 10]


def test_a_trial_that_never_ends_is_followed_by_another(breaker, clock):
    trouble(breaker, 3)
    clock.now = 2.0

    def vanish():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaker.run(vanish)
    assert breaker.circuit is Circuit.OPEN
    clock.now = 4.0
    assert breaker.run(lambda: GOOD) is GOOD


def test_an_operation_started_before_the_breaker_opened_does_not_change_it(breaker, clock):
    def begun_before(end):
        trouble(breaker, 3)
        clock.now += 1
        return end()

    breaker.run(lambda: begun_before(lambda: GOOD))
    assert breaker.circuit is Circuit.OPEN
    clock.now = 2.0
    breaker.run(lambda: GOOD)
    with pytest.raises(StoreUnavailable):
        breaker.run(lambda: begun_before(unavailable))
    clock.now = 4.0
    assert breaker.circuit is Circuit.HALF_OPEN


def test_a_throttled_table_opens_the_breaker_and_a_healthy_table_closes_it(client, store, clock):
    breaker = CircuitBreaker(threshold=2, rest=1, clock=clock)
    change = Change("u", None, b"body", 1.0, 0.0, 0)

    def write():
        return store.write("p", [change], batch="b", attempt="a", round_=0)

    with Injector(client, 0, {THROTTLED: 1.0}):
        for _ in range(2):
            assert breaker.run(write).failed
    with Injector(client, 0, {}) as quiet, pytest.raises(CircuitOpen):
        breaker.run(write)
    assert quiet.requests == 0
    clock.now = 1.0
    assert breaker.run(write).stored.keys() == {"u"}
    assert breaker.circuit is Circuit.CLOSED


def test_an_unreachable_table_opens_the_breaker(impatient, clock):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        unreachable = f"http://127.0.0.1:{probe.getsockname()[1]}"
    store = DynamoDBStateStore(new_client(unreachable), "states", retry=impatient)
    breaker = CircuitBreaker(threshold=1, clock=clock)
    with pytest.raises(StoreUnavailable, match="Could not connect"):
        breaker.run(lambda: store.load("p", ["u"]))
    with pytest.raises(CircuitOpen):
        breaker.run(lambda: store.load("p", ["u"]))
