"""Draw the state machine for docs/architecture.md, from the definition that is deployed.

make statemachine
"""

import json
from pathlib import Path

from filter_batch import DEFINITION
from frames import State

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
BEGIN = "<!-- The drawing below is written by `make statemachine`. -->\n"
END = "<!-- The drawing above is written by `make statemachine`. -->\n"

#: Mermaid's brackets around a state's name. A Task is a plain box, a Map a box with double sides.
SHAPES = {
    "Task": ("[", "]"),
    "Map": ("[[", "]]"),
    "Choice": ("{", "}"),
    "Pass": ("[/", "/]"),
    "Wait": ("(", ")"),
    "Succeed": ("([", "])"),
    "Fail": ("([", "])"),
}


def successors(state: State) -> list[str]:
    """The states that can follow when nothing fails."""
    names = [rule["Next"] for rule in state.get("Choices", [])]
    names += [state[field] for field in ("Default", "Next") if field in state]
    return list(dict.fromkeys(names))


def catchers(state: State) -> list[str]:
    """The states that follow only when this one fails, besides RecordFailure."""
    others = {"RecordFailure", *successors(state)}
    names = (rule["Next"] for rule in state.get("Catch", []))
    return [name for name in dict.fromkeys(names) if name not in others]


def drawing(states: dict[str, State]) -> str:
    """The states as a Mermaid flowchart. A dotted arrow is a Catch."""
    lines = ["flowchart TD"]
    for name, state in states.items():
        opening, closing = SHAPES[state["Type"]]
        lines.append(f"    {name}{opening}{name}{closing}")
    for name, state in states.items():
        lines += [f"    {name} --> {successor}" for successor in successors(state)]
    # Nearly every step has this Catch. One arrow stands for all of them.
    lines.append('    AnyStep["any step that fails"] -.-> RecordFailure')
    for name, state in states.items():
        lines += [f"    {name} -.-> {catcher}" for catcher in catchers(state)]
    return "\n".join(lines) + "\n"


def with_drawing(page: str) -> str:
    """The page, with the drawing of the definition between its two comments."""
    states = json.loads(DEFINITION.read_text())["States"]
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n```mermaid\n{drawing(states)}```\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_drawing(PAGE.read_text()))
