"""The distributions are built twice alike, and an installed kalmap runs without a checkout."""

import base64
import hashlib
import json
import subprocess
import sysconfig
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import kalmap
from tests.support.installed import Environment, build, run, some_packages, unpack
from tests.support.template import ROOT


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def checkout(sdist, tmp_path_factory):
    return unpack(sdist, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    return build("wheel", checkout, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    return Environment(folder, wheel, Path(sysconfig.get_path("platlib")))


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_same_source_makes_the_same_bytes_also_from_its_source_distribution(
    sdist, wheel, tmp_path
):
    time.sleep(2)  # zip counts two seconds at a time
    assert digest(build("wheel", ROOT, tmp_path)) == digest(wheel)
    assert digest(build("sdist", ROOT, tmp_path)) == digest(sdist)


def test_the_wheel_has_what_is_deployed_and_three_packages(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = {name.partition("/")[0] for name in names}
    assert folders == {"kalmap", "kalmap_cli", "kalmap_library", "kalmap-0.1.0.dist-info"}
    deployed = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "functions").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    deployed += ["template.yaml", "samconfig.toml", "statemachine/filter_batch.asl.json"]
    deployed += ["layers/parquet/requirements.txt"]
    sam = "kalmap_cli/sam/"
    assert {name for name in names if name.startswith(sam)} == {sam + name for name in deployed}


def test_a_batch_runs_in_any_folder(installed, tmp_path):
    command = installed.bin / "kalmap"
    where = "import kalmap, kalmap_cli; print(kalmap.__file__, kalmap_cli.__file__)"
    for file in run([installed.bin / "python", "-c", where], tmp_path).split():
        assert Path(file).is_relative_to(installed.packages)
    simulated = ["--users", "20", "--days", "15", "--seed", "1", "--out", "readings.jsonl"]
    run([command, "simulate", *simulated], tmp_path)
    readings = (tmp_path / "readings.jsonl").read_text().splitlines()
    run([command, "run", "readings.jsonl", "--out", "results"], tmp_path)
    results = (tmp_path / "results" / "results.jsonl").read_text().splitlines()
    assert len(results) == len(readings)
    statuses = [json.loads(line)["status"] for line in results]
    assert statuses.count("accepted") > 0.9 * len(statuses)
    states = run([command, "states", "--exact"], tmp_path).splitlines()
    assert len(states) == len({json.loads(line)["user_id"] for line in readings})

    folded = kalmap.fold(kalmap.read(tmp_path / "readings.jsonl"))
    assert folded.results["status"].tolist() == statuses
    levels = [json.loads(line)["level"] for line in results]
    assert [None if np.isnan(level) else level for level in folded.results["level"]] == levels
    stored = [json.loads(line) for line in states]
    assert {line["user_id"]: base64.b64decode(line["state"]) for line in stored} == folded.states


def test_it_says_its_version_by_each_of_its_names(installed, tmp_path):
    python = installed.bin / "python"
    for command in (
        [installed.bin / "kalmap"],
        [python, "-m", "kalmap"],
        [python, "-m", "kalmap_cli"],
    ):
        assert run([*command, "--version"], tmp_path) == "kalmap 0.1.0\n"


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """kalmap with the packages alone that the library needs."""
    packages = some_packages(tmp_path_factory.mktemp("packages"), "numpy", "msgspec")
    return Environment(tmp_path_factory.mktemp("bare"), wheel, packages)


def test_the_library_needs_numpy_and_msgspec_alone(bare, tmp_path):
    program = """
import kalmap
readings, truth = kalmap.simulate(users=12, days=40, seed=1)
states = kalmap.fold(readings).states
kalmap.predict(states), kalmap.smooth(states)
profile = kalmap.tune(readings)
print(profile.name, len(states))
try:
    readings.__arrow_c_stream__()
except kalmap.InvalidInput as error:
    print(error)
"""
    tuned, sentence = run([bare.bin / "python", "-c", program], tmp_path).splitlines()
    assert tuned == "body-weight-tuned 11"
    assert '`pip install "kalmap[arrow]"`' in sentence


def test_without_the_packages_that_a_command_needs_it_says_which_to_install(bare, tmp_path):
    (tmp_path / "a.csv").write_text("user_id,timestamp,value\nu,2026-01-01T00:00:00Z,80\n")
    done = subprocess.run(
        [bare.bin / "kalmap", "run", "a.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not installed" in done.stderr
    assert "`pip install kalmap`" in done.stderr
    assert "Traceback" not in done.stderr
