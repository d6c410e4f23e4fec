"""Settings are declared once: the template's parameters and the documentation agree with them."""

import re

import pytest

from kalmap.errors import InvalidSetting
from kalmap_cli.local.deploy import read_template
from kalmap_handlers.settings import RetrySettings, Settings, bounds, read_retry, read_settings
from tests.support.template import ROOT, TEMPLATE

PARAMETERS = read_template(TEMPLATE)["Parameters"]
RESOURCES = read_template(TEMPLATE)["Resources"]
BY_NAME = [(kind, name) for kind in (Settings, RetrySettings) for name in kind.__struct_fields__]

#: The documentation's words for the texts that are allowed.
ALLOWED_TEXTS = {"cache_url": "`redis://` or `rediss://`", "cache_secret": ""}


def parameter_of(kind, name):
    """The template's parameter that a setting's variable refers to."""
    function = "ApiFunction" if kind is Settings else "LoadFunction"
    variables = RESOURCES[function]["Properties"]["Environment"]["Variables"]
    return PARAMETERS[variables[name.upper()]["Ref"]]


def documented():
    """The rows of the table of settings in docs/api.md: default and allowed values by variable."""
    text = (ROOT / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \| ?([^|]*) ?\| [^|]* \|$", text, re.MULTILINE)
    return {name: (default.strip(), allowed.strip()) for name, default, allowed in rows}


def in_words(default):
    return str(default).lower().removesuffix(".0") or "none"


@pytest.mark.parametrize(("kind", "name"), BY_NAME)
def test_a_setting_is_a_parameter_with_its_default_and_bounds(kind, name):
    parameter, default = parameter_of(kind, name), getattr(kind(), name)
    assert str(parameter["Default"]).removesuffix(".0") == in_words(default).replace("none", "")
    if isinstance(default, bool):
        assert parameter["AllowedValues"] == ["true", "false"]
    elif not isinstance(default, str):
        assert (parameter["MinValue"], parameter["MaxValue"]) == bounds(kind, name)


def test_the_documentation_has_every_setting_of_the_api_with_its_default_and_bounds():
    expected = {}
    for name in Settings.__struct_fields__:
        default = getattr(Settings(), name)
        if isinstance(default, bool):
            allowed = "true, false"
        elif isinstance(default, str):
            allowed = ALLOWED_TEXTS[name]
        else:
            low, high = bounds(Settings, name)
            allowed = f"{low:,g} to {high:,}"
        expected[name.upper()] = (in_words(default), allowed)
    assert documented() == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_MAX_SIZE", "0"),
        ("BATCH_MAX_SIZE", "1.5"),
        ("BATCH_PARALLELISM", "many"),
        ("BATCH_TIMEOUT_SECONDS", "nan"),
        ("BATCH_TIMEOUT_SECONDS", "-1"),
        ("DB_BATCH_GET_SIZE", "101"),
        ("DB_BATCH_WRITE_SIZE", "26"),
        ("ENABLE_BATCH_CACHE", "perhaps"),
        ("CACHE_URL", "http://cache"),
    ],
)
def test_a_setting_out_of_its_range_is_named(name, value):
    with pytest.raises(InvalidSetting, match=name):
        read_settings({name: value})


def test_retry_settings_make_the_retry_policy():
    policy = read_retry(
        {"RETRY_BASE_SECONDS": "1", "RETRY_CAP_SECONDS": "2", "RETRY_ATTEMPTS": "3",
         "RETRY_JITTER": "false"}
    )  # fmt: skip
    assert (policy.base, policy.cap, policy.attempts, policy.jitter) == (1.0, 2.0, 3, False)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("RETRY_ATTEMPTS", "0", "1 to 10,000"),
        ("RETRY_ATTEMPTS", "many", "whole number"),
        ("RETRY_JITTER", "perhaps", "true or false"),
        ("RETRY_BASE_SECONDS", "20", "at most RETRY_CAP_SECONDS"),
    ],
)
def test_a_wrong_retry_setting_is_named(name, value, word):
    with pytest.raises(InvalidSetting, match=word) as caught:
        read_retry({name: value})
    assert name in str(caught.value)
