"""Sentences with one of something and with several."""

from kalmap.batch.commit_gate import closed_gate
from kalmap.batch.identity import Limits
from kalmap.plural import counted
from kalmap.results.tally import Tally
from kalmap.results.totals import Totals
from kalmap_cli.screen import summary_rows


def test_a_count_of_one_has_a_singular_noun_and_thousands_are_grouped():
    assert [counted(n, "user") for n in (0, 1, 2000)] == ["0 users", "1 user", "2,000 users"]


def test_the_reason_of_a_failed_batch_uses_the_singular_for_one_user():
    readings = Tally.from_texts({"failed/corrupt_state": 1})
    totals = Totals(users=1, failed_users=1, records=1, readings=readings)
    assert closed_gate(totals, Limits()).startswith("The only user failed (corrupt_state)")


def test_the_summary_uses_the_singular_for_one():
    database = {"requests": 1, "write_units": 1.0, "read_units": 0.5, "conflicts": 1}
    [row] = [row for row in summary_rows({"database": database}) if row[0] == "database"]
    assert row == ("database", "1", "request; 1 write unit, 0 read units, 1 conflict")
