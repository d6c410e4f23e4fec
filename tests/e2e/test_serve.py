"""`kalmap serve`: the commands that it shows work, others use its cloud, and Ctrl-C ends it."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from kalmap_cli.commands import serve
from kalmap_cli.deployment import CLOUD_STAYS, local_parameters
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK
from kalmap_cli.local.prepare import prepare
from kalmap_cli.stack import find_stack
from tests.support.kalmap_command import environment, kalmap, processes_of, start

#: What lies in the data directory while it is served, and no longer.
SERVED = ("secret", "curl", "aws", "bucket", "api-url", "console-url")
LIST_BUCKETS = """
import boto3
for bucket in boto3.client("s3").list_buckets()["Buckets"]:
    print(bucket["Name"])
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with a data directory that is being served, and what was said by then."""
    folder = tmp_path_factory.mktemp("served")
    process = start("serve", "--data-dir", "my data", cwd=folder)
    printed = []
    deadline = time.monotonic() + 60
    while not printed or not printed[-1].startswith("Ctrl-C"):
        assert time.monotonic() < deadline
        printed.append(process.stdout.readline())
        assert printed[-1], process.stderr.read()
    yield folder, process, "".join(printed)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_commands_that_serve_shows_work_unchanged(served):
    folder, _, printed = served
    shown = [line for line in printed.splitlines() if line.startswith("  ")]
    console, address, *lines = (line.removeprefix("  ") for line in shown)
    data = folder / "my data"
    assert (data / "console-url").read_text() == f"{console}\n"
    assert (data / "api-url").read_text() == f"{address}\n"
    assert all(len(line) <= 80 for line in printed.splitlines() if address not in line)
    responses = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    answer, user = map(json.loads, responses)
    assert [one["status"] for one in answer["results"]] == ["accepted"]
    # The population draws a first level a little towards its mean.
    assert user["level"] == pytest.approx(81.4, abs=0.02)
    [setting] = [line for line in lines if line.startswith("export ")]
    process = subprocess.run(
        ["bash", "-c", f"{setting}; exec {sys.executable} -c {shlex.quote(LIST_BUCKETS)}"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert (data / "bucket").read_text().strip() in process


def test_the_address_and_secret_are_readable_by_the_owner_only(served):
    folder, _, printed = served
    data = folder / "my data"
    assert {oct((data / name).stat().st_mode & 0o777) for name in SERVED} == {"0o600"}
    assert oct((data / "cloud").stat().st_mode & 0o777) == "0o700"
    secret = (data / "secret").read_text().strip()
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
    )
    assert str(data.name) in listed.stdout
    assert secret not in listed.stdout + printed


def test_other_commands_use_the_served_cloud_and_can_finish_after_ctrl_c(served):
    folder, process, _ = served
    options = ("--data-dir", "my data")
    again = kalmap("serve", *options, cwd=folder)
    assert again.code == 2
    assert "in use" in again.err
    # Many readings, so that the batch runs for some seconds.
    hours = (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(40_000))
    rows = [f"u-18,{hour.isoformat()},60.5\n" for hour in hours]
    (folder / "a.csv").write_text("user_id,timestamp,value\n" + "".join(rows))
    guest = start("run", "a.csv", "--out", "out", *options, cwd=folder)
    for line in guest.stderr:
        if line.startswith("  IdentifyBatch "):
            break
    # Asked while both run, and without disturbing either.
    assert " running " in kalmap("status", *options, cwd=folder).out
    watching = start("status", "--watch", *options, cwd=folder)
    process.send_signal(signal.SIGINT)
    printed, complaints = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in complaints
    assert printed.endswith(f"Stopped. {CLOUD_STAYS}\n")
    assert not (folder / "my data" / "api-url").exists()
    assert not (folder / "my data" / "bucket").exists()
    assert not (folder / "my data" / "console-url").exists()
    out, complaints = guest.communicate(timeout=60)
    assert guest.returncode == 0, complaints
    assert re.search(r"accepted +40,000", out)
    watched, seen = watching.communicate(timeout=60)
    assert re.search(r"accepted +40,000", watched), seen
    # Where the machine is busy, the batch may have ended before the watching began.
    assert not seen or "  BatchCompleted " in seen
    states = kalmap("states", "--exact", *options, cwd=folder)
    assert '"user_id":"u-17"' in states.out
    assert '"user_id":"u-18"' in states.out
    assert processes_of(folder / "my data") == []
    assert {path.name for path in (folder / "my data").iterdir()} == {
        *("cloud", "guests", "kalmap.json", "lock"),
    }


def test_without_the_consoles_packages_the_api_is_served_alone(tmp_path):
    # A folder of this name, which is found first, and is no package with a console in it.
    (tmp_path / "hidden" / "starlette").mkdir(parents=True)
    (tmp_path / "hidden" / "starlette" / "__init__.py").write_text(
        "raise ModuleNotFoundError('No module named starlette', name='starlette')"
    )
    packages = f"{tmp_path / 'hidden'}{os.pathsep}{environment()['PYTHONPATH']}"
    process = start("serve", cwd=tmp_path, PYTHONPATH=packages)
    said = process.stdout.readline()
    assert said == (
        "There is no console. The console needs the package starlette, which is not installed. "
        '`pip install "kalmap[console]"` installs what is missing.\n'
    )
    assert not (tmp_path / ".kalmap" / "console-url").exists()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    asked = kalmap("serve", "--port", "8720", cwd=tmp_path, PYTHONPATH=packages)
    assert asked.code == 1
    assert "kalmap[console]" in asked.err


def test_what_expires_while_it_serves_is_deleted(tmp_path, monkeypatch):
    with DataDirectory(tmp_path) as data, LocalCloud(data) as cloud:
        prepare(cloud, local_parameters())
        stack, s3 = find_stack(cloud.clients, STACK), cloud.clients("s3")
        for key in ("batches/old", "profiles/kept"):
            s3.put_object(Bucket=stack.bucket, Key=key, Body=b"old")
        describe = cloud.clients("dynamodb").describe_time_to_live
        times = [
            describe(TableName=name)["TimeToLiveDescription"]
            for name in cloud.clients("dynamodb").list_tables()["TableNames"]
            if "StatesTable" not in name
        ]
        attributes = {time["AttributeName"]: time["TimeToLiveStatus"] for time in times}
        assert attributes == {"expires_at": "ENABLED", "expiration": "ENABLED"}
        monkeypatch.setattr(serve, "_EXPIRY_SECONDS", 0.0)
        later = datetime.now(UTC) + timedelta(days=31)
        monkeypatch.setattr(
            "kalmap_cli.local.prepare.datetime", SimpleNamespace(now=lambda _: later)
        )
        # The second look is after the first deletion.
        looks = iter((None,))
        monkeypatch.setattr(
            serve, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: next(looks))
        )
        with pytest.raises(StopIteration):
            serve._wait(cloud)
        left = [entry["Key"] for entry in s3.list_objects_v2(Bucket=stack.bucket)["Contents"]]
        assert "profiles/kept" in left
        assert "batches/old" not in left
