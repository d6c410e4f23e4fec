"""How often a batch's progress is requested, and the reason of a batch that timed out."""

import itertools
from datetime import UTC, datetime

import pytest

from kalmap_cli import execution


class Steps:
    """Step Functions, with an execution that enters its states after so many looks."""

    def __init__(self, *looks):
        self._looks = looks
        self.asked = 0

    def describe_execution(self, **_):
        self.asked += 1
        return {"status": "RUNNING" if self.asked <= self._looks[-1] else "SUCCEEDED"}

    def get_execution_history(self, **_):
        entered = [number for number, look in enumerate(self._looks, 1) if look <= self.asked]
        return {
            "events": [
                {
                    "id": number,
                    "timestamp": datetime(2026, 3, 1, tzinfo=UTC),
                    "type": "TaskStateEntered",
                    "stateEnteredEventDetails": {"name": f"State{number}"},
                }
                for number in reversed(entered)
            ]
        }


@pytest.fixture
def pauses(monkeypatch):
    made = []
    monkeypatch.setattr(execution.time, "sleep", made.append)
    return made


def test_requests_for_progress_become_rarer_while_nothing_changes(pauses):
    steps = Steps(1, 40, 42)
    shown = list(
        execution.watch_execution(lambda _: steps, "arn", execution.PollIntervals(1.0, 10.0))
    )
    assert [progress.state for progress in shown] == ["State1", "State2", "State3"]
    quiet, after = pauses[:39], pauses[39:]
    assert quiet[0] == after[0] == 1.0
    assert all(a <= b for a, b in itertools.pairwise(quiet))
    assert max(pauses) == 10.0
    # Two hours with a look a second would be 7,200 calls of each kind.
    assert sum(quiet) > 300


def test_the_end_is_looked_for_more_often_than_the_progress(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(execution.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(execution.time, "sleep", lambda _: None)
    steps = Steps(1, 5, 11, 12)
    histories = []
    real = steps.get_execution_history
    steps.get_execution_history = lambda **given: histories.append(steps.asked) or real(**given)
    shown = execution.watch_execution(
        lambda _: steps, "arn", execution.PollIntervals(1.0, 1.0, 4.0)
    )
    assert [progress.state for progress in shown] == ["State1", "State2", "State3", "State4"]
    assert histories == [1, 5, 9, 13]


def test_the_reason_of_a_timed_out_batch_says_what_to_do():
    shown = execution._failure_reason({"status": "TIMED_OUT"})
    assert "longer than a day" in shown
    assert "Start the same batch again" in shown
