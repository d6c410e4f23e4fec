"""The library's layers: which folder may import which, and what only some may know."""

import ast
import re
from itertools import chain

from tests.support.template import ROOT

LIBRARY = ROOT / "functions" / "kalmap"
#: What each folder may import besides its own modules and the library's root, "".
LOWER = {
    "": set(),
    "filter": set(),
    "records": set(),
    "store": set(),
    "store/dynamodb": {"store"},
    "results": {"filter", "records", "store"},
    "batch": {"records", "results", "store"},
    "pipeline": {"batch", "filter", "records", "results", "store"},
    "api": {"batch", "filter", "pipeline", "records", "results", "store"},
}
AWS = {"boto3", "botocore", "aws_lambda_powertools", "kalmap_handlers"}
OUTSIDE = {"os", "random", "time", "socket", "subprocess", "urllib"}
#: Modules that wait, measure time, or draw random numbers.
WAITING = {
    "store/backoff.py", "store/breaker.py", "api/cache.py", "api/answer_request.py",
    "api/user_group.py", "pipeline/collect_writes.py",
}  # fmt: skip
#: The types by which DynamoDB's values are named, such as in {"S": "u-17"}.
ATTRIBUTE_TYPES = {"S", "N", "B", "M", "L", "SS", "NS", "BS", "BOOL", "NULL"}
MODULES = sorted(str(path.relative_to(LIBRARY)) for path in LIBRARY.rglob("*.py"))


def imports(module):
    """What a module imports when it runs; imports for type checkers alone do not count."""
    tree = ast.parse((LIBRARY / module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def folder(module):
    return module.rpartition("/")[0]


def folder_of_import(name):
    """The library's folder that an imported name lies in; None for other libraries."""
    parts = name.split(".")
    if parts[0] != "kalmap":
        return None
    path = "/".join(parts[1:])
    return max(
        (known for known in LOWER if f"{path}/".startswith(f"{known}/")), key=len, default=""
    )


def attribute_values(tree):
    """The nodes that write or read one of DynamoDB's typed values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            names = node.keys
        elif isinstance(node, ast.Subscript):
            names = [node.slice]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"get", "pop"}:
            names = node.args[:1]
        elif isinstance(node, ast.ImportFrom) and node.module == "boto3.dynamodb.types":
            yield node
            continue
        else:
            continue
        if any(isinstance(name, ast.Constant) and name.value in ATTRIBUTE_TYPES for name in names):
            yield node


def test_the_rules_name_every_folder_of_the_library_and_only_modules_that_are_there():
    assert {folder(module) for module in MODULES} == set(LOWER)
    assert set(MODULES) >= WAITING


def test_every_module_imports_only_what_lies_below_it():
    violations = [
        (module, name)
        for module in MODULES
        for name in imports(module)
        if folder_of_import(name) not in {None, "", folder(module)} | LOWER[folder(module)]
    ]
    assert violations == []


def test_no_step_imports_another_step():
    handlers = {
        path.stem for path in (ROOT / "functions" / "kalmap_handlers" / "steps").glob("*.py")
    }
    steps = {f"kalmap.pipeline.{name}" for name in handlers - {"__init__", "step"}}
    modules = [module for module in MODULES if folder(module) == "pipeline"]
    assert steps <= {f"kalmap.{module[:-3].replace('/', '.')}" for module in modules}
    assert [(module, name) for module in modules for name in imports(module) if name in steps] == []


def test_only_the_store_knows_aws():
    violations = [
        (module, name)
        for module in MODULES
        for name in imports(module)
        if name.partition(".")[0] in AWS
        and folder(module) != "store/dynamodb"
        and module != "store/objects.py"
    ]
    assert violations == []


def test_only_modules_that_wait_use_clock_environment_or_randomness():
    clock = re.compile(r"\b(datetime|date)\.(now|today)\(")
    violations = [
        module
        for module in MODULES
        if module not in WAITING
        and (
            OUTSIDE & {name.partition(".")[0] for name in imports(module)}
            or clock.search((LIBRARY / module).read_text())
        )
    ]
    assert violations == []


def test_only_the_dynamodb_folder_knows_the_form_of_dynamodbs_values():
    sources = chain((ROOT / "functions").rglob("*.py"), (ROOT / "cli").rglob("*.py"))
    modules = {
        str(path.relative_to(ROOT)): len(list(attribute_values(ast.parse(path.read_text()))))
        for path in sources
    }
    knowing = {name for name, count in modules.items() if count}
    assert {name.rpartition("/")[0] for name in knowing} == {"functions/kalmap/store/dynamodb"}
