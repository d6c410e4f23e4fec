"""The state machine as a drawing: boxes and arrows, with what an execution did in each state."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kalmap_cli.reporting.execution_view import ExecutionView, Items, Visit

_BOX = (212, 46)
_STEP = (264, 66)
_EDGE = 6
#: How far an arrow goes around the boxes between two states of one column.
_BEND = 22

_SIGNS = {
    "done": "✓", "failed": "✗", "partly failed": "✗", "caught": "!", "running": "…", "stopped": "■",
}  # fmt: skip


class StateView(NamedTuple):
    """What an execution did in one state, all visits together."""

    name: str
    kind: str
    """Its type: Task, Map, Choice, Pass, Wait, Succeed or Fail; empty if it is not known."""
    outcome: str
    """done, failed, partly failed, caught, running, stopped, or not reached."""
    visits: int
    seconds: float | None
    retries: int
    items: Items | None
    error: str

    @property
    def sign(self) -> str:
        """The outcome as a sign, so that it is seen without its colour."""
        return _SIGNS.get(self.outcome, "")

    @property
    def note(self) -> str:
        """Time, items and retries on one short line."""
        parts = [] if self.seconds is None else [f"{self.seconds:.1f} s"]
        if self.items:
            parts.append(f"{self.items.succeeded}/{self.items.total} items")
        if self.retries:
            parts.append(f"{self.retries} retried")
        if self.visits > 1:
            parts.append(f"{self.visits} visits")
        return ", ".join(parts) or self.outcome


class Box(NamedTuple):
    """A state at its place; pixels from the drawing's top left corner."""

    state: StateView
    x: int
    y: int
    width: int = _BOX[0]
    height: int = _BOX[1]


class Arrow(NamedTuple):
    """A way from one state to another."""

    path: str
    """In the language of SVG."""
    taken: bool
    """The execution went this way."""
    is_catch: bool


class Machine(NamedTuple):
    """The drawing, and the same as rows."""

    width: int
    height: int
    boxes: list[Box]
    arrows: list[Arrow]

    @property
    def states(self) -> list[StateView]:
        """The states, in the order of the main way, those beside it last."""
        return [box.state for box in self.boxes]


def draw_machine(execution: ExecutionView) -> Machine:
    """Lay out the states of a definition.

    The way of a batch that succeeds is a column; if the definition is not known, the states that
    were visited. The others stand beside it, each as high as the first state that leads to it.
    """
    states: Mapping[str, Any] = execution.definition.get("States", {})
    visited = [visit.state for visit in execution.visits]
    main = list(_main_way(execution.definition)) if states else list(dict.fromkeys(visited))
    names = list(dict.fromkeys([*main, *states, *visited]))
    places = _places(names, main, states)
    taken = {
        (one.state, other.state)
        for one, other in zip(execution.visits, execution.visits[1:], strict=False)
    }
    boxes = [
        Box(
            _state_view(name, states.get(name, {}), execution),
            places[name][0] * _STEP[0] + _EDGE,
            places[name][1] * _STEP[1] + _EDGE,
        )
        for name in names
    ]
    arrows = [
        Arrow(_path(places[one], places[other]), (one, other) in taken, is_catch)
        for one, other, is_catch in _ways(states)
        # Nearly every state has a Catch. Only those that were taken are drawn.
        if not is_catch or (one, other) in taken
    ]
    rows = max((row for _, row in places.values()), default=0)
    columns = max((column for column, _ in places.values()), default=0)
    return Machine(
        columns * _STEP[0] + _BOX[0] + 2 * _EDGE + _BEND,
        rows * _STEP[1] + _BOX[1] + 2 * _EDGE,
        boxes,
        sorted(arrows, key=lambda arrow: arrow.taken),
    )


def _next(state: Mapping[str, Any]) -> str | None:
    """The state that follows when nothing is special."""
    following: str | None = state.get("Next") or state.get("Default")
    return following


