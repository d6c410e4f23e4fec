"""A small part of `make fuzz`, always the same, in every test run."""

import pytest

from tests.support import broken_records


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_each_broken_line_is_one_record_and_raises_no_error(seed):
    checked, read = broken_records.fuzz(10, seed=seed)
    assert checked >= 5000
    # Blank lines are none.
    assert 0.9 * checked < read <= checked


def test_a_parser_that_loses_a_record_is_found(monkeypatch):
    parse = broken_records.parse

    def losing(*arguments):
        parsed = parse(*arguments)
        return parsed._replace(unreadable=parsed.unreadable[:-1])

    monkeypatch.setattr(broken_records, "parse", losing)
    with pytest.raises(AssertionError):
        broken_records.fuzz(2, seed=1)
