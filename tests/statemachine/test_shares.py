"""Two batches read the same input, each for its own share of the users."""

from kalmap.records.share import Share
from tests.support.statemachine_batches import assert_accounts_for_all, batch, readings

CUT = 40
NEW, REST = {"from": 0, "to": CUT}, {"from": CUT, "to": 100}
LINES = [*readings(users=20, days=3), {"user_id": "user-1"}, {"value": 3}]


def run(engine, source, **options):
    ended = engine.run(batch(source, **options))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    record = engine.record(ended["output"]["batch_id"])
    return record["batch_id"], engine.summary(record), engine.results(record)


def test_each_record_is_in_one_of_two_shares_and_the_states_are_those_of_one_batch(engine):
    source = engine.put("in/day.jsonl", LINES)
    alone, whole, _ = run(engine, source, write_mode="none")
    first, new, new_lines = run(engine, source, share=NEW)
    second, rest, rest_lines = run(engine, source, share=REST)
    assert len({alone, first, second}) == 3

    assert sorted(line["index"] for line in new_lines + rest_lines) == list(range(len(LINES)))
    inside = Share(0, CUT)
    assert all(inside.has(line["user_id"]) for line in new_lines)
    assert not any(inside.has(line["user_id"]) for line in rest_lines)
    for summary, lines in ((new, new_lines), (rest, rest_lines)):
        assert summary["readings"]["received"] == len(lines)
        assert summary["readings"]["left_out"] == len(LINES) - len(lines)
    # A record that names nobody is with the rest.
    assert rest_lines[-1]["user_id"] is None
    assert 0 < new["users"]["total"] < 20 == new["users"]["total"] + rest["users"]["total"]
    assert whole["readings"]["left_out"] == 0
    assert (new["share"], whole["share"]) == (NEW, None)

    shared = engine.stored()
    _, one, lines = run(engine, engine.put("in/again.jsonl", LINES))
    assert_accounts_for_all(one, lines, len(LINES))
    assert one["readings"]["duplicate"] == 60
    assert engine.stored() == shared


def test_a_changed_profile_goes_to_a_share_and_the_rest_keeps_the_present_one(engine):
    changed = {
        "name": "body-weight", "unit": "kg", "range": [2, 400], "level_noise": 0.1,
        "slope_noise": 0.01, "slope_damping": 0.01, "slope_prior": 0.1, "measurement_noise": 0.5,
    }  # fmt: skip
    day = [engine.put(f"in/{n}.jsonl", readings(20, 2, start=1 + 2 * n)) for n in range(2)]
    run(engine, day[0])
    before = engine.stored()
    run(engine, day[1], share=NEW, profile=changed, adopt_profile=True)
    inside = Share(0, CUT)
    moved = {user for user, state in engine.stored().items() if state != before[user]}
    assert moved == {user for user in before if inside.has(user)}
    run(engine, day[1], share=REST)
    # Users of the new version cannot slip back to the old one.
    _, summary, _ = run(engine, engine.put("in/2.jsonl", readings(20, 2, start=5)))
    assert summary["readings"]["failed"] == {"profile_changed": 2 * len(moved)}


def test_a_share_without_a_user_in_the_input_succeeds_and_changes_nothing(engine):
    [user] = [u for u in (f"user-{n}" for n in range(9)) if not Share(0, CUT).has(u)][:1]
    line = {"user_id": user, "timestamp": "2026-03-01T07:00:00Z", "value": 80.0}
    _, summary, lines = run(engine, engine.put("in/one.jsonl", [line]), share=NEW)
    assert (lines, summary["readings"]["left_out"]) == ([], 1)
    assert engine.stored() == {}


def test_a_retry_of_a_share_reads_the_same_share(engine):
    many = [{"user_id": f"user-{n}"} for n in range(40)]
    source = engine.put("in/bad.jsonl", [*readings(users=20, days=1), *many])
    ended = engine.run(batch(source, share=REST))
    assert ended["status"] == "FAILED"
    [failed] = engine.batches()
    again = engine.run({"retry_of": failed})
    assert again["status"] == "FAILED"
    records = [engine.record(one) for one in engine.batches()]
    first, second = (engine.summary(record)["readings"]["left_out"] for record in records)
    assert first == second > 0
