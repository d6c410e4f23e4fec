"""The summary: sums of reports, the commit gate, times and hints."""

import re
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalmap.batch.commit_gate import closed_gate, failed_commit
from kalmap.batch.identity import Limits
from kalmap.outcome import Reason, Status
from kalmap.pipeline.caught_error import describe_error
from kalmap.results.performance import bottlenecks, figures
from kalmap.results.report import Report
from kalmap.results.summary import hints, summarise
from kalmap.results.tally import Tally, from_json, to_json
from kalmap.results.totals import Totals, sum_of, total
from kalmap.results.unreadable import Unreadable
from kalmap.store.ports import DatabaseUse
from kalmap_cli.local.deploy import read_template
from tests.support.template import TEMPLATE

_COUNTS = st.dictionaries(
    st.sampled_from(["accepted/", "rejected/outlier", "unreadable/malformed", "failed/conflict"]),
    st.integers(0, 50),
).map(Tally.from_texts)
_REPORTS = st.lists(
    st.builds(
        Report,
        step=st.sampled_from(["partition", "load", "filter", "write"]),
        round=st.integers(0, 2),
        number=st.integers(0, 5),
        records=st.integers(0, 100),
        readings=_COUNTS,
        users=st.integers(0, 9),
        error=st.none() | st.just("It broke."),
        quality_sum=st.integers(0, 9).map(float),
        quality_count=st.integers(0, 9),
        started=st.integers(1, 50).map(float),
        ended=st.integers(50, 99).map(float),
        database=st.builds(DatabaseUse, requests=st.integers(0, 9)),
    )
)


@given(_REPORTS, _REPORTS)
def test_totals_of_rounds_add_up_to_the_totals_of_all_reports(first, second):
    together = msgspec.to_builtins(total(first + second))
    added = msgspec.to_builtins(sum_of([total(first), total(second)]))
    assert together == added


@given(_REPORTS)
def test_totals_come_back_from_s3_as_they_were(reports):
    totals = total(reports)
    assert from_json(to_json(totals), Totals) == totals


def test_a_tally_is_stored_as_an_object_of_texts_with_status_and_reason():
    texts = {"accepted/": 3, "rejected/outlier": 1}
    tally = Tally({(Status.ACCEPTED, Reason.NONE): 3, (Status.REJECTED, Reason.OUTLIER): 1})
    assert Tally.from_texts(texts) == tally
    assert msgspec.json.decode(to_json({"readings": tally})) == {"readings": texts}


def test_every_decision_comes_back_from_its_text():
    tally = Tally((status, reason) for status in Status for reason in Reason)
    assert from_json(to_json(tally), Tally) == tally


def filtered(number=0, readings=None, **fields):
    tally = Tally.from_texts(readings or {})
    return Report(step="filter", number=number, readings=tally, **fields)


def received(records):
    return Report(step="partition", records=records)


@pytest.mark.parametrize(
    ("records", "unusable", "limit", "closed"),
    [
        (100, 20, 0.2, False),
        (100, 21, 0.2, True),
        (1000, 201, 0.2, True),
        (99, 20, 0.2, True),
        (3, 1, 0.2, False),
        (12, 4, 0.2, False),
        (12, 5, 0.2, True),
        (3, 1, 0.0, True),
        (3, 3, 1.0, False),
    ],
)
def test_the_gate_closes_above_the_share_of_unusable_readings(records, unusable, limit, closed):
    bad = {
        "unreadable/malformed": max(0, unusable - 2),
        "rejected/out_of_range": int(unusable > 1),
        "rejected/in_future": 1,
    }
    totals = total([received(records), filtered(readings=bad)])
    reason = closed_gate(totals, Limits(unusable=limit))
    assert (reason is not None) == closed
    if reason:
        assert reason.startswith(f"{unusable} of {records:,} readings are unreadable")
        assert "in_future 1" in reason


@pytest.mark.parametrize("records", [1, 2, 500])
def test_a_batch_of_which_nothing_could_be_read_never_commits(records):
    bad = {"unreadable/bad_timestamp": records - 1, "unreadable/malformed": 1}
    totals = total([received(records), filtered(readings=bad)])
    example = Unreadable(0, "a.csv", 2, "bad_timestamp", "timestamp has no offset from UTC.", "x")
    other = msgspec.structs.replace(example, index=3, line=5, detail="The line is not CSV.")
    reason = closed_gate(totals, Limits(), [example, other])
    assert reason.startswith("Nothing could be read (")
    assert reason.endswith(
        "a.csv, line 2: timestamp has no offset from UTC. line 5: The line is not CSV."
    )
    assert closed_gate(totals, Limits(unusable=0.99)) is not None
    assert closed_gate(totals, Limits(unusable=1.0)) is None


def test_outliers_never_close_the_gate():
    readings = {"rejected/outlier": 900, "rejected/implausible_rate": 100}
    assert closed_gate(total([received(1000), filtered(readings=readings)]), Limits()) is None


def test_failed_shards_are_counted_against_the_limit():
    reports = [filtered(0, error="It broke."), filtered(1), filtered(2), filtered(3)]
    assert "1 of 4 shards failed" in (closed_gate(total(reports), Limits()) or "")
    assert closed_gate(total(reports), Limits(failed_shards=0.25)) is None
    late = [*reports[1:], filtered(0), Report(step="write", number=2, error="It broke.")]
    assert "1 of 4 shards could not be committed" in (failed_commit(total(late), Limits()) or "")
    assert failed_commit(total(late), Limits(failed_shards=0.25)) is None


