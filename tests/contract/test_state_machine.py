"""The state machine, the template and errors.py hold to each other, both ways round."""

import inspect
import json
import re

import pytest

from kalmap import errors
from kalmap_cli.local.deploy import read_template
from tests.support.template import DEFINITION_TEXT, ROOT, TEMPLATE, definition

TEXT = DEFINITION_TEXT
DEFINITION = definition()
PARAMETERS = read_template(TEMPLATE)["Parameters"]
RESOURCES = read_template(TEMPLATE)["Resources"]
MACHINE = RESOURCES["FilterBatchStateMachine"]["Properties"]
SUBSTITUTIONS = MACHINE["DefinitionSubstitutions"]
FAMILY = {
    name
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.KalmapError) and kind is not errors.KalmapError
}
#: Errors that AWS raises, and the service whose Task they come from.
AWS_ERRORS = re.compile(r"(States|Lambda|DynamoDB)\.\w+")


def walk(states=DEFINITION["States"]):
    """Every state with its name, those of the Maps' children included."""
    for name, state in states.items():
        yield name, state
        if "ItemProcessor" in state:
            yield from walk(state["ItemProcessor"]["States"])


STATES = list(walk())


def of_kind(*kinds):
    return [(name, state) for name, state in STATES if state["Type"] in kinds]


def substituted(text):
    return set(re.findall(r"\$\{(\w+)\}", text))


def test_the_definition_is_json_before_anything_is_substituted():
    # CloudFormation parses it first, and refuses what is neither JSON nor YAML.
    assert json.loads(TEXT) == DEFINITION
    outside_of_strings = re.sub(r'"(\\.|[^"\\])*"', "", TEXT)
    assert "$" not in outside_of_strings


def test_an_execution_has_a_time_limit_that_the_alarm_can_see():
    # Longer than any batch within the limits, shorter than a claim that nobody looks at.
    assert DEFINITION["TimeoutSeconds"] == 24 * 3600
    assert RESOURCES["TimedOutBatches"]["Properties"]["MetricName"] == "ExecutionsTimedOut"


def test_every_state_name_is_unique():
    names = [name for name, _ in STATES]
    assert len(names) == len(set(names))


def test_the_definition_uses_every_substitution_and_no_other():
    assert substituted(TEXT) == set(SUBSTITUTIONS)


def target(value):
    """The resource or parameter that a substitution stands for; of a function, its version."""
    return value["Ref"].removesuffix(".Version")


def test_every_substitution_is_of_the_template_or_known_of_every_stack():
    for name, value in SUBSTITUTIONS.items():
        if f"States.MathAdd(${{{name}}}, 0)" in TEXT:
            assert PARAMETERS[target(value)]["Type"] == "Number"
        else:
            assert target(value) in RESOURCES or target(value).startswith("AWS::")


def test_the_definition_names_no_partition_so_that_it_is_right_in_every_one():
    # In China "arn:aws-cn:states:::lambda:invoke" is the only form that is taken.
    assert "arn:aws" not in TEXT


def test_every_function_is_a_step_or_has_an_event_of_its_own_and_its_handler_exists():
    steps = set(map(target, SUBSTITUTIONS.values()))
    for name, resource in RESOURCES.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        assert name in steps or resource["Properties"].get("Events"), name
        module, _, function = resource["Properties"]["Handler"].rpartition(".")
        source = ROOT.joinpath("functions", *module.split(".")).with_suffix(".py")
        assert f"def {function}(" in source.read_text()


def test_every_handler_is_some_functions():
    named = {
        r["Properties"]["Handler"].removesuffix(".handler")
        for r in RESOURCES.values()
        if r["Type"] == "AWS::Serverless::Function"
    }
    handlers = ROOT / "functions" / "handlers"
    entry_points = {
        ".".join(path.relative_to(handlers.parent).with_suffix("").parts)
        for path in handlers.rglob("*.py")
        if re.search(r"^def handler\(", path.read_text(), re.MULTILINE)
    }
    assert entry_points == named


def test_every_error_the_state_machine_names_is_awss_or_in_errors():
    named = {
        error
        for _, state in STATES
        for rule in state.get("Retry", []) + state.get("Catch", [])
        for error in rule["ErrorEquals"]
    } | {state["Error"] for _, state in of_kind("Fail")}
    named |= {
        state["Parameters"]["Error"]
        for _, state in of_kind("Pass")
        if "Error" in state.get("Parameters", {})
    }
    ours = {error for error in named if not AWS_ERRORS.fullmatch(error)}
    assert ours <= FAMILY


