"""Whoever an alarm wakes finds its section in docs/operations.md."""

import re

import pytest

from tests.support.template import ROOT, template

ADDRESS = re.compile(r" What to do: (docs/[\w.]+)#([\w-]+)$")


ALARMS = {
    name: resource
    for name, resource in template()["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}


def sections(page):
    """The addresses of a page's headings, as GitHub makes them."""
    text = (ROOT / page).read_text()
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_every_alarms_description_ends_with_the_address_of_its_section():
    assert ALARMS
    for name, alarm in ALARMS.items():
        found = ADDRESS.search(alarm["Properties"]["AlarmDescription"])
        assert found, name
        assert found[2] == name.lower()
        assert found[2] in sections(found[1])


def test_every_section_about_an_alarm_has_its_alarm():
    text = (ROOT / "docs" / "operations.md").read_text()
    about = text.split("\n## Alarms\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^### (\w+)$", about, re.MULTILINE)) == set(ALARMS)


@pytest.mark.parametrize("page", ["operations.md", "rollout.md"])
def test_links_to_sections_lead_somewhere(page):
    text = (ROOT / "docs" / page).read_text()
    links = re.findall(r"\]\(([\w.]*)#([\w-]+)\)", text)
    assert links
    for other, section in links:
        assert section in sections(f"docs/{other or page}"), (other, section)
