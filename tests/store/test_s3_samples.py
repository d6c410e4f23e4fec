"""Tables of other programs in S3: which objects are looked at, and what is told about them."""

import gzip
import random
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from kalmap_cli import s3_samples
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.said import Said
from kalmap_cli.s3_samples import with_mapping
from tests.support.written_batches import new_bucket

ROW = "anna;{:02d}.03.2026 07:00;70,5\n"
TABLE = "Name;Datum;Gewicht\n" + "".join(map(ROW.format, range(1, 29)))
SAID = Said(tz="UTC", columns={"timestamp": "Datum", "value": "Gewicht"})


@pytest.fixture
def objects():
    return new_bucket()


def understood(objects, **source):
    deployment = SimpleNamespace(clients=lambda _: objects._client, options=" --stack s")
    source = {"bucket": objects.bucket, **source}
    return with_mapping(deployment, source, "s3://there", SAID, "body-weight")


def test_some_of_many_objects_are_looked_at_from_the_first_on_and_it_is_told(objects):
    for number in range(20):
        objects.put(f"in/{number:02d}.csv", TABLE.encode())
    objects.put("in/", b"")
    read = []
    objects._client.meta.events.register(
        "provide-client-params.s3.GetObject", lambda params, **_: read.append(params["Key"])
    )
    source, told = understood(objects, prefix="in/")
    assert read == [f"in/{number:02d}.csv" for number in range(0, 20, 3)]
    assert "7 objects below s3://there were looked at." in told
    assert source["mapping"]["columns"]["value"] == "Gewicht"


def test_a_gzipped_object_is_understood_from_its_beginning(objects):
    digits = random.Random(1)
    row = "{:x};{:02d}.03.2026 07:00;70,5\n"
    rows = "".join(row.format(digits.getrandbits(256), n % 28 + 1) for n in range(40_000))
    packed = gzip.compress(f"Name;Datum;Gewicht\n{rows}".encode(), 1)
    assert len(packed) > s3_samples._HEAD_BYTES
    objects.put("long.csv.gz", packed)
    source, _ = understood(objects, key="long.csv.gz")
    assert source["mapping"]["columns"]["user_id"] == "Name"


def test_objects_that_the_user_may_not_read_are_told_with_what_to_do(objects):
    def refuse(**_):
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "HeadObject")

    objects.put("mine.csv", TABLE.encode())
    objects._client.meta.events.register("provide-client-params.s3.HeadObject", refuse)
    with pytest.raises(WrongUsage, match=r"with your own rights \(AccessDenied\).*Put the mapping"):
        understood(objects, key="mine.csv")


def test_a_table_that_is_too_large_to_look_at_is_told_with_its_size(objects, monkeypatch):
    monkeypatch.setattr(s3_samples, "_HEAD_BYTES", 8)
    monkeypatch.setattr(s3_samples, "_TABLE_BYTES", 1000)
    objects.put("large.parquet", b"PAR1" + bytes(2000))
    with pytest.raises(WrongUsage, match=r"large.parquet has 2,004 bytes, too many"):
        understood(objects, key="large.parquet")
