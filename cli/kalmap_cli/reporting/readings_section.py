"""The parts of a report about readings: why some were not accepted, and if the profile fits."""

from typing import Any, NamedTuple

from kalmap_cli.file_names import shortened
from kalmap_cli.reporting.batch_view import BatchView, Count
from kalmap_cli.reporting.calibration import Calibration
from kalmap_cli.reporting.charts import histogram, stacked
from kalmap_cli.reporting.figures import Figure, svg
from kalmap_cli.reporting.palette import OF_PAGE
from kalmap_cli.reporting.words import REASONS

#: Reasons that have a colour of their own.
_MOST_REASONS = 5
_OTHERS = "other reasons"


class SourceRow(NamedTuple):
    """Readings of one source."""

    place: str
    readings: int
    accepted: int
    rejected: int


def readings_section(view: BatchView) -> dict[str, Any] | None:
    """The charts of what was not accepted, by source and over time."""
    if view.sample is None:
        return None
    # Text of any length would take minutes to draw.
    by_source = [one._replace(place=shortened(one.place)) for one in view.by_source]
    rows = _source_rows(by_source)
    refused = [one for one in by_source + view.over_time if one.status != "accepted"]
    if not refused:
        return {"words": "Every reading was accepted.", "figures": [], "rows": rows}
    names = _common_reasons(refused)
    key = list(zip(OF_PAGE.series, names, strict=False))
    figures = [
        Figure(svg(stacked(_rows(counts, names), names, OF_PAGE, is_time=is_time)), words, key)
        for counts, words, is_time in (
            (by_source, "Readings that were not accepted, by source.", False),
            (view.over_time, "The same over the readings' own dates.", True),
        )
        if any(one.status != "accepted" for one in counts)
    ]
    return {
        "words": "By the reason that each reading got. Records that could not be read have no "
        f"source and no time, so they are in the summary only. {view.sample.part}",
        "figures": figures,
        "rows": rows,
    }


def _source_rows(counts: list[Count]) -> list[SourceRow]:
    rows: dict[str, SourceRow] = {}
    for one in counts:
        row = rows.get(one.place, SourceRow(one.place, 0, 0, 0))
        rows[one.place] = row._replace(
            readings=row.readings + one.readings,
            accepted=row.accepted + one.readings * (one.status == "accepted"),
            rejected=row.rejected + one.readings * (one.status == "rejected"),
        )
    return sorted(rows.values(), key=lambda row: -row.readings)


def _words(one: Count) -> str:
    return REASONS.get(one.reason or "", one.reason or one.status)


def _common_reasons(counts: list[Count]) -> list[str]:
    """The most common reasons first, and one name for all others."""
    totals: dict[str, int] = {}
    for one in counts:
        totals[_words(one)] = totals.get(_words(one), 0) + one.readings
    ordered = sorted(totals, key=lambda words: -totals[words])
    others = [_OTHERS] if len(ordered) > _MOST_REASONS else []
    return ordered[:_MOST_REASONS] + others


def _rows(counts: list[Count], names: list[str]) -> list[tuple[str, str, int]]:
    """Rows of a chart. A place without a refusal keeps its place, with a count of zero."""
    return [
        (one.place, names[0], 0)
        if one.status == "accepted"
        else (one.place, _words(one) if _words(one) in names else _OTHERS, one.readings)
        for one in counts
    ]


def calibration_section(calibration: Calibration | None) -> dict[str, Any] | None:
    """The charts of surprises; None if no reading could be predicted."""
    if calibration is None:
        return None
    return {
        "sentences": calibration.sentences,
        "readings": calibration.readings,
        "coverage": calibration.coverage,
        "figures": [
            Figure(
                svg(histogram(calibration.nis, "squared surprise (NIS)", OF_PAGE)),
                "Squared surprises in units of their variance. The line is the chi-square "
                "distribution that they have if the profile fits.",
                [],
            ),
            Figure(
                svg(histogram(calibration.pit, "probability of a lower reading (PIT)", OF_PAGE)),
                "How probable a lower reading was. Flat, like the line, is right; a hill means "
                "intervals that are too wide, a valley too narrow, a slope a bias.",
                [],
            ),
        ],
    }
