"""Whatever checkov is told not to look for has its reason."""

import re

import pytest
import yaml

from tests.support.template import ROOT, TEMPLATE

CONFIGURATION = (ROOT / ".checkov.yaml").read_text()
#: A reason is a sentence, and not a word.
SENTENCE = re.compile(r"[A-Z]\S*( \S+){4,}\.")


def in_the_template(text):
    """The checks that comments skip, each with its reason."""
    return re.findall(r"checkov:skip=(\w+):?[ \t]*(.*)", text)


def in_the_configuration(text):
    """The checks that are skipped everywhere, each with the comment before it."""
    entries = text.partition("skip-check:\n")[2]
    pattern = r"((?:  #.*\n)*)  - (\w+)(.*)\n"
    return [
        (check, re.sub(r"\s*#\s*", " ", comment).strip())
        for comment, check, _ in re.findall(pattern, entries)
    ]


def unexplained(suppressed):
    return [check for check, reason in suppressed if not SENTENCE.search(reason)]


def test_every_suppression_has_its_reason():
    here, everywhere = in_the_template(TEMPLATE.read_text()), in_the_configuration(CONFIGURATION)
    assert len(here) >= 5
    # None is overlooked, since checkov reads the file as YAML.
    assert [check for check, _ in everywhere] == yaml.safe_load(CONFIGURATION)["skip-check"]
    assert unexplained(here + everywhere) == []


@pytest.mark.parametrize("reason", ["", ":", ": accepted", ": see above."])
def test_a_suppression_without_a_sentence_is_found(reason):
    assert unexplained(in_the_template(f"# checkov:skip=CKV_AWS_18{reason}\n")) == ["CKV_AWS_18"]
    comment = f"  # {reason.strip(': ')}\n" if reason else ""
    listed = f"skip-check:\n{comment}  - CKV_AWS_18\n"
    assert unexplained(in_the_configuration(listed)) == ["CKV_AWS_18"]


def test_checkov_asks_nothing_of_a_network():
    assert yaml.safe_load(CONFIGURATION)["skip-download"] is True
