"""The merge's own parts: the order of keys for any values."""

import numpy as np
import pytest

from kalmap.filter.window import _key_order


@pytest.mark.parametrize("span", [0, 1, 10**6, 2**50, 2**62])
@pytest.mark.parametrize("users", [1, 2, 70_000])
def test_the_order_of_keys_is_that_of_their_five_parts(span, users):
    random = np.random.default_rng(3)
    n = 3000
    user = np.sort(random.integers(0, users, n)) + 5
    time = random.integers(-(span // 2), span // 2 + 1, n)
    # Few different times in a small part, so that ties reach every later column.
    time[:600] = time[0] + random.integers(0, 2, 600)
    tag = random.integers(0, 2, n).astype(np.uint8)
    digest = random.choice(np.array([0, 1, 2**63, 2**64 - 1], np.uint64), n)
    rank = random.permutation(n) - 1
    order = _key_order(user, time, tag, digest, rank)
    assert order.tolist() == np.lexsort((rank, digest, tag, time, user)).tolist()
