"""The performance monitor: what took long in a batch, why, and which parameter to change.

It judges steps by themselves and shards by the other shards of their step, from the reports that
the steps have made. It never sees a user's name or value.
"""

from collections.abc import Iterator
from typing import NamedTuple

from kalmap.plural import counted
from kalmap.results.report import MAP_STEPS, STATES, StepName
from kalmap.results.totals import Totals
from kalmap.results.work import Work

#: A shard is slow above this many interquartile ranges over the third quartile, and if it also
#: took twice the median and so many seconds longer. Fewer shards have no distribution.
_RANGES, _TIMES, _SECONDS_LONGER, _FEWEST = 3.0, 2.0, 2.0, 5
#: Slow shards that are named.
_MOST_SLOW = 3
#: Mean seconds of a request to the table. A hundred states take some 20 ms.
_SLOW_REQUEST = 0.1
#: Seconds of a step in requests, below which a slow one is nothing to act on.
_MUCH_WAITED = 5.0
#: A step's seconds from which on it is worth to change anything.
_LONG = 30.0
_BUSY, _IDLE = 0.9, 0.3
_MEMORY_SHARE = 0.8
#: A process leaks if each call adds so many MB, and this share of what the first call held, for so
#: many calls.
_LEAK_MB, _LEAK_SHARE, _LEAK_CALLS = 5.0, 0.1, 3
_TIMEOUT_SHARE = 0.5
_CONFLICT_SHARE = 0.01
_SHORT_SHARD, _MANY_SHARDS = 1.0, 50
#: A core of its own; more memory does not make one thread faster.
WHOLE_CORE_MB = 1769


class StepFigures(NamedTuple):
    """What a step's invocations took."""

    invocations: int
    wall_seconds: float
    """From the first start to the last end."""
    median_seconds: float
    max_seconds: float
    at_once: float
    """Invocations at a time, on average."""
    cpu_share: float
    """Of the seconds, the part that the processor worked for this process."""
    request_ms: float | None
    """A request to the database, on average; None without one."""
    memory_mb: float
    configured_mb: int


def figures(totals: Totals) -> dict[StepName, StepFigures]:
    """The figures of each step that has told its times, in the order of their first start."""
    found = {}
    works_of = _by_step(totals)
    for step, (start, end) in sorted(totals.phases.items(), key=lambda phase: phase[1]):
        works = works_of.get(step)
        if not works:
            continue
        seconds = sorted(work.seconds for work in works)
        whole, requests = sum(seconds), sum(work.requests for work in works)
        request_seconds = sum(work.request_seconds for work in works)
        memory, configured = totals.memory.get(step, (0.0, 0))
        found[step] = StepFigures(
            invocations=len(works),
            wall_seconds=round(end - start, 3),
            median_seconds=round(_quantile(seconds, 0.5), 3),
            max_seconds=round(seconds[-1], 3),
            at_once=round(whole / max(end - start, 1e-6), 2),
            cpu_share=round(sum(work.cpu_seconds for work in works) / max(whole, 1e-6), 2),
            request_ms=round(1000 * request_seconds / requests, 2) if requests else None,
            memory_mb=round(memory, 1),
            configured_mb=configured,
        )
    return found


def slow_work(totals: Totals) -> list[Work]:
    """Shards and chunks that took much longer than others of their step, the slowest first."""
    slow: list[Work] = []
    works_of = _by_step(totals)
    for step in MAP_STEPS:
        works = [work for work in works_of.get(step, ()) if work.round == 0]
        if len(works) < _FEWEST:
            continue
        seconds = sorted(work.seconds for work in works)
        first, median, third = (_quantile(seconds, share) for share in (0.25, 0.5, 0.75))
        limit = max(third + _RANGES * (third - first), _TIMES * median, median + _SECONDS_LONGER)
        slow += [work for work in works if work.seconds > limit]
    return sorted(slow, key=lambda work: -work.seconds)


def bottlenecks(totals: Totals, steps: dict[StepName, StepFigures]) -> list[str]:
    """Sentences: what held the batch up, why, and what to change.

    Args:
        totals: Of the batch.
        steps: Its `figures`.
    """
    return [
        *_throttling(totals),
        *_lost_tries(totals),
        *_memory(totals),
        *(sentence for step, one in steps.items() for sentence in _step(step, one, totals)),
        *_slow_shards(totals),
        *_contention(totals),
        *_timeouts(totals),
    ]


