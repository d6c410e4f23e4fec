"""An item of full size stays within one write unit, which is 1,024 bytes."""

import msgspec
import pytest

from kalmap.profile import MAX_NAME, MAX_WINDOW_READINGS, builtin_profile
from kalmap.records.measurement import MAX_ID_BYTES
from kalmap.store.ports import Change
from tests.support.store_batches import kalmap_fold

USER = "\N{SNOWMAN}" * (MAX_ID_BYTES // 3) + "u" * (MAX_ID_BYTES % 3)
LARGEST = 1_024


def size(item):
    """Bytes of an item by the rules of AWS's "DynamoDB item sizes and formats".

    A number takes one byte for each two significant digits, one more, and one for a sign.
    """
    total = 0
    for name, attribute in item.items():
        ((kind, value),) = attribute.items()
        if kind == "N":
            digits = value.lstrip("-").split("e")[0].replace(".", "").strip("0")
            total += (len(digits) + 1) // 2 + 1 + value.startswith("-")
        else:
            total += len(value.encode() if kind == "S" else value)
        total += len(name.encode())
    return total


@pytest.fixture
def profile():
    return msgspec.structs.replace(builtin_profile("body-weight"), name="p" * MAX_NAME)


@pytest.fixture
def change(profile):
    """A user with a full window over a checkpoint, and readable numbers of full length."""
    numbers = range(1, 2 * MAX_WINDOW_READINGS)
    (change,) = kalmap_fold(profile)({}, {USER: numbers})
    return change._replace(level=-81.41234567890123, slope=-1.234567890123456e-05, as_of=1)


def test_a_full_window_of_the_longest_user_and_profile_name_costs_one_write_unit(
    client, store, table, profile, change
):
    assert len(USER.encode()) == MAX_ID_BYTES
    # Full histories first: the tokens of four writes, the version of the newest.
    for write in range(5):
        old = store.load(profile.name, [USER]).states.get(USER)
        done = store.write(
            profile.name, [change._replace(old=old)], batch="b", attempt="a", round_=write
        )
        assert done.stored.keys() == {USER}
    (item,) = client.scan(TableName=table)["Items"]
    assert len(store.load(profile.name, [USER]).states[USER].tokens) == 4
    assert size(item) <= LARGEST


def test_the_engine_counts_the_same_unit_and_one_reading_more_would_cost_two(
    store, profile, change
):
    def units(body):
        return store.write(
            profile.name,
            [Change(USER, None, body, change.level, change.slope, change.as_of)],
            batch="b",
            attempt="a",
            round_=0,
            mode="overwrite",
        ).use.write_units

    assert units(change.body) == 1
    assert units(change.body + bytes(24)) == 2
