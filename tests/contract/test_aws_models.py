"""The code's assumptions about AWS, compared with botocore's descriptions of its services.

What each step and the API really ask for is held against them while their tests run
(tests/support/policies.py).
"""

import inspect
import re

import pytest
from botocore import xform_name

from kalmap.store.dynamodb import write_modes
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.dynamodb.table import THROTTLED, TRANSIENT
from kalmap_cli.local.deploy import read_template
from kalmap_handlers.http.problems import _BUSY
from tests.support.aws_models import operation, problems, service
from tests.support.template import ROOT, TEMPLATE, definition

PARAMETERS = read_template(TEMPLATE)["Parameters"]
STATES = definition()["States"]
#: By the operation, what of its answers no other try would mend.
FINAL = {
    "ResourceNotFoundException", "ConditionalCheckFailedException",
    "ItemCollectionSizeLimitExceededException", "DuplicateItemException",
    "IdempotentParameterMismatchException", "TransactionCanceledException",
    # Of global tables with strong consistency, which the template has none of.
    "ReplicatedWriteConflictException",
}  # fmt: skip
TABLE_CALLS = ("BatchGetItem", "BatchExecuteStatement", "BatchWriteItem", "TransactWriteItems")


@pytest.mark.parametrize(
    ("called", "request_", "message"),
    [
        ("BatchGetItem", {"RequestItems": {"t": {"Keys": [{}] * 101}}}, "from 1 to 100"),
        ("BatchGetItem", {"RequestItems": {"t": {}}}, "has no Keys"),
        ("BatchExecuteStatement", {"Statements": [{"Statement": "x" * 8193}]}, "1 to 8192"),
        ("BatchExecuteStatement", {"Statements": [], "Now": True}, "knows no Now"),
        ("BatchGetItem", {"RequestItems": {}, "ReturnConsumedCapacity": "ALL"}, "is none of"),
    ],
)
def test_the_check_of_requests_finds_one_that_aws_would_refuse(called, request_, message):
    assert any(message in problem for problem in problems(operation("dynamodb", called), request_))


def largest(called, *path):
    """The most that a list in a request may have."""
    shape = operation("dynamodb", called).input_shape
    for name in path:
        shape = shape.value if name == "*" else shape.members[name]
    return shape.metadata["max"]


def test_requests_to_the_table_are_as_large_as_aws_takes_and_no_larger():
    parameters = inspect.signature(DynamoDBStateStore).parameters
    statements = largest("BatchExecuteStatement", "Statements")
    assert parameters["get_size"].default == largest("BatchGetItem", "RequestItems", "*", "Keys")
    assert parameters["write_size"].default == statements
    assert parameters["write_size"].default <= largest("BatchWriteItem", "RequestItems", "*")
    assert parameters["transaction_size"].default == largest("TransactWriteItems", "TransactItems")
    assert PARAMETERS["DbBatchGetSize"]["MaxValue"] == parameters["get_size"].default
    assert PARAMETERS["DbBatchWriteSize"]["MaxValue"] == statements


@pytest.mark.parametrize("called", TABLE_CALLS)
def test_every_error_that_the_table_may_answer_is_tried_again_or_final(called):
    errors = {shape.name for shape in operation("dynamodb", called).error_shapes}
    assert errors <= THROTTLED | TRANSIENT | FINAL


def test_every_error_of_a_statement_is_tried_again_or_a_conflict_or_final():
    codes = set(service("dynamodb").shape_for("BatchStatementErrorCodeEnum").enum)
    conflicts = {"ConditionalCheckFailed", "DuplicateItem"}
    assert all(f'"{code}"' in inspect.getsource(write_modes) for code in conflicts)
    assert codes - THROTTLED - TRANSIENT - conflicts == {
        "ItemCollectionSizeLimitExceeded", "ValidationError", "ResourceNotFound", "AccessDenied",
    }  # fmt: skip


def test_every_error_that_is_tried_again_is_one_that_aws_has():
    known = set(service("dynamodb").shape_for("BatchStatementErrorCodeEnum").enum)
    for called in TABLE_CALLS:
        known |= {shape.name for shape in operation("dynamodb", called).error_shapes}
    # A cancelled transaction has its own code for each action.
    known |= set(re.findall(r"Code: (\w+)", service("dynamodb").shape_for(
        "TransactionCanceledException").documentation))  # fmt: skip
    # These come from in front of every service.
    assert (THROTTLED | TRANSIENT) - known <= {"RequestTimeout", "ServiceUnavailable",
                                               "TransactionConflictException"}  # fmt: skip


def test_start_execution_can_raise_an_error_that_the_api_reports_as_busy():
    errors = {shape.name for shape in operation("stepfunctions", "StartExecution").error_shapes}
    assert "ExecutionLimitExceeded" in errors & _BUSY


SHOWN = re.findall(
    r"aws ([a-z0-9-]+) ([a-z0-9-]+)((?:[^\n]|\\\n)*)",
    "\n".join((ROOT / "docs" / name).read_text() for name in ("deployment.md", "api.md")),
)
#: Options of the command line itself, and the service that only the command line has.
OF_THE_COMMAND_LINE = {"query", "output", "max-items", "region"}


@pytest.mark.parametrize(("name", "command", "rest"), SHOWN)
def test_the_documents_show_commands_that_the_aws_command_line_has(name, command, rest):
    if name == "s3":
        assert command == "rb"
        return
    about = service(name.removesuffix("api") if name == "s3api" else name)
    known = {xform_name(called, "-"): called for called in about.operation_names}
    members = about.operation_model(known[command]).input_shape.members
    options = set(re.findall(r"--([a-z-]+)", rest)) - OF_THE_COMMAND_LINE
    assert options <= {xform_name(member, "-") for member in members}


def calls(states):
    for name, state in states.items():
        if state["Type"] == "Task":
            yield name, state["Resource"], state["Parameters"]
        elif state["Type"] == "Map":
            for part in ("ItemReader", "ResultWriter"):
                yield name, state[part]["Resource"], state[part]["Parameters"]
            yield from calls(state["ItemProcessor"]["States"])


@pytest.mark.parametrize(("name", "resource", "parameters"), list(calls(STATES)))
def test_the_state_machine_uses_only_parameters_that_each_service_has(name, resource, parameters):
    called, action = resource.split(":::")[1].split(":")
    about = service({"lambda": "lambda", "s3": "s3"}.get(called, called))
    known = about.operation_model(action[0].upper() + action[1:]).input_shape.members
    # Map's ResultWriter names a prefix, which becomes the beginning of many keys.
    asked = {field.removesuffix(".$") for field in parameters} - {"Prefix"}
    assert asked <= set(known)
    for entry in parameters.get("Entries", []):
        assert set(entry) <= set(known["Entries"].member.members)
