"""The laws of docs/laws.md, for requests, batches, and both in any order."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from kalmap.errors import StoreUnavailable
from tests.support.both_paths import (
    TABLE_EXAMPLES,
    ask,
    container,
    reading,
    results,
    run_batch,
    store_of,
    stored,
)
from tests.support.dynamodb import new_client, new_table
from tests.support.dynamodb_faults import (
    CUT,
    ERROR_500,
    LATE_500,
    PARTIAL,
    SLOW,
    THROTTLED,
    Injector,
)

VALUES = st.sampled_from([80.0, 80.3, 79.8, 80.9, 95.0, 95.2, 60.0, 176.4, 500.0])


@st.composite
def histories(draw, most=20):
    """Readings of a few users, at most a window's worth each, keys all different."""
    users = draw(st.integers(1, 4))
    return [
        reading(f"u-{user}", 24.0 * day + user, draw(VALUES))
        for user in range(users)
        for day in draw(st.sets(st.integers(0, 40), min_size=1, max_size=most))
    ]


@st.composite
def deliveries(draw):
    """A history in any order, cut anywhere; each part with the way it comes in."""
    history = draw(st.permutations(draw(histories())))
    cuts = sorted(draw(st.sets(st.integers(1, len(history)), max_size=4)) | {len(history)})
    parts = [history[a:b] for a, b in zip([0, *cuts], cuts, strict=False) if a < b]
    ways = ("batch", "first container", "second container")
    return history, [(draw(st.sampled_from(ways)), part) for part in parts]


@TABLE_EXAMPLES
@given(deliveries())
def test_splitting_readings_between_requests_and_batches_does_not_change_the_states(
    client, bucket, delivery
):
    history, parts = delivery
    table = new_table(client)
    ways = {
        "first container": container(client, table),
        "second container": container(client, table),
    }
    for way, part in parts:
        if way == "batch":
            run_batch(bucket, store_of(client, table), part)
        else:
            ask(ways[way], part)
    one_batch = new_table(client)
    ask(container(client, one_batch), history)
    assert stored(store_of(client, table)) == stored(store_of(client, one_batch))


@TABLE_EXAMPLES
@given(deliveries())
def test_a_request_gives_each_reading_the_result_that_a_batch_gives_it(client, bucket, delivery):
    history, _ = delivery
    asked, batched = new_table(client), new_table(client)
    ask(container(client, asked), history)
    run_batch(bucket, store_of(client, batched), history)
    keys = [key for key in bucket.keys("batches/") if "/results/" in key]
    latest = max({key.split("/")[2] for key in keys}, key=lambda name: int(name.split("-")[1]))
    expected = [
        line for key in keys if key.split("/")[2] == latest for line in bucket.get(key).splitlines()
    ]
    again = new_table(client)
    answered = ask(container(client, again), history).results.splitlines()
    assert sorted(answered) == sorted(expected)


@TABLE_EXAMPLES
@given(deliveries())
def test_sending_a_request_again_changes_no_byte_of_any_state(client, delivery):
    history, _ = delivery
    table = new_table(client)
    states = container(client, table)
    first = results(ask(states, history))
    before = stored(store_of(client, table))
    second = results(ask(states, history))
    assert stored(store_of(client, table)) == before
    for one, two in zip(first, second, strict=True):
        never_stored = one["reason"] in {"out_of_range", "in_future"}
        assert two["reason"] == (one["reason"] if never_stored else "duplicate")


def test_many_clients_with_the_same_users_at_the_same_time_lose_no_reading(client, table):
    clients, users = 6, 3
    # At most a window's worth for each user, so that none can come too late.
    parts = [
        [reading(f"u-{u}", 24 * (4 * c + n) + c / 60, 80 + n / 10) for u in range(users)]
        + [reading("u-0", 24 * 4 * c + 0.5, 80.2)] * (n == 0)
        for c in range(clients)
        for n in range(3)
    ]
    containers = [container(client, table) for _ in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        answers = list(
            pool.map(
                lambda number: ask(containers[number % clients], parts[number]), range(len(parts))
            )
        )
    statuses = {result["status"] for one in answers for result in results(one)}
    assert statuses <= {"accepted", "rejected"}
    one_batch = new_table(client)
    ask(container(client, one_batch), [record for part in parts for record in part])
    assert stored(store_of(client, table)) == stored(store_of(client, one_batch))
    assert sum(one.totals.conflicts for one in answers) > 0


@TABLE_EXAMPLES
@given(deliveries(), st.integers(0, 2**32))
def test_a_reading_sent_until_it_is_answered_counts_once_under_table_faults(delivery, seed):
    history, parts = delivery
    client = new_client()
    table, one_batch = new_table(client), new_table(client)
    ask(container(client, one_batch), history)
    expected = stored(store_of(client, one_batch))
    # A breaker that opened would make the clients wait; it has tests of its own.
    states = [container(client, table, threshold=1000) for _ in range(2)]
    shares = dict.fromkeys((THROTTLED, ERROR_500, PARTIAL, CUT, SLOW, LATE_500), 0.12)
    with Injector(client, seed, shares, budget=60):
        for number, (_, part) in enumerate(parts):
            left = part
            while left:
                try:
                    answered = results(ask(states[number % 2], left))
                except StoreUnavailable:
                    continue
                # Also those that the table refused until their tries ended.
                left = [left[r["index"]] for r in answered if r["status"] == "failed"]
    assert stored(store_of(client, table)) == expected
