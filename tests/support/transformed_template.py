"""template.yaml as CloudFormation gets it: after SAM's transform, and with names filled in."""

import copy
import re
from functools import cache
from typing import Any

from samtranslator.translator.transform import transform

from kalmap_cli.local.deploy import read_template
from tests.support.template import TEMPLATE

_LOCAL = {"CodeUri": "s3://artifacts/code.zip", "DefinitionUri": "s3://artifacts/definition.json"}


def transformed(code: str = _LOCAL["CodeUri"], **parameters: str) -> dict[str, Any]:
    """The template after SAM's transform.

    Args:
        code: The location of the functions' uploaded code.
        parameters: The stack's parameters that differ from their defaults.
    """
    return copy.deepcopy(_transformed(code, tuple(sorted(parameters.items()))))


@cache
def _transformed(code: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    template = read_template(TEMPLATE)
    template["Globals"]["Function"]["CodeUri"] = code
    template["Resources"]["ParquetLayer"]["Properties"]["ContentUri"] = code
    machine = template["Resources"]["FilterBatchStateMachine"]["Properties"]
    machine["DefinitionUri"] = _LOCAL["DefinitionUri"]
    return dict(transform(template, dict(parameters), _NoPolicies()))


class _NoPolicies:
    """The names of AWS's own policies, which SAM asks for: none, since the template uses none."""

    def load(self) -> dict[str, str]:
        return {}


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the resources of a type, by their logical ids."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def filled(value: Any, stack: str) -> Any:
    """A value of the template as it is in a stack of this name; resources are named after it."""
    if isinstance(value, list):
        return [filled(item, stack) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return _name(value["Ref"], stack)
    if set(value) == {"Fn::GetAtt"}:
        return _name(".".join(value["Fn::GetAtt"]), stack)
    if set(value) == {"Fn::Sub"}:
        return re.sub(r"\$\{([\w:.]+)\}", lambda match: _name(match[1], stack), value["Fn::Sub"])
    return {name: filled(item, stack) for name, item in value.items()}


def _name(target: str, stack: str) -> str:
    return stack if target == "AWS::StackName" else f"{stack}/{target}"