def _throttling(totals: Totals) -> Iterator[str]:
    if totals.database.throttles:
        yield (
            f"The table turned requests away {counted(totals.database.throttles, 'time')}: lower "
            "the stack's LoadConcurrency and WriteConcurrency, or set its WarmReads and WarmWrites."
        )


def _lost_tries(totals: Totals) -> Iterator[str]:
    if totals.lost_tries:
        yield (
            f"{counted(totals.lost_tries, 'call')} of functions did not finish, took at most "
            f"{totals.lost_seconds:.0f} s, and had to be made again: the functions' log says "
            "whether their memory or time ended, or the table turned them away."
        )


def _memory(totals: Totals) -> Iterator[str]:
    works_of = _by_step(totals)
    for step, (peak, configured) in totals.memory.items():
        if leaked := _leak(works_of.get(step, [])):
            yield (
                f"{STATES.get(step, step)} keeps {leaked:.0f} MB more with each call of the same "
                f"worker, up to {peak:.0f} of {configured} MB: its code does not free what it has "
                "used. Go back to the version before it; until then a larger MemorySize ends fewer "
                "workers."
            )
        elif configured and peak > _MEMORY_SHARE * configured:
            yield (
                f"{STATES.get(step, step)} used {peak:.0f} of {configured} MB: raise its "
                f"MemorySize{_or_smaller_shards(step)}."
            )


def _leak(works: list[Work]) -> float:
    """MB that each call of a process has added, early and late; 0 if they did not add up.

    A large shard makes its process large once, so that later calls add nothing.
    """
    held: dict[int, list[float]] = {}
    for work in works:
        held.setdefault(work.call, []).append(work.memory_mb)
    held.pop(0, None)
    last = max(held, default=0)
    middle = (1 + last) // 2
    if last < _LEAK_CALLS or not {1, middle} <= held.keys():
        return 0.0
    first, half, whole = (_quantile(sorted(held[call]), 0.5) for call in (1, middle, last))
    grown = min((half - first) / (middle - 1), (whole - half) / (last - middle))
    return grown if grown > max(_LEAK_MB, _LEAK_SHARE * first) else 0.0


def _step(step: StepName, one: StepFigures, totals: Totals) -> Iterator[str]:
    state, concurrency = STATES.get(step, step), _concurrency(step)
    waited = sum(work.request_seconds for work in totals.work if work.step == step)
    if one.request_ms and one.request_ms > 1000 * _SLOW_REQUEST and waited > _MUCH_WAITED:
        yield (
            f"The table took {one.request_ms:.0f} ms to answer a request of {state}, where some "
            f"20 ms are usual: lower {concurrency or 'WriteConcurrency'}, or look at the table's "
            "latency in CloudWatch."
        )
    if not concurrency or one.wall_seconds < _LONG:
        return
    waiting = one.invocations > 2 * one.at_once
    if waiting and not totals.database.throttles and not totals.lost_tries:
        yield (
            f"{state} took {one.wall_seconds:.0f} s, with {one.at_once:.1f} of "
            f"{one.invocations:,} at a time: raise {concurrency}."
        )
    if step == "filter" and one.invocations > _MANY_SHARDS and one.median_seconds < _SHORT_SHARD:
        yield (
            f"Half the {one.invocations:,} shards of {state} took less than "
            f"{_SHORT_SHARD:.0f} s, so that starting them was most of the work: raise "
            "ReadingsPerShard, or MaxShards is too high."
        )
    if one.cpu_share > _BUSY and 0 < one.configured_mb < WHOLE_CORE_MB:
        yield (
            f"{state} kept its processor busy {one.cpu_share:.0%} of the time with "
            f"{one.configured_mb} MB: a MemorySize of {WHOLE_CORE_MB} MB gives it a whole core."
        )
    roomy = one.configured_mb and one.memory_mb < one.configured_mb / 4
    if one.cpu_share < _IDLE and roomy and not totals.database.throttles:
        yield (
            f"{state} used its processor {one.cpu_share:.0%} of the time and {one.memory_mb:.0f} "
            f"of {one.configured_mb} MB: it waits for S3 or the table, and a smaller MemorySize "
            "would cost less."
        )


