import os
from datetime import UTC, datetime, timedelta

from kalmap_cli.local.retention import delete_empty_folders

NOW = datetime.now(UTC)


def test_folders_that_have_long_been_empty_are_deleted_and_buckets_stay(tmp_path):
    bucket = tmp_path / "account" / "bucket"
    for name in ("batches/a/results", "batches/b/results", "incoming"):
        (bucket / name).mkdir(parents=True)
    (bucket / "batches/b/results/0").write_bytes(b"a result")
    delete_empty_folders(tmp_path, NOW)
    assert (bucket / "batches/a/results").exists()
    for folder in sorted(tmp_path.rglob("*/"), reverse=True):
        os.utime(folder, times=(0, (NOW - timedelta(days=2)).timestamp()))
    delete_empty_folders(tmp_path, NOW)
    left = {str(path.relative_to(bucket)) for path in bucket.rglob("*")}
    assert left == {"batches", "batches/b", "batches/b/results", "batches/b/results/0"}
    assert bucket.exists()
