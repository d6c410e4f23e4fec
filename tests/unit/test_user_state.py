"""What a stored state says of its user: in words, as a chart, and who needs a look first."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import kalmap
from kalmap.filter.estimates import describe
from kalmap.profile import builtin_profile
from kalmap.store.ports import StoredState, UserState
from kalmap_cli.errors import RunFailed
from kalmap_cli.main import main
from kalmap_cli.reporting.estimates import estimates_of
from kalmap_cli.reporting.stored_users import COLUMNS, ORDERS, groups_of
from kalmap_cli.reporting.terminal_chart import chart_lines
from kalmap_cli.reporting.user_picture import as_page, as_png, as_svg
from kalmap_cli.reporting.user_state import read_story, rejections_of, story_of, summary_of
from kalmap_cli.reporting.words import rounded, with_margin

PROFILE = builtin_profile("body-weight")
BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
ATTACK = "<script>alert(1)</script>"
#: Values by user, a day apart.
WEIGHTS = {
    "steady": [80.0, 80.2, 79.9, 80.1] * 5,
    "drifting": [80.0 + 0.2 * day for day in range(20)],
    "pounds": [*([80.0, 80.2, 79.9, 80.1] * 3), 176.4, 80.1, 80.0, 80.2],
    ATTACK: [70.0, 70.1, 69.9],
}


@pytest.fixture(scope="module")
def states() -> dict[str, bytes]:
    rows = [
        (user, BEGAN + timedelta(days=day), value)
        for user, values in WEIGHTS.items()
        for day, value in enumerate(values)
    ]
    users, times, values = map(list, zip(*rows, strict=True))
    return kalmap.fold({"user_id": users, "timestamp": times, "value": values}).states


def test_a_story_has_the_stored_readings_and_a_week_ahead(states) -> None:
    story = read_story("steady", PROFILE, states["steady"])
    assert [point.value for point in story.points] == WEIGHTS["steady"]
    assert story.expected[0].time == story.points[-1].time
    assert story.expected[-1].time == story.points[-1].time + timedelta(days=7)
    widths = [point.level_sd for point in story.expected]
    assert widths == sorted(widths)
    rows = dict(summary_of(story))
    assert rows["readings"] == "20 readings stored, 1 March 2026 to 20 March 2026; 0 rejected"
    assert rows["slope"].endswith("which may be noise")
    assert rows["expected"].endswith(" kg, 27 March 2026")


def test_a_slope_beyond_its_uncertainty_is_called_by_its_direction(states) -> None:
    rows = dict(summary_of(read_story("drifting", PROFILE, states["drifting"])))
    assert rows["slope"].endswith(" kg a week: it rises")


def test_a_reading_in_another_unit_is_explained_with_what_it_would_be(states) -> None:
    [(when, why)] = rejections_of(read_story("pounds", PROFILE, states["pounds"]))
    assert when == "2026-03-13 08:00"
    assert why.startswith("176.4 kg would be 80.014 if it was in lb, where 80.0")
    assert why.endswith(" was expected")


def test_a_chart_of_characters_has_every_reading_and_fits_the_width(states) -> None:
    story = read_story("pounds", PROFILE, states["pounds"])
    for width in (80, 120):
        lines = chart_lines(story.points, story.expected, "kg", width=width, colours=False)
        assert max(map(len, lines)) <= width
        drawn = "\n".join(lines)
        assert drawn.count("x") == 1
        assert 5 <= drawn.count("•") <= 15
        assert "13 Mar" in drawn or "12 Mar" in drawn


def test_no_command_needs_the_extra_before_it_draws() -> None:
    """In a process of its own, since these modules are imported here."""
    program = (
        "import sys; sys.modules.update(vl_convert=None, plotille=None, jinja2=None)\n"
        "import kalmap_cli.commands.show, kalmap_cli.commands.users, kalmap_cli.commands.report"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_picture_is_svg_png_or_a_page_in_which_an_id_is_text(states) -> None:
    story = read_story(ATTACK, PROFILE, states[ATTACK])
    assert as_png(story).startswith(b"\x89PNG\r\n")
    svg, page = as_svg(story).decode(), as_page(story).decode()
    assert svg.startswith("<svg")
    for drawn in (svg, page):
        assert ATTACK not in drawn
        assert "alert(1)" in drawn
    assert page.count("<script") == 1


def test_many_states_say_together_what_each_says_alone(states) -> None:
    estimates = estimates_of(PROFILE, list(states.values()))
    for number, body in enumerate(states.values()):
        alone = describe(body, PROFILE)
        assert estimates.level[number] == alone.level
        assert estimates.level_sd[number] == alone.level_sd
        assert estimates.slope[number] == alone.slope
        assert estimates.slope_sd[number] == alone.slope_sd
        assert estimates.as_of[number] == alone.as_of
        assert estimates.readings[number] == alone.window
        assert estimates.rejected[number] == alone.rejected
        assert 0.0 <= estimates.quality[number] <= 1.0


@pytest.mark.parametrize(
    ("by", "first"),
    [("drift", "drifting"), ("rejections", "pounds"), ("quality", "pounds"), ("silent", ATTACK)],
)
def test_who_needs_a_look_comes_first(states, by, first) -> None:
    order = ORDERS[by](estimates_of(PROFILE, list(states.values()))).argsort(kind="stable")
    assert list(states)[order[0]] == first


class Known:
    """The profiles that a bucket has."""

    def __init__(self, profile=PROFILE):
        self.profile = profile

    def find(self, _name, _digest):
        return self.profile


def test_damaged_states_are_left_out_and_the_others_are_folded_together(states, monkeypatch):
    bodies = states | {"cut": states["steady"][:-1], "short": b"garbage", "none": b""}
    stored = [
        UserState(user, PROFILE.name, StoredState(1, body, ()), None, None, None)
        for user, body in bodies.items()
    ]
    folds = []
    monkeypatch.setattr(
        "kalmap_cli.reporting.stored_users.estimates_of",
        lambda profile, bodies: folds.append(bodies) or estimates_of(profile, bodies),
    )
    [group], notes = groups_of(stored, Known())
    assert group.users == sorted(states)
    assert notes == ["3 damaged states left out."]
    assert len(folds) == 1


@pytest.mark.parametrize("body", [b"", b"garbage"])
def test_a_state_of_a_few_bytes_is_told_as_damaged(body):
    state = UserState("cut", PROFILE.name, StoredState(1, body, ()), None, None, None)
    with pytest.raises(RunFailed, match=r"The state of 'cut': .* was cut off"):
        story_of(state, Known())


def test_a_profile_whose_levels_have_no_slope_says_so_instead_of_a_zero():
    profile = builtin_profile("glucose-fingerstick")
    day = {"user_id": ["a"], "timestamp": [BEGAN], "value": [100.0]}
    body = kalmap.fold(day, profile=profile).states["a"]
    state = UserState("a", profile.name, StoredState(1, body, ()), None, None, None)
    [group], _ = groups_of([state], Known(profile))
    assert dict(zip(COLUMNS, group.cells(0), strict=True))["slope a week"] == "none"
    rows = dict(summary_of(story_of(state, Known(profile))))
    assert rows["slope"] == "none, since levels of this profile have no slope"


@pytest.mark.parametrize(("unit", "shown"), [("mmol/l", "mmol/L"), ("{ score }", "score")])
def test_units_are_shown_as_people_write_them(unit, shown):
    profile = msgspec.structs.replace(PROFILE, unit=unit)
    day = {"user_id": ["a"], "timestamp": [BEGAN], "value": [80.0]}
    body = kalmap.fold(day, profile=profile).states["a"]
    state = UserState("a", profile.name, StoredState(1, body, ()), None, None, None)
    [group], _ = groups_of([state], Known(profile))
    assert group.unit == story_of(state, Known(profile)).unit == shown


def test_the_orders_are_those_that_the_command_takes(capsys) -> None:
    assert main(["users", "--by", "nothing"]) == 2
    refused = capsys.readouterr().err
    assert all(name in refused for name in ORDERS)


@pytest.mark.parametrize(
    ("value", "margin", "text"),
    [
        (81.4321, 0.384, "+81.43 ± 0.38"),
        (-0.161, 0.1034, "-0.16 ± 0.10"),
        (150.2, 37.2, "+150 ± 37"),
        (1_234_567.0, 23_456.0, "+1,235,000 ± 23,000"),
        (-0.001, 0.5, "+0.00 ± 0.50"),
    ],
)
def test_a_value_is_rounded_to_the_second_digit_of_its_margin(value, margin, text) -> None:
    assert with_margin(value, margin, sign=True) == text


def test_a_rounded_number_has_no_power_of_ten() -> None:
    assert [rounded(value, 2) for value in (0.00123, 0.0, 17.6, 1_234_567.0)] == [
        "0.0012",
        "0.0",
        "18",
        "1,200,000",
    ]
