import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalmap.store.backoff import RetryPolicy


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def policy(self, **options):
        return RetryPolicy(clock=lambda: self.now, sleep=self.sleep, **options)


@given(
    base=st.floats(1e-3, 1),
    factor=st.floats(1, 1e3),
    attempts=st.integers(1, 80),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_pauses_are_drawn_below_a_bound_that_doubles_up_to_the_cap(base, factor, attempts, chance):
    time = Time()
    cap = base * factor
    retry = time.policy(base=base, cap=cap, attempts=attempts, random=lambda: chance).start()
    while retry.pause():
        pass
    bounds = [min(cap, base * 2**n) for n in range(attempts - 1)]
    assert time.slept == [chance * bound for bound in bounds]


@given(
    patience=st.floats(0, 100),
    chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1),
)
def test_no_pause_reaches_the_deadline(patience, chances):
    time = Time()
    draws = iter(chances * 100)
    retry = time.policy(attempts=50, random=lambda: next(draws)).start(time.now + patience)
    while retry.pause():
        assert not retry.expired
    assert time.slept == [] or time.now < 100 + patience


def test_without_jitter_each_pause_lasts_its_upper_bound():
    time = Time()
    retry = time.policy(base=1, cap=5, attempts=6, jitter=False).start()
    while retry.pause():
        pass
    assert time.slept == [1, 2, 4, 5, 5]


def test_after_partial_progress_the_count_of_tries_starts_again():
    time = Time()
    retry = time.policy(base=1, cap=100, attempts=3, jitter=False).start()
    assert [retry.pause(), retry.pause(progress=True), retry.pause(), retry.pause()] == [True] * 4
    assert not retry.pause()
    assert time.slept == [1, 1, 1, 2]


def test_the_last_try_is_one_within_the_same_deadline():
    time = Time()
    last = time.policy(attempts=9).start(101.0).last()
    assert not last.expired
    assert not last.pause()
    time.now = 101.0
    assert last.expired


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"base": 0}, "base must be above 0 and at most cap, got base 0 and cap 5.0."),
        ({"base": 2, "cap": 1}, "base must be above 0 and at most cap, got base 2 and cap 1."),
        ({"attempts": 0}, "attempts must be at least 1, got 0."),
    ],
)
def test_a_policy_out_of_range_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match="must be") as refused:
        RetryPolicy(**options)
    assert str(refused.value) == sentence
