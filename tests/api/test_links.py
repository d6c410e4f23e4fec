"""Presigned links name the bucket's own region in every region."""

from urllib.parse import urlsplit

import pytest

from kalmap_handlers.http import signing


@pytest.fixture
def link(monkeypatch):
    """Signs an address in a region, on AWS or at an endpoint."""

    def link(region, endpoint=None, sign=signing.sign_get):
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        monkeypatch.setenv("WORK_BUCKET", "work-bucket")
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        if endpoint:
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        signing._signer.cache_clear()
        return urlsplit(sign("a/b.jsonl", 60))

    yield link
    signing._signer.cache_clear()


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("us-east-1", "amazonaws.com"),
        ("eu-central-1", "amazonaws.com"),
        ("ap-east-1", "amazonaws.com"),
        ("me-south-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-gov-west-1", "amazonaws.com"),
    ],
)
@pytest.mark.parametrize("sign", [signing.sign_get, signing.sign_put])
def test_a_link_has_the_buckets_regional_host_name(link, region, suffix, sign):
    address = link(region, sign=sign)
    assert (address.scheme, address.netloc) == ("https", f"work-bucket.s3.{region}.{suffix}")
    assert address.path == "/a/b.jsonl"
    assert f"%2F{region}%2Fs3%2Faws4_request" in address.query
    assert "X-Amz-SignedHeaders=host" in address.query


@pytest.mark.parametrize("region", ["us-east-1", "ap-east-1"])
def test_a_link_to_the_local_cloud_needs_no_name_lookup(link, region):
    address = link(region, "http://127.0.0.1:4566")
    assert (address.netloc, address.path) == ("127.0.0.1:4566", "/work-bucket/a/b.jsonl")
