"""Forgetting: objects of a batch and of the API without one user, and others as they were."""

import msgspec
import pytest

from kalmap import keys
from kalmap.api.frequent_users import FREQUENT_KEY
from kalmap.pipeline.load_states import LoadProgress
from kalmap.records.shards import shard_of
from kalmap.results.report import Report
from kalmap.results.tally import to_json
from kalmap.store.ports import Change, StoredState
from kalmap_cli.operations.without_user import rule_of_api, rule_of_batch

USER, OTHER = "anna", "anna-2"
SHARDS = 4
OWN = shard_of(USER, SHARDS)
STATE = StoredState(7, b"state", ())


def pack(content):
    return msgspec.msgpack.encode(content)


def lines(*users):
    return b"".join(msgspec.json.encode({"user_id": user}) + b"\n" for user in users)


def unreadable(*users):
    return b"".join(
        msgspec.json.encode({"user_id": None, "detail": "cut off", "excerpt": f'{{"id": "{user}"'})
        + b"\n"
        for user in users
    )


def change(user):
    return Change(user, None, b"new", 80.0, 0.0, 1)


def conflicts(*users):
    return to_json(Report(step="write", number=OWN, conflicts=list(users)))


def rule(name):
    """The rule for an object of a batch whose results do not say whose a record is."""
    return rule_of_batch(f"batches/b/e/{name}", USER, SHARDS, lambda _: None)


#: Names of objects, their contents with both users, and what stays of each without one.
CONTENTS = [
    (
        keys.in_round(0, f"states/{OWN:06d}.loaded"),
        pack({USER: STATE, OTHER: STATE}),
        pack({OTHER: STATE}),
    ),
    (
        keys.in_round(1, f"states/{OWN:06d}.changed"),
        pack([change(USER), change(OTHER)]),
        pack([change(OTHER)]),
    ),
    (keys.in_round(1, f"users/{OWN:06d}.json"), to_json([USER, OTHER]), to_json([OTHER])),
    (keys.report(0, "write", OWN), conflicts(USER, OTHER), conflicts(OTHER)),
    (
        keys.in_round(0, f"progress/load-{OWN:06d}"),
        pack(LoadProgress([OTHER], {USER: STATE})),
        None,
    ),
    (keys.results(0, 9, failed=False, form="jsonl"), lines(USER, OTHER), lines(OTHER)),
    (keys.lines("failed", 0, OWN), lines(USER), None),
    (keys.lines("revisions", 0, OWN), lines(OTHER, USER), lines(OTHER)),
    (
        keys.lines("unreadable", 0, 1),
        unreadable(f"jo{USER}", USER, OTHER),
        unreadable(f"jo{USER}", OTHER),
    ),
]


@pytest.mark.parametrize(("name", "both", "kept"), CONTENTS, ids=[name for name, *_ in CONTENTS])
def test_a_user_is_taken_out_of_a_batchs_object_and_the_rest_stays(name, both, kept):
    without = rule(name)
    assert without(both, USER) == kept
    # What does not have the user is the same bytes, so it is not written again.
    assert kept is None or without(kept, USER) == kept


@pytest.mark.parametrize("name", [name for name, _, _ in CONTENTS if f"{OWN:06d}" in name])
def test_what_only_another_shard_has_is_not_read(name):
    other = name.replace(f"{OWN:06d}", f"{(OWN + 1) % SHARDS:06d}")
    assert rule(other) is None


def test_answers_of_the_api_and_its_frequent_users_lose_the_user():
    frequent = [["body-weight", user] for user in (USER, OTHER)]
    kept = msgspec.json.decode(rule_of_api(FREQUENT_KEY)(msgspec.json.encode(frequent), USER))
    assert kept == frequent[1:]
    assert rule_of_api(f"{keys.ANSWERS}a.jsonl")(lines(USER, OTHER), USER) == lines(OTHER)
    assert rule_of_api("profiles/body-weight.json") is None
