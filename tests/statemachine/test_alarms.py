"""Days in CloudWatch: alarms are silent where nothing is wrong, and the right one goes off else."""

import os
from typing import NamedTuple

import pytest

from kalmap_cli.local.deploy import read_template
from tests.support.cloudwatch import ALARM, OK, CloudWatch, Sample
from tests.support.dashboards import alarms
from tests.support.moto_engine import deployed
from tests.support.simulated_day import (
    DAY,
    HOUR,
    MINUTE,
    ordinary_day,
    record_batches,
    record_requests,
    requests_every,
)
from tests.support.template import TEMPLATE

STACK = os.environ["POWERTOOLS_SERVICE_NAME"]
ALARMS = alarms(read_template(TEMPLATE), STACK)
#: CloudWatch's own examples of an alarm of three periods: X breaches, 0 does not, - is missing.
PUBLISHED = {"0-X-X": OK, "----0": OK, "-----": OK, "0XX-X": ALARM, "--X--": OK}
PUBLISHED_2_OF_3 = {"0-X-X": ALARM, "00X0X": ALARM, "0-X--": OK, "----0": OK, "---X-": OK}


@pytest.fixture(scope="module")
def recorded():
    with pytest.MonkeyPatch.context() as patch, deployed(patch) as engine:
        batches = record_batches(engine, patch, largest=2_000)
    with pytest.MonkeyPatch.context() as patch:
        return batches, record_requests(patch)


class Cry(NamedTuple):
    first: float
    """The minute of the day when it goes off."""
    lasted: float


def cries(day):
    """The alarms that go off on a day."""
    found = {}
    for name, alarm in ALARMS.items():
        states = day.cloudwatch().states(alarm)
        if ALARM in states:
            minutes = alarm["Period"] / MINUTE
            first = (1 + states.index(ALARM)) * minutes
            found[name] = Cry(first, states.count(ALARM) * minutes)
    return found


@pytest.mark.parametrize(
    ("points", "needed", "state"),
    [(points, 3, state) for points, state in PUBLISHED.items()]
    + [(points, 2, state) for points, state in PUBLISHED_2_OF_3.items()],
)
def test_missing_samples_count_as_in_the_examples_that_cloudwatch_publishes(points, needed, state):
    metric = "kalmap", "Errors", frozenset()
    values = {"X": 1.0, "0": 0.0}
    told = [
        Sample(metric, period * 60, values[point], "Count")
        for period, point in enumerate(points)
        if point in values
    ]
    alarm = {
        "Namespace": "kalmap", "MetricName": "Errors", "Dimensions": [], "Statistic": "Sum",
        "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": needed, "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
    }  # fmt: skip
    assert CloudWatch(told, 300).states(alarm)[-1] == state


def test_an_ordinary_day_is_silent(recorded):
    assert cries(ordinary_day(STACK, *recorded)) == {}


def first_large_batch(recorded, minutes, kind="writes refused"):
    """A new table refuses a batch's requests for so long; the API needs new containers."""
    batches, requests = recorded
    day = ordinary_day(STACK, *recorded)
    day.refused_batch(batches[kind], 10 * HOUR, minutes * MINUTE)
    for number in range(12):
        day.request(requests["known users"], 10 * HOUR + number * 150, cold=True)
    return day


def api_refused(recorded, minutes):
    day = first_large_batch(recorded, 33)
    slow = [recorded[1]["throttled"]] * 3 + [recorded[1]["one user"]] * 2
    requests_every(day, slow, 45, 10 * HOUR, 10 * HOUR + minutes * MINUTE)
    return day


def test_the_day_of_a_first_large_batch_on_a_new_table_is_silent(recorded):
    # On demand, a table doubles what it takes within half an hour.
    day = api_refused(recorded, 33)
    throttles = frozenset({("service", STACK), ("step", "write")})
    refused = day.cloudwatch().statistic(("kalmap", "Throttles", throttles), "Sum", 300)
    assert sum(1 for value in refused if value) >= 6
    assert cries(day) == {}


def with_batch(recorded, kind, **options):
    day = ordinary_day(STACK, *recorded)
    day.batch(recorded[0][kind], 10 * HOUR, **options)
    return day


def with_requests(recorded, request):
    day = ordinary_day(STACK, *recorded)
    requests_every(day, [request], 60, 10 * HOUR, 10 * HOUR + 10 * MINUTE)
    return day


def with_lost_event(recorded):
    day = ordinary_day(STACK, *recorded)
    day.undelivered(10 * HOUR, 11 * HOUR)
    return day


def with_growing_memory(recorded):
    day = ordinary_day(STACK, *recorded)
    day.changed("MemoryShare", 10 * HOUR, DAY, lambda share: 90.0)
    return day


#: What goes wrong from ten o'clock on, for each alarm, and after how many minutes it goes off.
TROUBLE = {
    "SlowAnswers": (lambda r: with_requests(r, r[1]["known users"]._replace(seconds=12.0)), 10),
    "HighMemory": (with_growing_memory, 10),
    "FailingRequests": (lambda r: with_requests(r, r[1]["refused"]), 10),
    "TimedOutRequests": (lambda r: with_requests(r, r[1]["timed out"]), 10),
    "ThrottledReads": (lambda r: first_large_batch(r, 90, "reads refused"), 45),
    "ThrottledWrites": (lambda r: first_large_batch(r, 90), 45),
    "ThrottledRequests": (lambda r: api_refused(r, 90), 45),
    "FailedBatches": (lambda r: with_batch(r, "poisoned"), 5),
    "TimedOutBatches": (lambda r: with_batch(r, "writes refused", timed_out=True), 5),
    "UndeliveredEvents": (with_lost_event, 5),
}


@pytest.mark.parametrize("alarm", ALARMS)
def test_each_trouble_sets_off_its_own_alarm_and_no_other(recorded, alarm):
    trouble, minutes = TROUBLE[alarm]
    found = cries(trouble(recorded))
    assert list(found) == [alarm]
    assert found[alarm].first == 10 * 60 + minutes


def test_an_alarm_on_throttles_ends_with_them(recorded):
    # Where samples are missing, an alarm judges by what there is of two periods more.
    found = cries(first_large_batch(recorded, 90))
    assert 45 <= found["ThrottledWrites"].lasted <= 45 + 4 * 5


def test_one_large_request_is_no_memory_that_grows(recorded):
    day = ordinary_day(STACK, *recorded)
    day.changed("MemoryShare", 10 * HOUR, 10 * HOUR + 5 * MINUTE, lambda share: 90.0)
    assert cries(day) == {}
