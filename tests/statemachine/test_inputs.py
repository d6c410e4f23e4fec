"""The state machine's inputs: their forms, and the sentences for wrong ones."""

import gzip
import json
from datetime import timedelta

import pytest

from kalmap.batch.identity import read_input
from kalmap.errors import InvalidInput
from kalmap.profile import digest, load_profile
from kalmap.store.objects import Objects
from kalmap.store.profiles import Profiles
from tests.support.statemachine_batches import batch, readings
from tests.support.template import ROOT


@pytest.mark.parametrize(
    ("batch_input", "word"),
    [
        ({"source": {}}, "key, prefix and records"),
        ({}, "source"),
        ({"source": {"bucket": "work", "key": "nothing"}}, "no object"),
        ({"source": {"bucket": "work", "prefix": "nothing/"}}, "nothing to read"),
        ({"source": {"records": []}}, "empty"),
        ({"source": {"records": [{}]}, "profile": "brain-weight"}, "body-weight"),
        ({"source": {"records": [{}]}, "profile": {"name": "x"}}, "unit"),
        ({"source": {"records": [{}]}, "limits": {"unusable": 2}}, "limits.unusable"),
        ({"source": {"records": [{}]}, "write_mode": "fast"}, "write_mode"),
    ],
)
def test_a_wrong_input_fails_at_once_with_a_sentence(engine, batch_input, word):
    ended = engine.run(batch_input)
    assert (ended["status"], ended["error"]) == ("FAILED", "BatchFailed")
    assert word in ended["cause"]
    assert engine.calls["IdentifyFunction"] == 1
    assert engine.entered(ended["executionArn"])[-1] == "BatchFailed"


def test_an_input_that_is_neither_jsonl_nor_csv_fails_with_a_sentence(engine):
    ended = engine.run(batch(engine.put("in/cat.png", b"\x89PNG\r\n\x1a\n")))
    assert "in/cat.png is a PNG image, not JSONL or CSV." in ended["cause"]
    assert engine.record()["status"] == "FAILED"


def test_bytes_behind_a_gzipped_content_are_ignored_and_the_summary_says_so(engine):
    lines = "\n".join(map(json.dumps, readings(users=2, days=2))).encode()
    source = engine.put("in/a.jsonl.gz", gzip.compress(lines) + b"\0\0?")
    assert engine.run(batch(source))["output"]["accepted"] == 4
    [hint] = engine.summary(engine.record())["hints"]
    assert hint == "in/a.jsonl.gz has bytes behind its gzipped content, which were ignored."


def test_inline_records_sent_again_are_the_same_batch(engine):
    batch_input = batch({"records": readings(users=2, days=2)})
    assert engine.run(batch_input)["output"]["accepted"] == 4
    assert "first" in engine.run(batch_input)["output"]


def test_an_s3_event_starts_the_batch_of_its_object(engine):
    source = engine.put("incoming/a.jsonl", readings(users=2, days=2))
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "work"}, "object": {"key": source["key"]}},
    }
    assert engine.run(event)["output"]["accepted"] == 4


def test_a_profile_may_lie_in_s3(engine):
    builtin = ROOT / "functions" / "kalmap" / "profiles" / "body-weight.json"
    profile = json.loads(builtin.read_text()) | {"name": "mine"}
    engine.s3.put_object(Bucket="work", Key="uploads/mine.json", Body=json.dumps(profile))
    ended = engine.run(
        batch(
            {"records": readings(users=2, days=2)},
            profile={"bucket": "work", "key": "uploads/mine.json"},
        )
    )
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert engine.record()["profile"] == "mine"
    # It is kept, so that its states can be read.
    mine = load_profile(profile)
    assert Profiles(Objects(engine.s3, "work")).find("mine", digest(mine)) == mine


@pytest.mark.parametrize(
    ("batch_input", "word"),
    [
        ({"retry_of": "nothing"}, "hexadecimal"),
        ({"retry_of": "0" * 32}, "no batch 000"),
        ({"retry_of": "0" * 32, "profile": "body-weight", "write_mode": "none"}, "leave out"),
    ],
)
def test_a_retry_of_nothing_or_with_options_of_its_own_is_refused(engine, batch_input, word):
    assert word in engine.run(batch_input)["cause"]


def test_a_prefix_is_read_for_the_same_past_days_on_every_attempt(engine):
    engine.put("nightly/a.jsonl", readings(days=1))
    placed = engine.s3.head_object(Bucket="work", Key="nightly/a.jsonl")["LastModified"]

    def run(now, days=2):
        source = {"bucket": "work", "prefix": "nightly/", "days": days}
        return engine.run({"source": source, "now": now.isoformat()})

    night = placed + timedelta(hours=3)
    assert run(night)["output"]["accepted"] == 8
    # Delivered twice it is one batch; the next night's is another.
    assert "first" in run(night)["output"]
    assert run(night + timedelta(days=1))["output"]["accepted"] == 0
    for now in (placed - timedelta(seconds=1), placed + timedelta(days=3)):
        execution = run(now)
        assert execution["status"] == "FAILED"
        assert "no object of the 2 days before" in execution["cause"]


@pytest.mark.parametrize("source", [{"key": "in/a.jsonl", "days": 2}, {"prefix": "in/", "days": 0}])
def test_days_require_a_prefix(source):
    with pytest.raises(InvalidInput, match=r"source\.days needs a source\.prefix"):
        read_input({"source": {"bucket": "b"} | source})