def test_every_error_in_errors_is_raised_or_named_somewhere():
    code = "".join(
        path.read_text()
        for folder in ("functions", "cli")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "errors.py"
    )
    unused = {name for name in FAMILY if not re.search(rf"\b{name}\b", code + TEXT)}
    assert not unused


@pytest.mark.parametrize(("name", "state"), of_kind("Task"))
def test_every_task_retries_what_passes_and_has_a_time_limit(name, state):
    retried = [error for rule in state["Retry"] for error in rule["ErrorEquals"]]
    assert "States.TaskFailed" in retried
    assert "States.ALL" not in retried
    assert state["TimeoutSeconds"] > 0


@pytest.mark.parametrize(("name", "state"), of_kind("Task"))
def test_who_waits_for_others_is_tried_long_after_who_has_failed(name, state):
    if "lambda:invoke" not in state["Resource"]:
        return
    [throttled] = [r for r in state["Retry"] if "TooManyRequests" in str(r["ErrorEquals"])]
    assert throttled["ErrorEquals"] == ["Lambda.TooManyRequestsException"]
    assert (throttled["MaxAttempts"], throttled["MaxDelaySeconds"]) >= (20, 60)
    asks_the_table = {"LoadShard", "WriteShard", "RecordWriteShardFailure"}
    slow = [r["MaxAttempts"] for r in state["Retry"] if r["ErrorEquals"] == ["StoreUnavailable"]]
    assert slow == ([20] if name in asks_the_table else [])


@pytest.mark.parametrize(("name", "state"), of_kind("Fail"))
def test_every_red_end_has_a_cause_though_its_error_had_none(name, state):
    # States.Timeout comes without a cause, and a path to what is not there is an error itself.
    assert state["CausePath"] in {"States.JsonToString($.error)", "$.failure.answer.reason"}


@pytest.mark.parametrize(("name", "state"), of_kind("Task", "Map"))
def test_every_state_that_can_fail_has_a_catch_that_ends_in_a_recorded_failure(name, state):
    assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize(("name", "state"), of_kind("Map"))
