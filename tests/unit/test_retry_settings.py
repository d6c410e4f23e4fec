"""How a batch's steps try the table again, as an operator sets it."""

import pytest

from handlers.settings import read_retry
from kalmap.errors import InvalidSetting
from kalmap_cli.local.deploy import read_template
from tests.support.template import TEMPLATE

DEFAULTS = {
    "RETRY_BASE_SECONDS": "RetryBaseSeconds",
    "RETRY_CAP_SECONDS": "RetryCapSeconds",
    "RETRY_ATTEMPTS": "RetryAttempts",
    "RETRY_JITTER": "RetryJitter",
}


def test_the_templates_defaults_are_the_codes():
    parameters = read_template(TEMPLATE)["Parameters"]
    given = {name: str(parameters[logical]["Default"]) for name, logical in DEFAULTS.items()}
    assert read_retry(given) == read_retry({})


def test_what_is_set_is_used():
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
def test_what_is_wrong_is_named(name, value, word):
    with pytest.raises(InvalidSetting, match=word) as caught:
        read_retry({name: value})
    assert name in str(caught.value)
