"""A stale cache costs a round, and never an update or a wrong answer."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.both_paths import (
    TABLE_EXAMPLES,
    ask,
    container,
    reading,
    results,
    store_of,
    stored,
)
from tests.support.dynamodb import new_table


def test_an_update_on_a_stale_state_is_made_on_the_newest_one(client, table):
    one, other = container(client, table), container(client, table)
    ask(one, [reading("u-1", 0)])
    ask(other, [reading("u-1", 24)])
    answer = ask(one, [reading("u-1", 48)])
    assert answer.totals.conflicts == 1
    one_batch = new_table(client)
    ask(container(client, one_batch), [reading("u-1", hours) for hours in (0, 24, 48)])
    assert stored(store_of(client, table)) == stored(store_of(client, one_batch))


def test_a_stale_state_that_needs_no_write_is_compared_with_the_tables(client, table):
    one, other = container(client, table), container(client, table)
    ask(one, [reading("u-1", 0)])
    # Others push the first reading out of the window: it would now come too late.
    ask(other, [reading("u-1", 24 + hour) for hour in range(25)])
    answered = results(ask(one, [reading("u-1", 0)]))
    assert answered[0]["reason"] == "too_late"


def test_a_state_deleted_from_the_table_is_not_brought_back_by_a_cache(client, table):
    states = container(client, table)
    ask(states, [reading("u-1", 0), reading("u-2", 0)])
    for user in ("u-1", "u-2"):
        key = {"user_id": {"S": user}, "profile": {"S": "body-weight"}}
        client.delete_item(TableName=table, Key=key)
    answered = results(ask(states, [reading("u-1", 0), reading("u-2", 24)]))
    assert [result["reason"] for result in answered] == [None, None]
    one_batch = new_table(client)
    ask(container(client, one_batch), [reading("u-1", 0), reading("u-2", 24)])
    assert stored(store_of(client, table)) == stored(store_of(client, one_batch))


@TABLE_EXAMPLES
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 22)), min_size=2, max_size=25
    )
)
def test_results_do_not_depend_on_the_container_or_its_cache(client, asked):
    cached, fresh = new_table(client), new_table(client)
    containers = [container(client, cached) for _ in range(3)]
    for number, user, day in asked:
        record = reading(f"u-{user}", 24 * day, 80 + day / 10)
        answer = ask(containers[number], [record])
        # A new container each time has an empty cache.
        expected = ask(container(client, fresh), [record])
        assert answer.results == expected.results
        assert answer.revisions == expected.revisions
    assert stored(store_of(client, cached)) == stored(store_of(client, fresh))
