from kalmap.batch.folder import Folder
from kalmap.results.report import Report
from kalmap.results.totals import total
from kalmap.store.objects import Objects
from kalmap_cli.why_slow import heavy_users
from tests.support.statemachine_batches import batch, readings


def test_the_users_who_made_a_shard_slow_are_named_to_whoever_asks(engine):
    many = [
        {"user_id": "hot", "timestamp": f"2026-03-{day:02d}T{hour:02d}:00:00Z", "value": 80.0}
        for day in range(1, 11)
        for hour in range(24)
    ]
    wild = [{"user_id": "hot", "timestamp": "2026-03-12T07:00:00Z", "value": 900.0}]
    ended = engine.run(batch(engine.put("in/a.jsonl", [*readings(), *many, *wild])))
    folder = Folder(
        Objects(engine.s3, "work"), engine.record(ended["output"]["batch_id"])["prefix"]
    )
    slow = [
        Report(
            step="filter", number=number, started=1.0, ended=3.0 if number > 1 else 60.0,
            allowed_seconds=300.0,
        )
        for number in range(1, 11)
    ]  # fmt: skip
    assert list(heavy_users(folder, total(slow))) == [
        "In shard 1 far more than usual came from hot (241 readings, 1 rejected)."
    ]
