"""The local cloud, beside a browser and on a shared machine, answers only signed requests."""

import base64
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from kalmap_cli.local.access_files import ACCESS_KEY, REGION
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from tests.support import browser

CHROMIUM = shutil.which("chromium")
OTHER_USER = 65534
SERVICES = {
    "apigateway": "get_rest_apis",
    "cloudformation": "list_stacks",
    "dynamodb": "list_tables",
    "events": "list_rules",
    "iam": "list_roles",
    "lambda": "list_functions",
    "logs": "describe_log_groups",
    "s3": "list_buckets",
    "sns": "list_topics",
    "sqs": "list_queues",
    "stepfunctions": "list_state_machines",
    "sts": "get_caller_identity",
}


@pytest.fixture(scope="module")
def cloud():
    """A local cloud whose data directory was there before, and can be entered by everybody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with DataDirectory(folder) as data, LocalCloud(data) as running:
            running.data = data
            yield running


def client(cloud, service, secret=None):
    return boto3.client(
        service,
        endpoint_url=cloud.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret or cloud.secret,
        config=Config(signature_version="s3v4") if service == "s3" else None,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_answers_the_secret_and_no_other(cloud, service):
    getattr(client(cloud, service), SERVICES[service])()
    with pytest.raises(ClientError) as refused:
        getattr(client(cloud, service, "f" * 64), SERVICES[service])()
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_objects_are_put_and_read_in_every_way_that_clients_have(cloud):
    s3 = client(cloud, "s3")
    s3.create_bucket(Bucket="objects")
    location = {"Bucket": "objects", "Key": "a b/ü//c%20d+e"}
    content = os.urandom(6 * 1024 * 1024)
    s3.upload_fileobj(io.BytesIO(content * 2), **location)
    assert s3.get_object(**location, Range="bytes=1-9")["Body"].read() == content[1:10]
    s3.put_object(**location, Body=content, ContentType="text/plain", Metadata={"k": "a  b"})
    assert s3.head_object(**location)["Metadata"] == {"k": "a  b"}
    assert s3.list_objects_v2(Bucket="objects", Prefix="a b/")["KeyCount"] == 1
    s3.put_object(Bucket="objects", Key="md5", Body=b"x", ChecksumAlgorithm="SHA256")
    s3.delete_objects(Bucket="objects", Delete={"Objects": [{"Key": "md5"}]})

    def link(operation, seconds=60):
        return s3.generate_presigned_url(operation, Params=location, ExpiresIn=seconds)

    put = urllib3.request("PUT", link("put_object"), body=b"by link", retries=False)
    assert put.status == 200
    got = urllib3.request("GET", link("get_object"), retries=False)
    assert (got.status, got.data) == (200, b"by link")
    # A link is for its object with any body: it reaches no other service.
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"Action=ListUsers&Version=2010-05-08"
    put = urllib3.request("PUT", link("put_object"), body=body, headers=form, retries=False)
    assert (put.status, s3.get_object(**location)["Body"].read()) == (200, body)
    for changed in (
        link("get_object").replace("X-Amz-Expires=60", "X-Amz-Expires=61"),
        link("get_object").replace("objects/", "objects//"),
        link("get_object")[:-1],
        link("get_object", 0),
    ):
        assert urllib3.request("GET", changed, retries=False).status == 403
    assert urllib3.request("DELETE", link("get_object"), retries=False).status == 403


def leaves_a_trace(trace):
    """A function's code that creates a file when it runs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", f"def handler(*_):\n    open({str(trace)!r}, 'w').close()\n")
    return packed.getvalue()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
@pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", browser.REBOUND])
def test_a_page_in_a_browser_can_neither_read_nor_run_anything(cloud, tmp_path, name):
    code = leaves_a_trace(tmp_path / "trace")
    port = int(cloud.endpoint.rpartition(":")[2])
    tried = browser.attack(
        CHROMIUM, port, name, base64.b64encode(code).decode(), tmp_path / "profile"
    )
    assert len(tried.reported) == 13
    assert tried.reported.pop("make by form")["text"] == "sent"
    for one in tried.reported.values():
        # An opaque answer, which a page cannot look into, has the status 0 and no text.
        assert one.get("status") in {None, 0, 403}
        assert one.get("status") or not one.get("text")
    if name == browser.REBOUND:
        assert len(tried.handed_on) >= len(tried.reported)
    for _, answer in tried.handed_on:
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"access-control" not in answer.lower()
    assert not (tmp_path / "trace").exists()
    # The attack is a real one: with the secret, the same function is made and runs.
    lambdas = client(cloud, "lambda")
    assert lambdas.list_functions()["Functions"] == []
    lambdas.create_function(
        FunctionName="trace",
        Runtime="python3.13",
        Handler="index.handler",
        Role=f"arn:aws:iam::{ACCESS_KEY}:role/any",
        Code={"ZipFile": code},
    )
    try:
        lambdas.invoke(FunctionName="trace", Payload=b"{}")
        assert (tmp_path / "trace").exists()
    finally:
        lambdas.delete_function(FunctionName="trace")


def test_another_user_of_the_machine_can_read_nothing_and_use_nothing(cloud):
    client(cloud, "s3").create_bucket(Bucket="private")
    client(cloud, "s3").put_object(Bucket="private", Key="k", Body=b"readings")
    environ = Path(f"/proc/{cloud.process_id}/environ")
    private = [cloud.data.path / "secret", cloud.data.cloud, environ]
    assert [path.stat().st_mode & 0o077 for path in private] == [0, 0, 0]
    [stored] = cloud.data.cloud.rglob("k")
    assert stored.stat().st_mode & 0o077 == 0
    if os.geteuid() != 0:
        return

    def as_another(*command):
        return subprocess.run(
            command,
            user=OTHER_USER,
            group=OTHER_USER,
            extra_groups=[],
            capture_output=True,
            check=False,
        )

    # They come as far as the directory itself.
    assert as_another("ls", str(cloud.data.path)).returncode == 0
    for path in private:
        process = as_another("ls" if path.is_dir() else "cat", str(path))
        assert process.returncode != 0
        assert b"Permission denied" in process.stderr
    url = f"{cloud.endpoint}/private/k"
    wrong = ["--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", f"{ACCESS_KEY}:a"]
    for more in ([], wrong, ["--http2-prior-knowledge"]):
        process = as_another("curl", "-sS", "-w", "%{http_code}", *more, url)
        assert process.stdout.endswith(b"403")
        assert b"readings" not in process.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_local_cloud_listens_on_one_port_only(cloud):
    listening = {}
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/{cloud.process_id}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                listening[f"socket:[{fields[9]}]"] = fields[1]
    own = {os.readlink(link) for link in Path(f"/proc/{cloud.process_id}/fd").iterdir()}  # noqa: PTH115
    port = int(cloud.endpoint.rpartition(":")[2])
    addresses = [address for inode, address in listening.items() if inode in own]
    assert addresses == [f"0100007F:{port:04X}"]