def test_every_map_stays_in_the_part_that_all_engines_agree_on(name, state):
    assert '"ToleratedFailurePercentage": 100.0' in json.dumps(state)
    assert state["ItemProcessor"]["ProcessorConfig"] == {
        "Mode": "DISTRIBUTED",
        "ExecutionType": "STANDARD",
    }
    assert state["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
    assert state["MaxConcurrencyPath"] == f"$.concurrency.{state['Label']}"
    concurrency = DEFINITION["States"]["IdentifyBatch"]["ResultSelector"]["concurrency"]
    number = f"States.MathAdd(${{{state['Label']}Concurrency}}, 0)"
    assert concurrency[f"{state['Label']}.$"] == number
    assert not {"ItemBatcher", "ToleratedFailureCount"} & set(state)
    assert state["ResultWriter"]["Parameters"]["Bucket"] == "${WorkBucketName}"


@pytest.mark.parametrize(("name", "state"), of_kind("Map"))
def test_every_map_reads_its_items_again_and_goes_on_without_its_results(name, state):
    [retry] = state["Retry"]
    # Before an item was read no child has run.
    assert retry["ErrorEquals"] == ["States.ItemReaderFailed"]
    # Nobody reads the results: what children did is in their reports. A Map that ran a second
    # time for them would leave what a child had recorded as failed beside what it does now.
    assert state["Catch"][0] == {
        "ErrorEquals": ["States.ResultWriterFailed"],
        "ResultPath": "$.unwritten",
        "Next": state["Next"],
    }


@pytest.mark.parametrize(("name", "state"), of_kind("Map"))
def test_every_child_that_gives_up_is_recorded_and_ends_red(name, state):
    child = state["ItemProcessor"]
    first = child["States"][child["StartAt"]]
    record = child["States"][first["Catch"][-1]["Next"]]
    assert record["Parameters"]["FunctionName"] == "${FailShardFunctionArn}"
    assert child["States"][record["Next"]]["Type"] == "Fail"


def statements():
    [policy] = RESOURCES["StateMachineRole"]["Properties"]["Policies"]
    return {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}


def actions(*sids):
    found = set()
    for sid in sids:
        action = statements()[sid]["Action"]
        found |= set(action if isinstance(action, list) else [action])
    return found


#: AWS lets these be granted for every resource only; they are the service's own, for its logs.
WITHOUT_RESOURCES = {"WriteLogs": "logs:", "WriteTraces": "xray:"}


def test_the_state_machines_role_allows_exactly_what_its_tasks_do():
    resources = {
        state["Resource"].removeprefix("arn:${Partition}:states:::") for _, state in of_kind("Task")
    }
    needed = {
        "lambda:invoke": {"lambda:InvokeFunction"},
        "dynamodb:putItem": {"dynamodb:PutItem"},
        "dynamodb:getItem": {"dynamodb:GetItem"},
        "events:putEvents": {"events:PutEvents"},
    }
    assert resources == set(needed)
    assert actions("InvokeSteps", "ClaimBatch", "PublishOutcome") == set().union(*needed.values())
    # A Distributed Map starts its children as executions of the machine itself, reads its
    # items, and writes its results, in parts where they are many.
    assert actions("StartMapRuns") == {"states:StartExecution"}
    assert actions("FollowMapRuns") == {"states:DescribeExecution", "states:StopExecution"}
    assert actions("RedriveMapRuns") == {"states:RedriveExecution"}
    assert actions("ReadMapItems") == {"s3:GetObject"}
    assert actions("WriteMapResults") == {
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListMultipartUploadParts",
        "s3:AbortMultipartUpload",
    }
    assert set(statements()) == {
        "InvokeSteps", "ClaimBatch", "PublishOutcome", "StartMapRuns", "FollowMapRuns",
        "RedriveMapRuns", "ReadMapItems", "WriteMapResults", *WITHOUT_RESOURCES,
    }  # fmt: skip


def test_the_role_names_each_function_it_invokes_and_no_star():
    invoked = {
        re.fullmatch(r"\$\{(\w+)\.Arn\}:\*", resource["Fn::Sub"])[1]
        for resource in statements()["InvokeSteps"]["Resource"]
    }
    used = {
        state["Parameters"]["FunctionName"].strip("${}").removesuffix("Arn")
        for _, state in of_kind("Task")
        if "FunctionName" in state["Parameters"]
    }
    assert invoked == used
    for name, statement in statements().items():
        if name in WITHOUT_RESOURCES:
            assert all(a.startswith(WITHOUT_RESOURCES[name]) for a in statement["Action"])
        else:
            assert statement["Resource"] != "*"


def test_the_role_starts_and_follows_only_its_own_executions():
    name = MACHINE["Name"]["Fn::Sub"]
    assert statements()["StartMapRuns"]["Resource"]["Fn::Sub"].endswith(f":stateMachine:{name}")
    executions = [r["Fn::Sub"] for r in statements()["FollowMapRuns"]["Resource"]]
    assert [e.rpartition(":execution:")[2] for e in executions] == [f"{name}:*", f"{name}/*"]
    assert statements()["RedriveMapRuns"]["Resource"]["Fn::Sub"] == executions[1]


def test_the_role_writes_where_the_maps_write_and_reads_where_their_items_lie():
    for _, state in of_kind("Map"):
        prefix = state["ResultWriter"]["Parameters"]["Prefix.$"]
        assert prefix.startswith("States.Format('map-runs/")
    assert statements()["WriteMapResults"]["Resource"]["Fn::Sub"].endswith("/map-runs/*")
    assert statements()["ReadMapItems"]["Resource"]["Fn::Sub"].endswith("/batches/*")


@pytest.mark.parametrize(
    ("name", "resource"),
    [(n, r) for n, r in RESOURCES.items() if r["Type"] == "AWS::Serverless::Function"],
)
def test_a_function_outlives_no_task_that_waits_for_it(name, resource):
    limit = resource["Properties"].get("Timeout", 300)
    waiting = [
        state["TimeoutSeconds"]
        for _, state in of_kind("Task")
        if state["Parameters"].get("FunctionName") == f"${{{name}Arn}}"
    ]
    assert all(limit < seconds for seconds in waiting)


def test_no_policy_allows_everything():
    text = TEMPLATE.read_text()
    assert "FullAccess" not in text
    for name, resource in RESOURCES.items():
        policies = str(resource.get("Properties", {}).get("Policies", ""))
        if name != "StateMachineRole":  # its statements are looked at above, each
            assert "'Resource': '*'" not in policies
        # Left open are only an execution's name and a function's version, new each time.
        narrow = re.sub(r"-filter-batch:\*'|Function\.Arn\}:\*'", "", policies)
        assert ":*'" not in narrow
