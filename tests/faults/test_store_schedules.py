"""The law that nothing is lost or counted twice, under random schedules of faults.

Each schedule has its own users, and runs a few batches over them through the real store, the
real client and a real table, while faults are injected and Tasks are repeated. The same
batches then run once more, without faults, and every item must come out the same to the bit, but
for version and tokens.
"""

import itertools
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from kalmap.profile import builtin_profile
from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.states import DynamoDBStateStore
from tests.support import dynamodb_faults
from tests.support.dynamodb import new_client, new_table
from tests.support.dynamodb_faults import Injector
from tests.support.store_batches import Fold, kalmap_fold, run_batch, tally, union

SEQUENTIAL = 250
CONCURRENT = {2: 40, 8: 20}
KALMAP = kalmap_fold(builtin_profile("body-weight"))
#: Schedules in which kalmap's own fold takes the place of the two that count by eye.
OWN_FOLD = 4


class Schedule(NamedTuple):
    seed: int
    writers: int
    """Batches run one after the other by 1 writer, or at the same time by several."""
    mode: str
    fold: Fold
    batches: list[dict[str, list[int]]]
    """Readings by user."""
    shares: dict[str, float]
    every: int | None
    sizes: dict[str, int]
    attempts: int
    seconds: int | None
    """Time that a Task has, of a clock that goes one second at each look; None: no limit."""


def draw(seed: int, writers: int) -> Schedule:
    chance = random.Random(seed)
    mode = chance.choices(("conditional", "transactional", "overwrite"), (8, 2, 1))[0]
    if writers > 1 and mode == "overwrite":
        mode = "conditional"  # The mode for a single writer.
    users = [f"{writers}-{seed}-{number}" for number in range(chance.randint(2, 3))]
    fresh = itertools.count(1)
    count = 1 if mode == "overwrite" else writers if writers > 1 else chance.choice((2, 2, 2, 3))
    batches = [
        {
            user: [next(fresh) for _ in range(chance.randint(1, 3))]
            for user in chance.sample(users, chance.randint(2, len(users)))
        }
        for _ in range(count)
    ]
    kinds = chance.sample(dynamodb_faults.KINDS, chance.randint(1, 4))
    total = chance.uniform(0.1, 0.7)
    return Schedule(
        seed=seed,
        writers=writers,
        mode=mode,
        # With one writer only the tokens can identify a writer's own write. Among several, more
        # than four writes may follow a lost answer, and the fold must know its readings.
        fold=KALMAP if not seed % OWN_FOLD else tally if writers == 1 else union,
        batches=batches,
        shares=dict.fromkeys(kinds, total / len(kinds)),
        every=chance.choice((None, None, 2, 3, 4)),
        sizes={
            "get_size": chance.randint(2, 3),
            "write_size": chance.randint(2, 3),
            "transaction_size": chance.randint(2, 3),
            "parallelism": chance.choice((1,) * 7 + (2,)),
        },
        attempts=chance.randint(1, 5),
        seconds=chance.choice((None, None, 12, 40)),
    )


def policy(schedule: Schedule) -> tuple[RetryPolicy, itertools.count]:
    clock = itertools.count()
    return RetryPolicy(
        base=1e-9,
        cap=1e-9,
        attempts=schedule.attempts,
        clock=lambda: float(next(clock)),
        sleep=lambda _: None,
        random=random.Random(schedule.seed).random,
    ), clock


def run(schedule: Schedule, clients, table: str) -> tuple[Counter, list[int]]:
    """Runs a schedule's batches under its faults; counts the faults and each batch's rounds."""

    def run_one(number: int, client) -> tuple[Counter, int]:
        retry, clock = policy(schedule)
        store = DynamoDBStateStore(client, table, retry=retry, **schedule.sizes)
        faults = Injector(
            client,
            schedule.seed * 100 + number,
            schedule.shares,
            every=schedule.every,
            budget=40,
        )
        with faults:
            rounds = run_batch(
                store,
                "faulty",
                schedule.batches[number],
                schedule.fold,
                batch=f"batch-{schedule.seed}-{number}",
                mode=schedule.mode,
                deadline=lambda: schedule.seconds and next(clock) + schedule.seconds,
            )
        return faults.counts, rounds

    numbers = range(len(schedule.batches))
    if schedule.writers == 1:
        done = [run_one(number, clients[0]) for number in numbers]
    else:
        with ThreadPoolExecutor(schedule.writers) as pool:
            done = list(pool.map(run_one, numbers, clients))
    return sum((counts for counts, _ in done), Counter()), [rounds for _, rounds in done]


@pytest.fixture(scope="module")
def clients():
    return [new_client() for _ in range(8)]


def check(schedules: list[Schedule], clients, capsys, title: str) -> list[int]:
    """Holds the law over schedules; gives each batch's number of rounds."""
    table = new_table(clients[0])
    faults: Counter[str] = Counter()
    rounds: list[int] = []
    for schedule in schedules:
        counts, more = run(schedule, clients, table)
        faults += counts
        rounds += more

    # The fault-free run: users do not depend on each other, so that many schedules' n-th batches
    # can be one.
    fault_free = DynamoDBStateStore(clients[0], table)
    for fold in (KALMAP, tally, union):
        of_fold = [schedule.batches for schedule in schedules if schedule.fold is fold]
        for number, batches in enumerate(itertools.zip_longest(*of_fold, fillvalue={})):
            readings = {user: numbers for batch in batches for user, numbers in batch.items()}
            run_batch(fault_free, "fault_free", readings, fold, batch=f"fault_free-{number}")

    final: dict[str, dict] = {"fault_free": {}, "faulty": {}}
    for item in fault_free.scan():
        final[item.profile][item.user] = (item.state.body, item.level, item.slope, item.as_of)
    assert final["faulty"] == final["fault_free"]

    sent: dict[str, list[int]] = {}
    for schedule in schedules:
        for user, numbers in itertools.chain(*(batch.items() for batch in schedule.batches)):
            sent.setdefault(user, []).extend(numbers)
    by_eye = {user for s in schedules if s.fold is not KALMAP for b in s.batches for user in b}
    states = {user: json.loads(final["faulty"][user][0]) for user in by_eye}
    assert states == {user: sorted(sent[user]) for user in by_eye}

    batches = sum(len(schedule.batches) for schedule in schedules)
    with capsys.disabled():
        readings_sent = sum(map(len, sent.values()))
        print(  # noqa: T201
            f"\n{title}: {len(schedules)} schedules, {batches} batches, {len(sent)} users,"
            f" {readings_sent} readings; lost 0, twice 0. {sum(rounds)} rounds, at most"
            f" {max(rounds)} for a batch. {faults.total()} faults: "
            + ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
        )
    assert set(faults) == set(dynamodb_faults.KINDS)
    return rounds


def test_each_reading_counts_exactly_once_under_any_faults(clients, capsys):
    schedules = [draw(seed, writers=1) for seed in range(SEQUENTIAL)]
    rounds = check(schedules, clients, capsys, "One writer")
    # A lone writer that needs a second round has taken its own write for another's.
    assert max(rounds) == 1


@pytest.mark.parametrize("writers", CONCURRENT)
def test_concurrent_batches_lose_no_reading_under_faults(writers, clients, capsys):
    schedules = [draw(seed, writers) for seed in range(CONCURRENT[writers])]
    check(schedules, clients, capsys, f"{writers} writers at once")
