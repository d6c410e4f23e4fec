"""A container's cached states, and its memory."""

import json
import os
import subprocess
import sys
import uuid

import boto3
import pytest

from kalmap.api.cache import RecentStates
from kalmap_handlers.settings import Settings
from tests.support.both_paths import reading
from tests.support.dynamodb import endpoint
from tests.support.template import ROOT


class TestCache:
    def test_a_container_does_not_read_a_recent_user_twice(self, api):
        assert api.post([reading("u-1", 0)]).body["summary"]["database"]["read_units"] == 1
        assert api.post([reading("u-1", 1)]).body["summary"]["database"]["read_units"] == 0

    def test_without_a_cache_a_container_reads_a_recent_user_again(self, start):
        api = start(ENABLE_BATCH_CACHE="false")
        for hour in range(2):
            response = api.post([reading("u-1", hour)])
            assert response.body["summary"]["database"]["read_units"] == 1

    def test_a_new_container_begins_with_the_most_frequent_users(self, start, monkeypatch):
        api = start(CACHE_WARMUP_SIZE="2")
        monkeypatch.setattr("kalmap_handlers.http.container._PUBLISH_SECONDS", 0.0)
        for hour in range(3):
            api.post([reading("often", hour), reading("seldom", hour) if not hour else {}])
            api.post([reading("daily", hour)])
        api.cold_start()
        response = api.post([reading("often", 9), reading("daily", 9), reading("seldom", 9)])
        assert response.body["summary"]["database"]["read_units"] == 1
        from kalmap_handlers.http.container import recent_states

        assert recent_states().use.misses <= 3

    def test_a_failed_warm_up_does_not_affect_answers(self, api):
        for data in (b"not json", b'[["body-weight", 5]]'):
            api.s3.put_object(Bucket=api.bucket, Key="cache/frequent.json", Body=data)
            api.cold_start()
            assert api.post([reading("u-1", 0)]).status == 200

    def test_an_unusable_bucket_does_not_affect_answers(self, start, monkeypatch, log):
        monkeypatch.setattr("kalmap_handlers.http.container._PUBLISH_SECONDS", 0.0)
        api = start(WORK_BUCKET="no bucket's name")
        assert api.post([reading("u-1", 0)]).status == 200
        assert "not warmed up" in log.getvalue()
        assert "frequent users not published" in log.getvalue()


class TestMemory:
    def test_a_full_request_stays_far_below_the_limit(self):
        """A process of its own, as a container is: imports, two full requests, and no more."""
        folders = (ROOT / "functions", ROOT / "cli", ROOT)
        child = subprocess.run(
            [sys.executable, "-m", "tests.support.container_memory"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
            capture_output=True,
            text=True,
            check=True,
        )
        report = json.loads(child.stdout.splitlines()[-1])
        assert report["statuses"] == [200] * 8
        assert report["results"] == 500
        # Half of the limit at which a container frees memory (BATCH_MEMORY_LIMIT_MB).
        assert report["peak_mb"] < Settings().batch_memory_limit_mb / 2


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestRecentStates:
    @pytest.fixture
    def clock(self):
        return Clock()

    def test_the_least_recently_used_states_are_evicted(self, clock):
        cached_states = RecentStates(3, 100.0, shun=5.0, clock=clock)
        for user in "abc":
            cached_states.put({("p", user): user})
        cached_states.get([("p", "a")])
        cached_states.put({("p", "d"): "d"})
        states = cached_states.get([("p", user) for user in "abcd"])
        assert sorted(states.values()) == ["a", "c", "d"]
        use = cached_states.take_use()
        assert (use.hits, use.misses, use.evictions) == (4, 1, 1)
        assert cached_states.take_use().hits == 0

    def test_a_state_lives_as_long_as_it_is_used(self, clock):
        cached_states = RecentStates(10, 10.0, shun=5.0, clock=clock)
        cached_states.put({("p", "a"): "a", ("p", "b"): "b"})
        for _ in range(5):
            clock.now += 9.0
            assert cached_states.get([("p", "a")])
        assert not cached_states.get([("p", "b")])
        clock.now += 10.0
        assert not cached_states.get([("p", "a")])
        assert len(cached_states) == 0
        assert cached_states.take_use().expired == 2

    def test_states_of_different_profiles_are_separate(self, clock):
        cached_states = RecentStates(10, 10.0, shun=5.0, clock=clock)
        cached_states.put({("p", "a"): "p's"})
        assert not cached_states.get([("q", "a")])

    def test_a_dropped_state_is_not_cached_again_for_a_while(self, clock):
        cached_states = RecentStates(10, 10.0, shun=5.0, clock=clock)
        cached_states.put({("p", "a"): "a", ("p", "b"): "b"})
        cached_states.drop([("p", "a"), ("p", "none")])
        assert list(cached_states.get([("p", "a"), ("p", "b")]).values()) == ["b"]
        cached_states.put({("p", "a"): "a"})
        assert not cached_states.get([("p", "a")])
        clock.now += 5.0
        cached_states.put({("p", "a"): "a"})
        assert cached_states.get([("p", "a")])
        cached_states.clear()
        assert len(cached_states) == 0


def test_the_address_of_a_shared_cache_may_lie_in_a_secret(api):
    from kalmap.errors import InvalidSetting
    from kalmap_handlers.http.container import _secret_address

    secrets = boto3.client("secretsmanager", endpoint_url=endpoint())

    def secret(text):
        return secrets.create_secret(Name=f"cache-{uuid.uuid4().hex}", SecretString=text)["ARN"]

    address = "rediss://:password@cache.example:6379/0"
    assert _secret_address(secret(f"{address}\n")) == address
    with pytest.raises(InvalidSetting, match="CACHE_SECRET") as error:
        _secret_address(secret("password"))
    assert "password" not in str(error.value)
