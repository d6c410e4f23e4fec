"""The performance monitor: what held a batch up, from reports made for it."""

import re

import pytest

from kalmap.results.performance import bottlenecks, figures, slow_work
from kalmap.results.report import Report
from kalmap.results.tally import Tally
from kalmap.results.totals import total
from kalmap.store.ports import DatabaseUse
from kalmap_cli.local.deploy import read_template
from kalmap_cli.why_slow import why_slow
from tests.support.template import TEMPLATE


def report(step="filter", number=0, seconds=4.0, began=100.0, **fields):
    """A step that did its work evenly, unless a field says otherwise."""
    readings = Tally.from_texts(fields.pop("readings", {"accepted/": 1000}))
    return Report(
        step=step,
        number=number,
        started=began,
        ended=began + seconds,
        **{
            "cpu_seconds": 0.6 * seconds,
            "allowed_seconds": 300.0,
            "readings": readings,
            "users": 100,
            "largest_user": 10,
            "memory_mb": 300.0,
            "configured_mb": 1024,
            **fields,
        },
    )


def shards(count=10, **fields):
    return [report(number=number, **fields) for number in range(count)]


def said(*reports):
    return " ".join(sentences(total(reports)))


def sentences(totals):
    return bottlenecks(totals, figures(totals))


def test_a_batch_without_a_bottleneck_is_not_accused():
    quick = [report(number=n, seconds=4.0 + 0.2 * (n % 3)) for n in range(40)]
    assert sentences(total(quick)) == []
    # A single slow request is nothing to act on.
    assert sentences(total([report("load", database=DatabaseUse(1, seconds=0.4))])) == []
    assert why_slow(total(quick))[-1] == "Nothing held this batch up."
    assert why_slow(total([])) == ["No step of this batch has told what it took."]


def test_a_shard_that_the_table_has_turned_away_says_so():
    use = DatabaseUse(9, throttles=7)
    slow = report("load", number=99, seconds=30.0, cpu_seconds=0.2, database=use)
    told = said(*shards(step="load"), slow)
    assert "Shard 99 took 30.0 s in LoadStates" in told
    assert "the table turned 7 requests of it away, and it waited before each next try" in told


def test_a_worker_that_leaks_is_told_from_a_large_shard():
    leaking = [
        report(number=10 * worker + call, call=call, memory_mb=100.0 + 40 * call)
        for worker in range(3)
        for call in range(1, 9)
    ]
    told = said(*leaking)
    assert (
        "FilterUsers keeps 40 MB more with each call of the same worker, up to 420 of 1024" in told
    )
    assert "Go back to the version before it" in told
    large_once = [
        report(number=call, call=call, memory_mb=100.0 if call < 3 else 500.0)
        for call in range(1, 9)
    ]
    assert "more with each call" not in said(*large_once)
    assert "more with each call" not in said(*leaking[:2])
    # Lambda ends it before it has made many calls.
    short = [
        report(number=call, call=call, memory_mb=480.0 * call, lost_tries=1, seconds=60.0)
        for call in (1, 2, 3)
    ]
    told = said(*short)
    assert "FilterUsers keeps 480 MB more" in told
    assert "3 calls of functions did not finish" in told
    assert "FilterConcurrency" not in told


def test_of_a_running_batch_only_what_is_done_is_judged():
    assert why_slow(total([report()]), running=True)[-1] == (
        "Nothing that is done has held this batch up."
    )


def test_calls_that_were_lost_are_told_with_their_time():
    told = said(report(lost_tries=2, lost_seconds=31.0), report(number=1))
    assert "2 calls of functions did not finish, took at most 31 s" in told


def test_figures_of_a_step_are_those_of_its_reports():
    use = DatabaseUse(requests=4, seconds=0.1)
    one = figures(total([*shards(4, seconds=5.0, database=use)]))["filter"]
    assert (one.invocations, one.wall_seconds, one.median_seconds, one.at_once) == (4, 5.0, 5.0, 4)
    assert (one.cpu_share, one.request_ms, one.memory_mb) == (0.6, 25.0, 300.0)


@pytest.mark.parametrize(
    ("slow", "words"),
    [
        ({"readings": {"accepted/": 4000}}, "it has 4,000 readings, others 1,000: lower Readings"),
        (
            {"readings": {"accepted/": 4000}, "largest_user": 3500},
            "one user has 3,500 of its 4,000 readings, and a user is never divided",
        ),
        (
            {"readings": {"accepted/": 600, "rejected/outlier": 400}},
            "40% of its readings were rejected, of all 4%.",
        ),
        ({"database": DatabaseUse(requests=9, seconds=20.0)}, "20.0 s of it were 9 requests"),
        ({"cpu_seconds": 2.0}, "its processor worked 2.0 s of them, so it waited"),
        ({}, "it had no more to do, so its machine was slow."),
    ],
)
def test_a_slow_shard_is_named_with_the_reason(slow, words):
    reports = [*shards(10), report(number=10, seconds=25.0, **slow)]
    assert [work.number for work in slow_work(total(reports))] == [10]
    assert f"Shard 10 took 25.0 s in FilterUsers, where half took less than 4.0 s: {words}" in (
        said(*reports)
    )


