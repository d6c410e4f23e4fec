"""Batches with a folder in a bucket and states in a table, made by the pipeline's own steps."""

import uuid
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.identity import Batch, Limits
from kalmap.pipeline.write_states import write_states
from kalmap.profile import builtin_profile
from kalmap.records.shards import shard_of
from kalmap.results.report import Report
from kalmap.store.objects import Objects
from tests.support.dynamodb import endpoint
from tests.support.store_batches import START, kalmap_fold

PROFILE = builtin_profile("body-weight")
SHARDS = 2


def new_bucket(*, versions=False):
    """An empty bucket."""
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=endpoint(), config=config)
    s3.meta.events.register("before-sign.s3", name_the_process)
    name = f"work-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    if versions:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return Objects(s3, name)


def name_the_process(request, **_):
    request.headers["Host"] = urlsplit(endpoint()).netloc


def run_batch(
    objects, store, readings, *, batch, attempt="first", started="2026-03-01T00:00:00Z",
    meanwhile=None, write=True, only=None, profile=PROFILE,
):  # fmt: skip
    """Run a batch of numbers by user, each a reading: load, fold, write, in rounds.

    Args:
        meanwhile: Called between load and write of the first round.
        write: Whether the writes are made at all.
        only: Write only this shard.
    """
    folder = Folder(objects, f"batches/{batch}/{attempt}")
    folder.save_batch(
        Batch(batch, attempt, profile, "conditional", Limits(), False, START, started), []
    )
    round_ = 0
    while readings:
        states = store.load(profile.name, list(readings)).states
        changes = [
            change._replace(
                level=float(change.level), slope=float(change.slope), as_of=int(change.as_of)
            )
            for change in kalmap_fold(profile)(states, readings)
        ]
        if meanwhile and round_ == 0:
            meanwhile()
        conflicts = set()
        for number in range(SHARDS):
            own = [change for change in changes if shard_of(change.user, SHARDS) == number]
            folder.save_changes(round_, number, own)
            folder.objects.put(folder.results_key(round_, number), b"")
            filtered = Report(step="filter", round=round_, number=number, changed=len(own))
            folder.save_report(filtered)
            if write and only in {None, number}:
                report = write_states(folder, store, round_, Shard(number, 1, (0, 0)), None)
                folder.save_report(report)
                conflicts |= set(report.conflicts)
        readings = {user: readings[user] for user in readings if user in conflicts}
        round_ += 1


def stored(store):
    """All states, with their readable fields and without what identifies writes."""
    return {(state.user, state.profile): (state.state.body, *state[3:]) for state in store.scan()}
