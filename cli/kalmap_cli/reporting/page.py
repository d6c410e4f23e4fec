"""The report of a batch as one HTML file, which needs no network and no other file."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kalmap.plural import counted
from kalmap_cli.reporting.batch_view import BatchView
from kalmap_cli.reporting.execution_view import MOST_ITEMS
from kalmap_cli.reporting.machine import Machine, draw_machine
from kalmap_cli.reporting.readings_section import calibration_section, readings_section
from kalmap_cli.reporting.tasks_section import shards_section, timeline_section
from kalmap_cli.reporting.templates import render
from kalmap_cli.reporting.users_section import Names, users_section
from kalmap_cli.screen import SHORT_ID, summary_rows

#: Users whose rows a report has, unless told otherwise.
MOST_USERS = 100
_LEFT_OUT = "Left out of this report, since it may name a user or a file."
_STATUS = {
    "SUCCEEDED": ("good", "✓", "succeeded"),
    "FAILED": ("bad", "✗", "failed"),
    "RUNNING": ("running", "…", "running"),
    "STOPPED": ("bad", "■", "stopped"),
}
_TITLES = {
    "summary": "Summary",
    "machine": "State machine",
    "timeline": "Tasks in time",
    "shards": "Shards",
    "readings": "Not accepted",
    "calibration": "Calibration",
    "users": "Users",
    "about": "About",
}


def report_page(view: BatchView, *, users: int = MOST_USERS, anonymise: bool = False) -> str:
    """Write the page.

    Args:
        view: What the batch says.
        users: Users whose readings and estimates the page holds, at most.
        anonymise: Replace the users' ids, and leave out sentences that may have names in them.
    """
    return render("report.html.jinja", **report_content(view, users=users, anonymise=anonymise))


def report_content(
    view: BatchView, *, users: int = MOST_USERS, anonymise: bool = False
) -> dict[str, Any]:
    """What the template of a report is filled with. The arguments are those of `report_page`."""
    names = Names(anonymise=anonymise)
    parts: dict[str, Any] = {
        "machine": draw_machine(view.execution) if view.execution else None,
        "timeline": timeline_section(view.timeline),
        "shards": shards_section(view, anonymise=anonymise),
        "readings": readings_section(view),
        "calibration": calibration_section(view.calibration),
        "users": users_section(view, users, names),
    }
    shown = {"summary", "about", *(name for name, part in parts.items() if part)}
    short_id = view.record.batch_id[:SHORT_ID]
    return {
        **parts,
        "title": f"kalmap: batch {short_id}",
        "short_id": short_id,
        "status": status_badge(
            view.record.status, rehearsed=view.summary.get("status") == "rehearsed"
        ),
        "lead": _lead(view),
        "reason": _LEFT_OUT if anonymise and view.reason else view.reason,
        "sections": [
            {"id": name, "title": title} for name, title in _TITLES.items() if name in shown
        ],
        "cards": summary_cards(view.summary),
        "no_summary": "A batch gets its summary at its end, and this one has not come so far.",
        "hints": [] if anonymise else view.summary.get("hints") or [],
        "machine_words": _machine_words(view, parts["machine"]),
        "about": _about(view, users, anonymise=anonymise),
    }


def status_badge(status: str, *, rehearsed: bool = False) -> dict[str, str]:
    """A status as a class of the style sheet, a sign and a word."""
    kind, sign, word = _STATUS.get(status, ("bad", "", status.lower().replace("_", " ")))
    return {"kind": kind, "sign": sign, "word": "rehearsed" if rehearsed else word}


def summary_cards(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """A summary as cards: label, figure and remark of each. None without a summary."""
    if not summary:
        return []
    return [
        {"label": label, "figure": figure, "remark": remark}
        for label, figure, remark in summary_rows(summary)[1:]
    ]


def _lead(view: BatchView) -> str:
    readings, users = view.summary.get("readings") or {}, view.summary.get("users") or {}
    began = (view.record.started_at or "")[:16].replace("T", " ")
    profile = f", profile {view.profile.name}" if view.profile else ""
    sentence = f"Started {began} UTC{profile}."
    if readings:
        sentence += (
            f" {counted(readings.get('received', 0), 'reading')} of "
            f"{counted(users.get('total', 0), 'user')}; "
            f"{readings.get('accepted', 0):,} accepted."
        )
    return sentence


def _machine_words(view: BatchView, machine: Machine | None) -> str:
    if machine is None or view.execution is None:
        return ""
    if not view.execution.definition:
        return "The definition that ran is not known any more; these are the states that it had."
    many = any(state.items and state.items.total > MOST_ITEMS for state in machine.states)
    uncounted = f" Retries of Maps of over {MOST_ITEMS} items are not counted." if many else ""
    reached = sum(1 for state in machine.states if state.visits)
    retries = sum(state.retries for state in machine.states)
    failed = sum(state.items.failed for state in machine.states if state.items)
    return (
        f"The definition that this batch ran: {reached} of {len(machine.states)} states were "
        f"reached, with {retries:,} retries and "
        f"{counted(failed, 'failed item')} of Maps. A double side marks a Map, a dotted arrow an "
        f"error that was caught.{uncounted}"
    )


def _about(view: BatchView, users: int, *, anonymise: bool) -> list[str]:
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    about = [f"Made {made} by kalmap. It needs no network, and sends nothing anywhere."]
    if view.record.status == "RUNNING":
        about.append("The batch was running, and this is what it had done by then.")
    sample = view.sample
    if sample is None:
        about.append("The batch has no results.")
    elif sample.is_whole and view.record.status != "RUNNING":
        about.append("All readings of the batch are counted.")
    elif not sample.is_whole:
        about.append(
            "The summary counts all readings. Users and the charts of readings are drawn from some "
            f"of them. {sample.part} Users are in shards by hash, so they are drawn at random."
        )
    about.append(f"It holds readings and estimates of {counted(users, 'user')} at most (--users).")
    if anonymise:
        about.append(
            "The users' ids are replaced, each by the same name everywhere, and sentences that may "
            "name a user or a file are left out (--anonymise)."
        )
    return about
