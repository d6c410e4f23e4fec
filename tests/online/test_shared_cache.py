"""The cache that containers share, on a real redis-server.

Where there is none, or no client for it, these tests are skipped and say so; continuous
integration installs both.
"""

import shutil
import socket
import subprocess
import time

import pytest

from kalmap.api.cache import Key, Layers, RecentStates, SharedStates
from kalmap.api.cached_states import CachedStates
from kalmap.store.breaker import CircuitBreaker
from kalmap.store.ports import StoredState
from tests.support.both_paths import ask, container, reading, store_of, stored
from tests.support.dynamodb import new_table

redis = pytest.importorskip("redis", reason="the package redis is not installed")
SERVER = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(
    SERVER is None, reason="there is no redis-server here (Debian's package redis-server)"
)

STATE = StoredState(2**64 - 1, bytes(range(256)), (2**64 - 1, 7))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        cwd=tmp_path_factory.mktemp("redis"),
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(port=port)
    give_up = time.monotonic() + 10
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            assert time.monotonic() < give_up
            time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def client_of(address):
    client = redis.Redis.from_url(address, socket_timeout=0.5, retry=None)
    client.flushall()
    return client


def shared(client, seconds=60.0, group=2) -> SharedStates:
    return SharedStates(client, seconds, group, redis.RedisError)


def test_a_state_cached_by_one_container_is_read_by_another(client_of):
    one, other = shared(client_of), shared(client_of)
    keys = [Key("p", f"u:{n}") for n in range(5)]
    one.put(dict.fromkeys(keys, STATE))
    assert other.get([*keys, Key("q", "u:0")]) == dict.fromkeys(keys, STATE)
    other.drop(keys[:3])
    assert set(one.get(keys)) == set(keys[3:])
    assert (one.use.hits, one.use.misses, one.use.errors) == (2, 3, 0)


def test_a_state_is_forgotten_after_its_time(client_of):
    cache = shared(client_of, seconds=0.05)
    cache.put({Key("p", "u"): STATE})
    assert cache.get([Key("p", "u")])
    time.sleep(0.1)
    assert not cache.get([Key("p", "u")])


def test_an_invalid_cache_entry_is_a_miss(client_of):
    client_of.set("kalmap:p:u", b"\xc1 something else")
    assert not shared(client_of).get([Key("p", "u")])


def test_a_server_that_does_not_answer_is_a_miss_and_counted():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        client = redis.Redis(port=silent.getsockname()[1], socket_timeout=0.1, retry=None)
        cache = shared(client)
        cache.put({Key("p", "u"): STATE})
        assert not cache.get([Key("p", "u")])
        cache.drop([Key("p", "u")])
    assert cache.use.errors == 3


def test_containers_that_share_a_cache_lose_no_update(client, table, client_of):
    containers = [
        CachedStates(
            store_of(client, table),
            CircuitBreaker(),
            Layers(RecentStates(10, 60.0), shared(client_of)),
        )
        for _ in range(3)
    ]
    for day in range(20):
        ask(containers[day % 3], [reading("u-1", 24 * day), reading(f"u-{day % 2 + 2}", day)])
    one_batch = new_table(client)
    ask(
        container(client, one_batch),
        [reading("u-1", 24 * day) for day in range(20)]
        + [reading(f"u-{day % 2 + 2}", day) for day in range(20)],
    )
    assert stored(store_of(client, table)) == stored(store_of(client, one_batch))
    # A container that never met the user finds their state in the shared cache.
    fresh = Layers(RecentStates(10, 60.0), shared(client_of))
    states = CachedStates(store_of(client, table), CircuitBreaker(), fresh)
    assert ask(states, [reading("u-1", 500)]).totals.database.read_units == 0
