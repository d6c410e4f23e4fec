"""The locks hold what pyproject.toml asks for, and AWS gets what the tests ran with."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
DEV = EXTRAS["dev"]
#: With all that the report needs.
CONSOLE = [wanted for wanted in EXTRAS["console"] if wanted != "kalmap[report]"] + EXTRAS["report"]
GROUPS = PROJECT["dependency-groups"]
LOCKS = {
    "requirements.lock": RUN + CONSOLE + GROUPS["build"],
    "requirements-dev.lock": RUN + CONSOLE + GROUPS["build"] + DEV,
    "requirements-peers.lock": GROUPS["peers"],
    "requirements-sam.lock": GROUPS["sam"],
    "requirements-checkov.lock": GROUPS["checkov"],
    "requirements-fuzz.lock": GROUPS["fuzz"],
}


def locked(name: str) -> dict[str, str]:
    """Versions by package."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize(("name", "wanted"), LOCKS.items())
def test_a_lock_has_every_package_asked_for_at_an_allowed_version(
    name: str, wanted: list[str]
) -> None:
    versions = locked(name)
    for requirement in map(Requirement, wanted):
        assert Version(versions[requirement.name]) in requirement.specifier


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_one_version_and_hashes_of_every_package_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    packages = re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)
    assert len(packages) == len(set(packages))
    assert re.findall(r"^\S+==.*[^\\]$", text, re.MULTILINE) == [], "a package without hashes"
    assert "://" not in text


@pytest.mark.parametrize("name", ["requirements-dev.lock", "requirements-peers.lock"])
def test_every_lock_agrees_with_the_runtime_lock(name: str) -> None:
    run = locked("requirements.lock")
    assert {package: run.get(package, version) for package, version in locked(name).items()} == (
        locked(name)
    )


def test_the_layer_for_parquet_has_the_locked_version() -> None:
    packed = locked("layers/parquet/requirements.txt")
    assert packed == {"pyarrow": locked("requirements-dev.lock")["pyarrow"]}


def test_the_functions_are_packed_with_the_locked_versions() -> None:
    run = locked("requirements.lock")
    packed = locked("functions/requirements.txt")
    assert {"aws-lambda-powertools", "msgspec", "numpy"} <= set(packed)
    assert packed == {package: run[package] for package in packed}
