"""Check requests by botocore's descriptions of AWS's services: limits, patterns and values.

botocore itself checks only names and types, and the local cloud accepts more than AWS does.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape


@cache
def service(name: str) -> ServiceModel:
    """The description of a service."""
    return botocore.session.get_session().get_service_model(name)


def operation(name: str, called: str) -> OperationModel:
    """The description of a service's operation."""
    return service(name).operation_model(called)


def problems(operation: OperationModel, request: Mapping[str, Any]) -> list[str]:
    """The reasons why AWS would refuse a request, each with its position in the request."""
    shape = operation.input_shape
    return list(_problems(shape, request, operation.name)) if shape else []


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name in getattr(shape, "required_members", ()):
            if name not in value:
                yield f"{path} has no {name}"
        for name, part in value.items():
            if name not in shape.members:
                yield f"{path} knows no {name}"
            else:
                yield from _problems(shape.members[name], part, f"{path}.{name}")
    elif shape.type_name == "list":
        yield from _sized(shape, len(value), path)
        for part in value:
            yield from _problems(shape.member, part, f"{path}[]")
    elif shape.type_name == "map":
        yield from _sized(shape, len(value), path)
        for name, part in value.items():
            yield from _problems(shape.key, name, f"{path}{{}}")
            yield from _problems(shape.value, part, f"{path}{{}}")
    elif shape.type_name == "string":
        yield from _sized(shape, len(value), path)
        if shape.enum and value not in shape.enum:
            yield f"{path} is none of {shape.enum}"
        pattern = shape.metadata.get("pattern", "").replace(r"\p{ASCII}", r"[\x00-\x7f]")
        if pattern and not re.search(pattern, value):
            yield f"{path} does not fit {pattern}"
    elif shape.type_name in {"integer", "long"}:
        yield from _sized(shape, value, path)


def _sized(shape: Shape, size: int, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{path} is {size}; it must be from {low} to {high}"