def _main_way(definition: Mapping[str, Any]) -> Iterator[str]:
    seen = set()
    name = definition.get("StartAt")
    while name and name not in seen:
        seen.add(name)
        yield name
        name = _next(definition["States"].get(name, {}))


def _ways(states: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """From, to, and whether only an error leads there."""
    for name, state in states.items():
        following = [_next(state), *(rule["Next"] for rule in state.get("Choices", ()))]
        others = dict.fromkeys(one for one in following if one)
        yield from ((name, other, False) for other in others)
        caught = dict.fromkeys(rule["Next"] for rule in state.get("Catch", ()))
        yield from ((name, other, True) for other in caught if other not in others)


def _places(
    names: list[str], main: list[str], states: Mapping[str, Any]
) -> dict[str, tuple[int, int]]:
    """Column and row of each state."""
    places = {name: (0, row) for row, name in enumerate(main)}
    ways = list(_ways(states))
    used: set[int] = set()
    for name in names:
        if name in places:
            continue
        rows = [places[one][1] for one, other, _ in ways if other == name and one in places]
        row = min(rows, default=len(main) - 1)
        while row in used:
            row += 1
        used.add(row)
        places[name] = (1, row)
    return places


def _path(start: tuple[int, int], end: tuple[int, int]) -> str:
    """An arrow's way between two places."""
    (from_column, from_row), (to_column, to_row) = start, end
    left, top = from_column * _STEP[0] + _EDGE, from_row * _STEP[1] + _EDGE
    to_left, to_top = to_column * _STEP[0] + _EDGE, to_row * _STEP[1] + _EDGE
    middle = left + _BOX[0] // 2
    if from_column == to_column and to_row == from_row + 1:
        return f"M{middle} {top + _BOX[1]}V{to_top}"
    height, to_height = top + _BOX[1] // 2, to_top + _BOX[1] // 2
    if from_column == to_column:
        # Around the boxes between the two.
        outside = left + _BOX[0]
        bend = outside + _BEND
        return f"M{outside} {height}C{bend} {height} {bend} {to_height} {outside} {to_height}"
    edge, to_edge = (left + _BOX[0], to_left) if to_column > from_column else (left, to_left)
    if to_column < from_column:
        to_edge = to_left + _BOX[0]
    between = (edge + to_edge) // 2
    return f"M{edge} {height}C{between} {height} {between} {to_height} {to_edge} {to_height}"


def _state_view(name: str, state: Mapping[str, Any], execution: ExecutionView) -> StateView:
    visits = [visit for visit in execution.visits if visit.state == name]
    times = [visit.left - visit.entered for visit in visits if visit.left is not None]
    counts = [visit.items for visit in visits if visit.items]
    items = Items(*map(sum, zip(*counts, strict=True))) if counts else None
    return StateView(
        name,
        state.get("Type", ""),
        _outcome(state, visits, execution, items),
        len(visits),
        sum(times) if times else None,
        sum(visit.retries for visit in visits),
        items,
        next((visit.error for visit in reversed(visits) if visit.error), ""),
    )


def _outcome(
    state: Mapping[str, Any], visits: list[Visit], execution: ExecutionView, items: Items | None
) -> str:
    if not visits:
        return "not reached"
    last = visits[-1]
    later = execution.visits[execution.visits.index(last) + 1 :]
    if last.left is None and not later and execution.status == "RUNNING":
        return "running"
    if state.get("Type") == "Fail":
        return "failed"
    if items and items.failed:
        return "partly failed" if items.succeeded else "failed"
    # A retry that succeeded leaves no trace but its count.
    if later and later[0].state in _catchers(state):
        return "caught"
    if last.left is None and not later and state.get("Type") != "Succeed":
        return "failed" if execution.status == "FAILED" else "stopped"
    return "done"


def _catchers(state: Mapping[str, Any]) -> set[str]:
    """The states that only an error of this one leads to."""
    usual = {_next(state), *(rule["Next"] for rule in state.get("Choices", ()))}
    return {rule["Next"] for rule in state.get("Catch", ())} - usual
