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


#: How a Choice compares its variable.
COMPARISONS = {"BooleanEquals": "=", "StringEquals": "=", "NumericGreaterThan": "greater than"}


def condition(rule: State) -> str:
    """What a Choice asks, such as `open = false`."""
    variable = rule["Variable"].rpartition(".")[2]
    comparison, sign = next(pair for pair in COMPARISONS.items() if pair[0] in rule)
    return f"{variable} {sign} {str(rule[comparison]).lower()}"


def successors(state: State) -> dict[str, str]:
    """The states that can follow when nothing fails, each with its condition or an empty text."""
    states = {rule["Next"]: condition(rule) for rule in state.get("Choices", [])}
    if "Default" in state:
        states[state["Default"]] = "otherwise"
    if "Next" in state:
        states[state["Next"]] = ""
    return states


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
        for successor, when in successors(state).items():
            arrow = f"-->|{when}|" if when else "-->"
            lines.append(f"    {name} {arrow} {successor}")
    # Nearly every step has this Catch. One arrow stands for all of them.
    lines.append("    AnyStep>any step that fails] -.-> RecordFailure")
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