def test_a_shard_is_slow_only_by_the_distribution_of_its_own_step():
    spread = [report(number=n, seconds=float(n)) for n in range(1, 30)]
    assert slow_work(total(spread)) == []
    other_step = [*shards(10), *(report("partition", n, seconds=25.0) for n in range(10))]
    assert slow_work(total(other_step)) == []
    assert slow_work(total([*shards(3), report(number=3, seconds=250.0)])) == []


@pytest.mark.parametrize(
    ("usual", "slowest", "is_slow"),
    [
        (4 * [4.0], 250.0, True),
        (9 * [0.1], 2.05, False),
        (9 * [0.1], 2.15, True),
        (9 * [10.0], 19.0, False),
        (9 * [10.0], 21.0, True),
        # Quartiles of 12 and 18 s: three ranges over the third one are 36 s.
        ([float(n) for n in range(10, 21)], 33.0, False),
        ([float(n) for n in range(10, 21)], 41.0, True),
    ],
)
def test_a_shard_is_slow_by_quartiles_the_median_and_two_seconds(usual, slowest, is_slow):
    reports = [report(number=n, seconds=seconds) for n, seconds in enumerate((*usual, slowest))]
    found = [work.number for work in slow_work(total(reports))]
    assert found == ([len(usual)] if is_slow else [])
    # Rounds of conflicts have few and small shards.
    for one in reports:
        one.round = 1
    assert slow_work(total(reports)) == []


def test_a_slow_chunk_has_no_advice_that_is_for_shards():
    readings = {"accepted/": 1000}, {"accepted/": 4000}
    chunks = [report("partition", n, readings=readings[0]) for n in range(10)]
    slow = report("partition", 10, seconds=200.0, readings=readings[1], memory_mb=900.0)
    told = said(*chunks, slow)
    assert "it has 4,000 readings, others 1,000, since chunks are cut by their bytes" in told
    assert "PartitionMeasurements used 900 of 1024 MB: raise its MemorySize." in told
    assert "PartitionMeasurements took 200 of the 300 s that its Timeout allows: raise it." in told
    assert "ReadingsPerShard" not in told


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        (
            [
                report(number=n, began=100.0 + 4 * n, database=DatabaseUse(9, throttles=1))
                for n in range(20)
            ],
            "raise FilterConcurrency",
        ),
        (shards(seconds=40.0, cpu_seconds=38.0, configured_mb=1769), "kept its processor busy"),
        (shards(seconds=40.0, cpu_seconds=2.0, memory_mb=300.0), "a smaller MemorySize"),
        (
            [report(users=1000), report("write", conflicts=[f"u-{n}" for n in range(10)])],
            "filtered again",
        ),
        (
            [
                *shards(10, readings={"accepted/": 900, "rejected/outlier": 100}),
                report(
                    number=10, seconds=25.0, readings={"accepted/": 850, "rejected/outlier": 150}
                ),
            ],
            "of its readings were rejected",
        ),
    ],
)
def test_what_is_no_bottleneck_is_not_told(reports, words):
    assert words not in said(*reports)


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([report(database=DatabaseUse(9, throttles=3))], "turned requests away 3 times: lower the"),
        (
            [report(memory_mb=900.0)],
            "FilterUsers used 900 of 1024 MB: raise its MemorySize or lower ReadingsPerShard.",
        ),
        (
            [report("load", database=DatabaseUse(20, seconds=6.0), seconds=9.0)],
            "The table took 300 ms to answer a request of LoadStates, where some 20 ms are usual",
        ),
        (
            [report(number=n, began=100.0 + 4 * n) for n in range(20)],
            "FilterUsers took 80 s, with 1.0 of 20 at a time: raise FilterConcurrency.",
        ),
        (
            [report(number=n, began=100 + 0.5 * n, seconds=0.5) for n in range(100)],
            "so that starting them was most of the work: raise ReadingsPerShard",
        ),
        (
            shards(seconds=40.0, cpu_seconds=38.0),
            "kept its processor busy 95% of the time with 1024 MB: a MemorySize of 1769 MB",
        ),
        (
            shards(seconds=40.0, cpu_seconds=2.0, memory_mb=90.0),
            "used its processor 5% of the time and 90 of 1024 MB",
        ),
        (
            [report(seconds=200.0)],
            "FilterUsers took 200 of the 300 s that its Timeout allows: raise it or lower Readings",
        ),
        (
            [report(), report("write", conflicts=[f"u-{n}" for n in range(5)])],
            "5 users had to be filtered again, since other batches or requests had written",
        ),
    ],
)
def test_each_bottleneck_is_said_with_what_to_change(reports, words):
    text = said(*reports)
    assert words in text
    # A parameter that is named exists; the other two are properties of functions.
    named = set(re.findall(r"\b(?:\w+Concurrency|Warm\w+|ReadingsPerShard|MaxShards)\b", text))
    assert named <= set(read_template(TEMPLATE)["Parameters"])


def test_a_report_of_an_earlier_version_is_no_measurement():
    assert figures(total([Report(step="filter", started=1.0, ended=99.0)])) == {}


def test_users_are_never_named():
    conflicts = report("write", conflicts=["anna"], users=1)
    assert "anna" not in "".join(why_slow(total([conflicts, report(users=1)])))