def _slow_shards(totals: Totals) -> Iterator[str]:
    slow = slow_work(totals)
    for work in slow[:_MOST_SLOW]:
        others = sorted(
            (one for one in totals.work if (one.step, one.round) == (work.step, work.round)),
            key=lambda one: one.seconds,
        )
        median = others[len(others) // 2].seconds
        kind = "Chunk" if work.step == "partition" else "Shard"
        yield (
            f"{kind} {work.number} took {work.seconds:.1f} s in {STATES[work.step]}, "
            f"where half took less than {median:.1f} s: {_why_slow(work, others)}"
        )
    if len(slow) > _MOST_SLOW:
        yield f"{len(slow) - _MOST_SLOW:,} more were slow in this way."


def _why_slow(work: Work, others: list[Work]) -> str:
    size = sorted(one.size for one in others)[len(others) // 2]
    everything = max(1, sum(one.readings for one in others))
    rejected = sum(one.rejected for one in others) / everything
    noun = "reading" if work.readings else "user"
    if work.readings and work.largest_user > work.readings / 2:
        return (
            f"one user has {work.largest_user:,} of its {counted(work.readings, 'reading')}, and a "
            "user is never divided. Are they one person's? Else start that user's in a batch of "
            "their own."
        )
    if work.readings and work.rejected > 2 * rejected * work.readings:
        return (
            f"{work.rejected / work.readings:.0%} of its readings were rejected, of all "
            f"{rejected:.0%}. A reading that could be wrong takes many times as long: look "
            "at the users with most rejections."
        )
    if work.size > 1.5 * size:
        has = f"it has {counted(work.size, noun)}, others {size:,}"
        if work.step == "partition":
            return f"{has}, since chunks are cut by their bytes and its lines are shorter."
        return f"{has}: lower ReadingsPerShard."
    if work.throttles and work.cpu_seconds < work.seconds / 2:
        return (
            f"the table turned {counted(work.throttles, 'request')} of it away, and it waited "
            f"before each next try: lower {_concurrency(work.step)}, or set WarmReads and "
            "WarmWrites."
        )
    if work.request_seconds > work.seconds / 2:
        return (
            f"{work.request_seconds:.1f} s of it were {counted(work.requests, 'request')} to the "
            f"table: lower {_concurrency(work.step)}, or set WarmReads and WarmWrites."
        )
    if work.cpu_seconds < work.seconds / 2:
        return (
            f"its processor worked {work.cpu_seconds:.1f} s of them, so it waited: for S3, for the "
            f"table or for its retries. If it comes again, lower {_concurrency(work.step)}."
        )
    return "it had no more to do, so its machine was slow. If it comes again, raise MemorySize."


def _contention(totals: Totals) -> Iterator[str]:
    if totals.conflicts > _CONFLICT_SHARE * max(totals.users, 1):
        yield (
            f"{counted(totals.conflicts, 'user')} had to be filtered again, since other batches or "
            "requests had written their states meanwhile: start batches that share users one after "
            "the other."
        )


def _timeouts(totals: Totals) -> Iterator[str]:
    for step, works in _by_step(totals).items():
        longest = max(works, key=lambda work: work.seconds)
        if longest.seconds > _TIMEOUT_SHARE * longest.allowed_seconds:
            yield (
                f"{STATES.get(step, step)} took {longest.seconds:.0f} of the "
                f"{longest.allowed_seconds:.0f} s that its Timeout allows: raise "
                f"it{_or_smaller_shards(step)}."
            )


def _by_step(totals: Totals) -> dict[StepName, list[Work]]:
    """The work of each step."""
    works: dict[StepName, list[Work]] = {}
    for work in totals.work:
        works.setdefault(work.step, []).append(work)
    return works


def _concurrency(step: StepName) -> str:
    """The parameter that says how many of a Map's children run at once; empty for other steps."""
    return f"{step.title()}Concurrency" if step in MAP_STEPS else ""


def _or_smaller_shards(step: StepName) -> str:
    """The end of an advice: chunks and steps of the whole batch do not get smaller with shards."""
    return " or lower ReadingsPerShard" if step in MAP_STEPS and step != "partition" else ""


def _quantile(ordered: list[float], share: float) -> float:
    """The smallest of sorted values that is not below this share of them."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
