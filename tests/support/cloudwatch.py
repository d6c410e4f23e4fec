"""CloudWatch's metrics and alarms: samples in, statistics of periods and the states of alarms out.

CloudWatch is not among what runs locally. These are the rules that its documentation gives, of
which tests/statemachine/test_alarms.py has the published examples.
"""

import json
import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

#: Namespace, name, and dimensions with their values.
Metric = tuple[str, str, frozenset[tuple[str, str]]]

OK, ALARM = "OK", "ALARM"
#: Periods before those that an alarm asks for, to which it goes back where some are missing.
_EARLIER_PERIODS = 2
_COMPARISONS = {"GreaterThanThreshold": operator.gt}
_MISSING = {"notBreaching": False, "breaching": True}


class Sample(NamedTuple):
    """One value of a metric."""

    metric: Metric
    time: float
    """Seconds; since 1970 where a function has told it."""
    value: float
    unit: str


def samples(lines: Iterable[str]) -> Iterator[Sample]:
    """The samples in a function's output, as CloudWatch takes them from its log."""
    for line in lines:
        if '"_aws"' not in line:
            continue
        record = json.loads(line)
        for part in record["_aws"]["CloudWatchMetrics"]:
            [names] = part["Dimensions"]
            dimensions = frozenset((name, record[name]) for name in names)
            for described in part["Metrics"]:
                metric = part["Namespace"], described["Name"], dimensions
                values = record[described["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    time = record["_aws"]["Timestamp"] / 1000
                    yield Sample(metric, time, value, described["Unit"])


class CloudWatch:
    """The samples of a span of time, from second 0 on.

    Args:
        samples: In no order.
        seconds: The length of the span.
    """

    def __init__(self, samples: Iterable[Sample], seconds: int) -> None:
        self.seconds = seconds
        self._samples: dict[Metric, list[tuple[float, float]]] = defaultdict(list)
        for one in samples:
            self._samples[one.metric].append((one.time, one.value))

    def statistic(self, metric: Metric, stat: str, period: int) -> list[float | None]:
        """A metric's statistic in each period; None where the period has no sample."""
        found: list[list[float]] = [[] for _ in range(self.seconds // period)]
        for time, value in self._samples.get(metric, ()):
            if 0 <= time < self.seconds:
                found[int(time // period)].append(value)
        compute = _statistic(stat)
        return [compute(values) if values else None for values in found]

    def states(self, alarm: Mapping[str, Any]) -> list[str]:
        """The state of an alarm after each of its periods.

        Args:
            alarm: The properties of an AWS::CloudWatch::Alarm, with its dimensions filled in.
        """
        dimensions = frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"])
        metric = alarm["Namespace"], alarm["MetricName"], dimensions
        # CloudWatch takes what is missing of these for "ignore", whatever the alarm says. So an
        # alarm on throttles, which have samples only while there are some, would never end.
        assert alarm["Namespace"] != "AWS/DynamoDB"
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        values = self.statistic(metric, stat, alarm["Period"])
        breaches = _COMPARISONS[alarm["ComparisonOperator"]]
        points = [None if v is None else breaches(v, alarm["Threshold"]) for v in values]
        return [_state(points[: end + 1], alarm) for end in range(len(points))]


def _state(points: Sequence[bool | None], alarm: Mapping[str, Any]) -> str:
    """An alarm's state after these periods: breaching, within the threshold, or missing."""
    asked = alarm["EvaluationPeriods"]
    existing = [p for p in points[-(asked + _EARLIER_PERIODS) :] if p is not None]
    filled = [_MISSING[alarm["TreatMissingData"]]] * max(0, asked - len(existing))
    judged = existing[-asked:] + filled
    return ALARM if sum(judged) >= alarm.get("DatapointsToAlarm", asked) else OK


def _statistic(name: str) -> Callable[[list[float]], float]:
    if name.startswith("p"):
        share = float(name[1:]) / 100
        return lambda values: sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    return {
        "Sum": math.fsum,
        "Average": lambda values: math.fsum(values) / len(values),
        "Minimum": min,
        "Maximum": max,
        "SampleCount": lambda values: float(len(values)),
    }[name]
