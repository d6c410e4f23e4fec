"""The two paths of a reading: a request answered at once, and a batch through the pipeline's steps.

Both run as in their Lambda functions, on a table and a bucket of the local cloud.
"""

import itertools
import json
import uuid
from datetime import datetime, timedelta

import msgspec
from hypothesis import HealthCheck, Phase, settings

from kalmap.api.answer_request import Answer, Pace, answer_request
from kalmap.api.cache import RecentStates
from kalmap.api.cached_states import CachedStates
from kalmap.api.user_group import Request
from kalmap.batch.chunks import Chunk
from kalmap.batch.folder import Folder
from kalmap.moments import microseconds, parse_moment
from kalmap.pipeline.filter_users import filter_users
from kalmap.pipeline.identify_batch import identify_batch
from kalmap.pipeline.load_states import load_states
from kalmap.pipeline.partition_measurements import partition_measurements
from kalmap.pipeline.plan_batch import plan_batch
from kalmap.pipeline.plan_shards import plan_shards
from kalmap.pipeline.write_states import write_states
from kalmap.profile import builtin_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.store.backoff import RetryPolicy
from kalmap.store.breaker import CircuitBreaker
from kalmap.store.dynamodb.states import DynamoDBStateStore

#: Each example goes to a real table; one that fails is shown as it was found.
TABLE_EXAMPLES = settings(
    max_examples=12,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PROFILE = builtin_profile("body-weight")
NOW = "2026-03-01T00:00:00Z"
PACE = Pace(group=100, workers=4, seconds=30.0)
_START = datetime.fromisoformat("2026-01-10T00:00:00+00:00")
_numbers = itertools.count()


def reading(user: str, hours: float, value: float = 80.0, **more) -> dict:
    moment = _START + timedelta(hours=hours)
    return {"user_id": user, "timestamp": moment.isoformat(), "value": value} | more


def store_of(client, table, **options) -> DynamoDBStateStore:
    """A store that retries without a pause, so that no test waits."""
    retry = RetryPolicy(base=1e-9, cap=1e-9, attempts=10)
    return DynamoDBStateStore(client, table, **({"retry": retry, "parallelism": 2} | options))


def container(client, table, *, threshold: int = 3, **options) -> CachedStates:
    """A container's access to the states, with a cache and a circuit breaker of its own."""
    breaker = CircuitBreaker(threshold=threshold)
    return CachedStates(store_of(client, table, **options), breaker, RecentStates(1000, 1000.0))


def ask(states: CachedStates, records: list, pace: Pace = PACE) -> Answer:
    """Answer a request at once."""
    now = microseconds(parse_moment(NOW))
    parsed = parse([msgspec.json.Encoder().encode_lines(records)], Jsonl(), PROFILE)
    return answer_request(Request(uuid.uuid4().hex, parsed, PROFILE, False, now), states, pace)


def lines(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.splitlines()]


def results(answer: Answer) -> list[dict]:
    return lines(answer.results)


def run_batch(bucket, store: DynamoDBStateStore, records: list, *, shard_size: int = 3) -> None:
    """Run the steps of a batch without conflicts, in several shards."""

    def opened(_name):
        return bucket

    batch_input = {"source": {"records": records}, "profile": "body-weight", "now": NOW}
    name = f"run-{next(_numbers)}-{uuid.uuid4().hex}"
    pointer = identify_batch(
        batch_input, execution=name, started_at=NOW, work=bucket, bucket=opened, records=None
    )
    folder = Folder.of(bucket, pointer)
    _, items = plan_batch(folder, opened, readings_per_shard=shard_size, max_shards=3)
    for chunk in msgspec.json.decode(bucket.get(items), type=list[Chunk]):
        partition_measurements(folder, chunk, opened)
    plan_shards(folder)
    for shard in folder.shards(0):
        folder.save_report(load_states(folder, store, 0, shard, None))
        folder.save_report(filter_users(folder, 0, shard))
        report = write_states(folder, store, 0, shard, None)
        assert not report.conflicts
        assert not report.error


def stored(store: DynamoDBStateStore) -> dict[str, bytes]:
    """Every user's exact state, without version and tokens."""
    return {item.user: item.state.body for item in store.scan()}