def test_the_gate_closes_if_every_user_failed_and_stays_open_if_one_did_not():
    readings = {"failed/corrupt_state": 3}
    assert "All 2 users failed (corrupt_state)" in (
        closed_gate(total([filtered(users=2, failed_users=2, readings=readings)]), Limits()) or ""
    )
    assert closed_gate(total([filtered(users=2, failed_users=1)]), Limits()) is None
    assert closed_gate(total([filtered(users=0)]), Limits()) is None


def test_a_failed_chunk_closes_the_gate_with_any_limits():
    reports = [Report(step="partition", error="It broke."), filtered()]
    assert "It broke." in (closed_gate(total(reports), Limits(1.0, 1.0)) or "")


def test_a_result_that_a_later_round_replaces_counts_once():
    totals = total(
        [
            received(10),
            filtered(readings={"accepted/": 10}, users=2, new_users=1),
            Report(step="write", superseded=Tally.from_texts({"accepted/": 4}), conflicts=["a"]),
            filtered(round=1, users=1, readings={"duplicate/duplicate": 4}),
        ]
    )
    summary = summarise(
        totals,
        identity={"batch_id": "b"},
        status="succeeded",
        reason=None,
        rounds=1,
        started=datetime(2026, 3, 1, tzinfo=UTC),
        finished=datetime(2026, 3, 1, 0, 1, tzinfo=UTC),
    )
    readings = summary["readings"]
    assert (readings["received"], readings["accepted"], readings["duplicate"]) == (10, 6, 4)
    assert summary["users"]["total"] == 2
    assert summary["database"]["conflicts"] == 1
    assert (summary["started_at"], summary["finished_at"]) == (
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:01:00Z",
    )
    assert summary["time"]["total_seconds"] == 60.0


def test_times_per_user_are_quantiles_over_users():
    reports = [
        filtered(0, users=98, started=1.0, ended=1.098),
        filtered(1, users=2, started=1.0, ended=1.2),
    ]
    summary = summarise(
        total(reports),
        identity={},
        status="succeeded",
        reason=None,
        rounds=0,
        started=datetime(2026, 3, 1, tzinfo=UTC),
        finished=datetime(2026, 3, 1, 0, 1, tzinfo=UTC),
    )
    assert summary["time"]["per_user_ms"] == {"p50": 1.0, "p99": 100.0, "max": 100.0}


def test_one_users_rejections_are_no_reason_to_change_the_profile():
    worked = {"started": 1.0, "ended": 2.0, "allowed_seconds": 300.0, "users": 10}
    [told] = hints(
        total(
            [
                received(100),
                filtered(0, readings={"rejected/outlier": 2}, most_rejected=1, **worked),
                filtered(1, readings={"rejected/outlier": 18}, most_rejected=17, **worked),
            ]
        )
    )
    assert told == (
        "17 of the 20 rejected readings are one user's: look at that user, rather than at the "
        "profile."
    )


def test_hints_say_what_to_look_at():
    totals = total(
        [
            received(100),
            filtered(
                readings={
                    "rejected/unit_suspect": 2,
                    "rejected/outlier": 11,
                    "rejected/too_late": 1,
                    "duplicate/duplicate": 60,
                },
                memory_mb=900.0,
                configured_mb=1024,
                database=DatabaseUse(throttles=3),
            ),
        ]
    )
    text = " ".join(hints(totals) + bottlenecks(totals, figures(totals)))
    for word in ("unit ratio", "outliers", "too late", "run before", "3 times", "900 of 1024 MB"):
        assert word in text
    # A setting that a hint names exists.
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", text))
    assert named > {"LoadConcurrency", "WriteConcurrency", "WarmReads", "WarmWrites"}
    assert named - {"MemorySize", "FilterUsers"} <= set(read_template(TEMPLATE)["Parameters"])
    assert hints(total([received(100), filtered(readings={"accepted/": 100})])) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            {"Error": "Lambda.Unknown", "Cause": "It was killed."},
            ("Lambda.Unknown", "It was killed."),
        ),
        (
            {
                "Error": "InvalidInput",
                "Cause": '{"errorType": "InvalidInput", "errorMessage": "No."}',
            },
            ("InvalidInput", "No."),
        ),
        (
            {"Error": "KeyError", "Cause": '{"errorType": "KeyError", "errorMessage": "x"}'},
            ("KeyError", "A step failed with KeyError: x."),
        ),
        (
            {"Error": "States.Timeout"},
            ("States.Timeout", "A step failed with States.Timeout, and gave no cause."),
        ),
    ],
)
def test_an_error_of_ours_is_described_by_its_own_sentence(error, expected):
    assert describe_error(error) == expected


@pytest.mark.parametrize(
    ("text", "label"),
    [("mislaid/outlier", "mislaid"), ("rejected/mood", "mood"), ("accepted", "accepted")],
)
def test_a_tally_with_an_unknown_label_is_not_valid_and_the_sentence_names_the_label(text, label):
    data = to_json(Totals()).replace(b'"readings":{}', b'"readings":{"%b":1}' % text.encode())
    with pytest.raises(msgspec.ValidationError, match=f"There is no .* {label!r}"):
        from_json(data, Totals)
