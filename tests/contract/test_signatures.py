"""No function takes more than five positional arguments: more travel in a named record."""

import ast

from tests.support.template import ROOT

MOST = 5


def positional(function):
    """Names of the positional parameters, without self and cls."""
    arguments = function.args.posonlyargs + function.args.args
    return [a.arg for a in arguments if a.arg not in {"self", "cls"}]


def test_no_function_has_more_than_five_positional_parameters():
    long = {
        f"{path.relative_to(ROOT)}: {node.name}"
        for folder in ("functions", "cli")
        for path in ROOT.joinpath(folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(positional(node)) > MOST
    }
    assert not long
