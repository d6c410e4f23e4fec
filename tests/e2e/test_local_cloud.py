"""The local cloud by itself: where it listens, what it sees, what it keeps, how it ends."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from kalmap_cli.errors import RunFailed, WrongUsage
from kalmap_cli.local.access_files import ACCOUNT
from kalmap_cli.local.clients import signature_headers
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from tests.support.kalmap_command import environment, processes_of

#: Starts a local cloud, stores an object, says where it listens, and waits.
HOLDER = """
import sys, time
from pathlib import Path
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory

with DataDirectory(Path(sys.argv[1])) as data, LocalCloud(data) as cloud:
    s3 = cloud.clients("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"value")
    print(cloud.endpoint, flush=True)
    time.sleep(60)
"""

#: A function's code: it takes its time, and says which worker it ran in.
SLOW = """
import os, time

def handler(*_):
    time.sleep(0.2)
    return os.getpid()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "data")],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.endpoint = process.stdout.readline().strip()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def port_of(endpoint):
    return int(endpoint.rsplit(":", 1)[1])


def gone_within(seconds, directory, endpoint):
    """Whether nothing runs and nothing listens any more; waits up to so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            listening = probe.connect_ex(("127.0.0.1", port_of(endpoint))) == 0
        if not listening and not processes_of(directory):
            return True
        time.sleep(0.05)
    return False


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and 127.0.0.2")


@on_linux
def test_the_local_cloud_listens_on_the_loopback_interface_only(tmp_path):
    with (
        DataDirectory(tmp_path) as data,
        LocalCloud(data) as cloud,
        socket.socket() as elsewhere,
    ):
        # Were it listening on all interfaces, its port could not be bound on another one.
        elsewhere.bind(("127.0.0.2", port_of(cloud.endpoint)))


def test_no_process_can_take_its_port_and_it_avoids_ports_in_use(tmp_path):
    with socket.socket() as usual:
        # ministack's own default port is busy, as if the user ran one already.
        with suppress(OSError):
            usual.bind(("127.0.0.1", 4566))
            usual.listen()
        one, other = tmp_path / "one", tmp_path / "other"
        with DataDirectory(one) as data, LocalCloud(data) as first:
            with pytest.raises(OSError), socket.socket() as thief:
                thief.bind(("127.0.0.1", port_of(first.endpoint)))
            with DataDirectory(other) as more, LocalCloud(more) as second:
                assert second.endpoint != first.endpoint
                second.clients("s3").create_bucket(Bucket="only-in-second")
                assert first.clients("s3").list_buckets()["Buckets"] == []


def ask_when_it_is_killed(data):
    with LocalCloud(data) as cloud:
        os.kill(cloud.process_id, signal.SIGKILL)
        cloud.clients("s3").list_buckets()


def test_a_request_to_a_local_cloud_that_was_killed_ends_with_a_sentence(tmp_path, without_pauses):
    sentence = r"ended unexpectedly; its log is .*cloud\.log"
    with DataDirectory(tmp_path) as data, pytest.raises(RunFailed, match=sentence):
        ask_when_it_is_killed(data)


def test_stored_data_is_restored_after_a_restart(tmp_path):
    with DataDirectory(tmp_path) as data, LocalCloud(data) as cloud:
        cloud.clients("s3").create_bucket(Bucket="kept")
        cloud.clients("s3").put_object(Bucket="kept", Key="k", Body=b"value")
    with DataDirectory(tmp_path) as data, LocalCloud(data) as cloud:
        assert cloud.clients("s3").get_object(Bucket="kept", Key="k")["Body"].read() == b"value"
    with DataDirectory(tmp_path, fresh=True) as data, LocalCloud(data) as cloud:
        assert cloud.clients("s3").list_buckets()["Buckets"] == []


@on_linux
def test_the_local_cloud_does_not_see_the_users_aws_account(tmp_path, monkeypatch):
    configuration = tmp_path / "config"
    configuration.write_text("[default]\nregion = eu-west-9\nendpoint_url = http://127.0.0.1:1\n")
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_ACCESS_KEY_ID": "AKIAREALREALREALREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_CONFIG_FILE": str(configuration),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    with DataDirectory(tmp_path / "data") as data, LocalCloud(data) as cloud:
        client = cloud.clients("s3")
        client.create_bucket(Bucket="made")
        assert client.meta.region_name == "us-east-1"
        seen = Path(f"/proc/{cloud.process_id}/environ").read_bytes()
        assert b"real" not in seen
        assert b"AKIA" not in seen
        assert b"no-such-profile" not in seen
        assert b"proxy" not in seen.lower()


def test_a_second_command_is_refused_by_the_process_id_of_the_first(tmp_path, holder):
    with pytest.raises(WrongUsage, match=rf"in use by another kalmap.*process {holder.pid}"):
        DataDirectory(tmp_path / "data").__enter__()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_local_cloud_saves_and_ends_when_its_parent_ends(tmp_path, holder, end):
    assert (tmp_path / "data" / "secret").exists()
    os.kill(holder.pid, end)
    holder.wait()
    assert gone_within(10, tmp_path / "data", holder.endpoint)
    assert not (tmp_path / "data" / "secret").exists()
    with DataDirectory(tmp_path / "data") as data, LocalCloud(data) as cloud:
        assert cloud.clients("s3").get_object(Bucket="kept", Key="k")["Body"].read() == b"value"


def test_the_directory_of_a_killed_parent_is_free_as_soon_as_all_is_saved(tmp_path, holder):
    holder.kill()
    holder.wait()
    with DataDirectory(tmp_path / "data") as data, LocalCloud(data) as cloud:
        assert cloud.clients("s3").get_object(Bucket="kept", Key="k")["Body"].read() == b"value"


def test_a_function_has_no_more_workers_than_there_are_cores_and_calls_wait_for_one(tmp_path):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", SLOW)
    calls = 4 * (os.cpu_count() or 2)
    with DataDirectory(tmp_path) as data, LocalCloud(data, idle_seconds=5.0) as cloud:
        lambdas = cloud.clients("lambda")
        lambdas.create_function(
            FunctionName="slow",
            Runtime="python3.13",
            Handler="index.handler",
            Role=f"arn:aws:iam::{ACCOUNT}:role/any",
            Code={"ZipFile": code.getvalue()},
        )

        def worker(_):
            answer = lambdas.invoke(FunctionName="slow", Payload=b"{}")
            assert "FunctionError" not in answer
            return int(answer["Payload"].read())

        with ThreadPoolExecutor(calls) as pool:
            workers = set(pool.map(worker, range(calls)))
    assert 1 < len(workers) <= max(2, os.cpu_count() or 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads what another process has open")
def test_connections_that_clients_have_closed_are_closed(tmp_path):
    with DataDirectory(tmp_path / "data") as data, LocalCloud(data) as cloud:
        opened = Path(f"/proc/{cloud.process_id}/fd")
        before = len(list(opened.iterdir()))
        port, health = int(cloud.endpoint.rpartition(":")[2]), "/_ministack/health"
        signed = signature_headers(f"{cloud.endpoint}{health}", cloud.secret)
        clients = [HTTPConnection("127.0.0.1", port) for _ in range(50)]
        for client in clients:
            client.request("GET", health, headers=signed)
            client.getresponse().read()
        assert len(list(opened.iterdir())) > before + 40
        for client in clients:
            client.close()
        deadline = time.monotonic() + 10
        while len(list(opened.iterdir())) > before + 5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
