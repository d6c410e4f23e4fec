"""Items that kalmap did not write, or not in this form: only their users fail."""

import json

import pytest

from kalmap.filter.codec import FORMAT
from kalmap.filter.estimates import describe
from kalmap.profile import builtin_profile, digest, load_profile
from tests.support.expected_states import folded
from tests.support.faulty_cloud import assert_accounts_for_all, states
from tests.support.template import ROOT
from tests.support.two_batches import FIRST, SECOND, batch, jsonl, reading

BUILTIN = builtin_profile("body-weight")


def with_state(item, body):
    """An item whose version and tokens are as the store wrote them, around other bytes."""
    tokens = bytes(item["state"]["B"])[-32:]
    return item | {"state": {"B": body + tokens}}


def truncated(item):
    return item | {"state": {"B": bytes(item["state"]["B"])[:-50]}}


def corrupt(item):
    body = bytearray(item["state"]["B"][:-32])
    body[140] ^= 0x10
    return with_state(item, bytes(body))


def without_a_window(item):
    return with_state(item, bytes(item["state"]["B"])[:50])


def newer(item):
    return with_state(item, bytes([FORMAT + 1]) + bytes(item["state"]["B"])[1:-32] + b"more")


def foreign(item):
    return {name: item[name] for name in ("user_id", "profile")} | {"state": {"S": "hello"}}


def empty(item):
    return {name: item[name] for name in ("user_id", "profile")}


DAMAGE = (truncated, corrupt, without_a_window, newer, foreign, empty)


def profile_of(**other):
    """The built-in profile as an inline one, changed."""
    file = ROOT / "functions" / "kalmap" / "profiles" / "body-weight.json"
    return json.loads(file.read_text()) | other


@pytest.fixture
def other_profile(between):
    """After the first batch, in which one user's readings were folded by a changed profile."""
    user = FIRST[0]["user_id"]
    mine = [line for line in FIRST if line["user_id"] == user]
    before = between.items()
    between.restore({name: item for name, item in before.items() if name != user})
    ran = between.run(batch(between.put(jsonl(mine)), profile=profile_of(slope_prior=0.05)))
    assert ran.status == "SUCCEEDED"
    item = between.items()[user]
    between.restore(before)
    return user, item


def test_damaged_items_fail_their_users_and_are_not_changed(between, fault_free_run, other_profile):
    changed_user, changed_item = other_profile
    users = [user for user in fault_free_run.before if user != changed_user][: len(DAMAGE)]
    damaged = {
        user: damage(fault_free_run.before[user])
        for user, damage in zip(users, DAMAGE, strict=True)
    } | {changed_user: changed_item}
    between.restore(fault_free_run.before | damaged)
    damaged = {user: item for user, item in between.items().items() if user in damaged}

    ran = between.run(batch(between.put(jsonl(SECOND))))
    assert ran.status == "SUCCEEDED"
    assert_accounts_for_all(ran, len(SECOND))
    assert ran.summary["users"]["failed"] == len(damaged)
    for result in ran.decoded:
        if result["user_id"] in damaged and result["status"] != "unreadable":
            reason = "profile_changed" if result["user_id"] == changed_user else "corrupt_state"
            assert (result["status"], result["reason"]) == ("failed", reason)
        else:
            assert result["status"] != "failed"
    after = between.items()
    assert {user: after.pop(user) for user in damaged} == damaged
    assert states(after) == {
        u: state for u, state in fault_free_run.after.items() if u not in damaged
    }

    # Once the items are put right, a retry runs exactly the readings that failed.
    between.restore(after | {user: fault_free_run.before[user] for user in damaged})
    again = between.run({"retry_of": ran.record["batch_id"]})
    assert again.status == "SUCCEEDED", again.cause
    assert {result["user_id"] for result in again.decoded} == set(damaged)
    assert states(between.items()) == fault_free_run.after


def test_a_changed_profile_is_adopted_when_the_batch_says_so(between, fault_free_run):
    # More readings than a window, so that there is a checkpoint to go on from.
    many = [reading(999, day, 70 + day % 3) for day in range(45)]
    changed = profile_of(slope_prior=0.05)
    assert between.run(batch(between.put(jsonl(many[:40])), profile=changed)).status == "SUCCEEDED"
    user = many[0]["user_id"]
    before = states(between.items())[user].body
    old = describe(before, BUILTIN)
    assert old.checkpoint_time is not None
    assert old.profile_digest == digest(load_profile(changed)).hex()

    ran = between.run(batch(between.put(jsonl(SECOND + many[40:])), adopt_profile=True))
    assert ran.status == "SUCCEEDED"
    assert_accounts_for_all(ran, len(SECOND) + 5)
    assert ran.summary["readings"]["failed"] == {}
    assert ran.summary["adopt_profile"] is True
    after = states(between.items())
    expected = folded(BUILTIN, jsonl(many[40:]), {user: before}, adopt_profile=True)
    assert after[user].body == expected[user]
    assert describe(after[user].body, BUILTIN).profile_digest == digest(BUILTIN).hex()
    # No other user's profile had changed, so nothing else of their states differs.
    del after[user]
    assert after == fault_free_run.after

    # From now on there is nothing to adopt.
    again = between.run(batch(between.put(jsonl(many[40:]))))
    assert again.counts == {("duplicate", "duplicate"): 5}
