"""The state machine, the template and errors.py agree with each other."""

import ast
import inspect
import json
import re

import filter_batch
from kalmap import errors
from kalmap.keys import BATCHES, MAP_RUNS
from kalmap.results import report
from kalmap_cli.local.deploy import read_template
from tests.support.policies import grants
from tests.support.template import DEFINITION_TEXT, ROOT, TEMPLATE, definition, with_conditions

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
    # Longer than any batch within the limits, shorter than the time of an unchecked claim.
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


def test_every_handler_belongs_to_a_function():
    named = {
        r["Properties"]["Handler"].removesuffix(".handler")
        for r in RESOURCES.values()
        if r["Type"] == "AWS::Serverless::Function"
    }
    handlers = ROOT / "functions" / "kalmap_handlers"
    entry_points = {
        ".".join(path.relative_to(handlers.parent).with_suffix("").parts)
        for path in handlers.rglob("*.py")
        if re.search(r"^def handler\(", path.read_text(), re.MULTILINE)
    }
    assert entry_points == named


def test_every_error_in_the_state_machine_is_from_aws_or_in_errors():
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


def test_every_error_in_errors_is_raised_somewhere():
    raised = {
        node.exc.func.id
        for folder in ("functions", "cli")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    ended_with = {state["Error"] for _, state in of_kind("Fail")}
    ended_with |= {
        state["Parameters"].get("Error") for _, state in of_kind("Pass") if "Parameters" in state
    }
    assert raised | ended_with >= FAMILY


def test_the_definition_equals_the_output_of_its_module():
    sentence = "statemachine/filter_batch.py has changed: write the definition by make statemachine"
    assert filter_batch.DEFINITION.read_text() == filter_batch.text(), sentence


def attempts(state, error):
    """How often a state retries exactly this error, and its longest pause; None if it does not."""
    rules = [rule for rule in state["Retry"] if rule["ErrorEquals"] == [error]]
    return (rules[0]["MaxAttempts"], rules[0]["MaxDelaySeconds"]) if rules else None


def test_only_steps_that_use_the_table_wait_for_it():
    waiting = {name: attempts(state, "StoreUnavailable") for name, state in of_kind("Task")}
    expected = dict.fromkeys(("LoadShard", "WriteShard", "RecordWriteShardFailure"), (20, 30))
    assert {name: waits for name, waits in waiting.items() if waits} == expected


def test_a_busy_lambda_is_tried_for_longer_than_a_step_that_failed():
    busy = {
        name: attempts(state, "Lambda.TooManyRequestsException")
        for name, state in of_kind("Task")
        if "lambda:invoke" in state["Resource"]
    }
    assert len(busy) > 10
    assert not [name for name, longest in busy.items() if not longest or longest < (20, 60)]


def test_every_task_retries_failures_and_timeouts_and_has_a_time_limit():
    def lacks(state):
        retried = {error for rule in state["Retry"] for error in rule["ErrorEquals"]}
        limit = state.get("TimeoutSeconds", 0)
        return not {"States.TaskFailed", "States.Timeout"} <= retried or limit <= 0

    assert not [name for name, state in of_kind("Task") if lacks(state)]


def test_no_permanent_error_is_retried():
    permanent = {
        name: {
            error
            for rule in state["Retry"]
            if not rule["MaxAttempts"]
            for error in rule["ErrorEquals"]
        }
        for name, state in of_kind("Task")
    }
    assert {name: errors for name, errors in permanent.items() if errors} == {
        "IdentifyBatch": {"InvalidInput", "InvalidProfile", "InputNotFound", "BrokenRecord"},
        "ClaimBatch": {"DynamoDB.ConditionalCheckFailedException"},
        "PlanBatch": {"UnknownFormat", "InvalidInput", "InputChanged", "InputNotFound"},
        "PartitionChunk": {"InputChanged", "InvalidInput"},
        "PlanShards": {"ChunkFailed", "InputNotFound"},
    }


def test_every_state_that_can_fail_has_retries_and_a_catch_for_every_error():
    def lacks(state):
        retried = {error for rule in state.get("Retry", ()) for error in rule["ErrorEquals"]}
        caught = [rule["ErrorEquals"] for rule in state.get("Catch", ())]
        return not retried or "States.ALL" in retried or caught[-1:] != [["States.ALL"]]

    assert not [name for name, state in of_kind("Task", "Map") if lacks(state)]


def test_every_fail_state_has_a_cause_even_for_an_error_without_one():
    # States.Timeout comes without a cause, and a path to what is not there is an error itself.
    causes = {name: state["CausePath"] for name, state in of_kind("Fail")}
    assert causes.pop("BatchFailed") == "$.failure.answer.reason"
    assert set(causes.values()) == {"States.JsonToString($.error)"}


def test_reports_name_the_states_of_the_definition():
    top = [name for name in DEFINITION["States"] if name in set(report.STATES.values())]
    # PublishCompletion and the failures follow the last of them.
    assert top == list(report.STATES.values())
    maps = [name for name, _ in of_kind("Map")]
    assert maps == [report.STATES[step] for step in report.MAP_STEPS]
    for step in report.MAP_STEPS:
        assert f"{step.title()}Concurrency" in PARAMETERS


def test_every_map_stays_in_the_part_that_all_engines_agree_on():
    assert [state["Label"] for _, state in of_kind("Map")] == list(filter_batch.MAPS)
    for _, state in of_kind("Map"):
        config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
        assert state["ItemProcessor"]["ProcessorConfig"] == config
        assert state["MaxConcurrencyPath"] == f"$.concurrency.{state['Label']}"
        concurrency = DEFINITION["States"]["IdentifyBatch"]["ResultSelector"]["concurrency"]
        number = f"States.MathAdd(${{{state['Label']}Concurrency}}, 0)"
        assert concurrency[f"{state['Label']}.$"] == number
        assert state["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
        assert not {"ItemBatcher", "ToleratedFailureCount"} & set(state)
    # moto and the local cloud differ in what they make of an integer here.
    assert TEXT.count('"ToleratedFailurePercentage": 100.0') == len(filter_batch.MAPS)


def test_a_map_reads_its_items_again_and_goes_on_without_its_results():
    for _, state in of_kind("Map"):
        # Before an item was read no child has run.
        assert [rule["ErrorEquals"] for rule in state["Retry"]] == [["States.ItemReaderFailed"]]
        # A Map that ran a second time for its results would leave what a child had recorded as
        # failed beside what it does now.
        assert state["Catch"][0] == {
            "ErrorEquals": ["States.ResultWriterFailed"],
            "ResultPath": "$.unwritten",
            "Next": state["Next"],
        }


def test_every_child_execution_that_fails_is_recorded_and_ends_as_failed():
    for _, state in of_kind("Map"):
        children = state["ItemProcessor"]["States"]
        first = children[state["ItemProcessor"]["StartAt"]]
        record = children[first["Catch"][-1]["Next"]]
        assert record["Parameters"]["FunctionName"] == "${FailShardFunctionArn}"
        assert children[record["Next"]]["Type"] == "Fail"


def test_every_step_of_a_batch_that_fails_is_recorded():
    states = DEFINITION["States"]
    caught = {n: state["Catch"][-1]["Next"] for n, state in states.items() if "Catch" in state}
    assert {name: end for name, end in caught.items() if end != "RecordFailure"} == {
        "IdentifyBatch": "NotIdentified",
        "FindClaim": "BatchAlreadyClaimed",
        "PublishCompletion": "BatchCompleted",
        "RecordFailure": "UnrecordedFailure",
        "PublishFailure": "BatchFailed",
    }
    assert states["NotIdentified"]["Next"] == "RecordFailure"


def statements():
    [policy] = RESOURCES["StateMachineRole"]["Properties"]["Policies"]
    decided = with_conditions(policy["PolicyDocument"]["Statement"], {"HasKmsKey"})
    return {s["Sid"]: s for s in decided}


def actions(*sids):
    names = set()
    for sid in sids:
        action = statements()[sid]["Action"]
        names |= set(action if isinstance(action, list) else [action])
    return names


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
    # It reads and writes in the bucket, and a table is decrypted for whoever asks it.
    assert actions("UseTheBucketsKey") == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert actions("UseTheTablesKey") == {"kms:Decrypt"}
    assert set(statements()) == {
        "UseTheBucketsKey", "UseTheTablesKey",
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


def test_the_state_machines_role_writes_the_folder_of_map_results_and_reads_that_of_map_items():
    for _, state in of_kind("Map"):
        prefix = state["ResultWriter"]["Parameters"]["Prefix.$"]
        assert prefix.startswith(f"States.Format('{MAP_RUNS}")
    assert statements()["WriteMapResults"]["Resource"]["Fn::Sub"].endswith(f"/{MAP_RUNS}*")
    assert statements()["ReadMapItems"]["Resource"]["Fn::Sub"].endswith(f"/{BATCHES}*")


def test_no_function_runs_longer_than_the_task_that_waits_for_it():
    default = read_template(TEMPLATE)["Globals"]["Function"]["Timeout"]
    limits = {
        f"${{{name}Arn}}": resource["Properties"].get("Timeout", default)
        for name, resource in RESOURCES.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    waiting = [state for _, state in of_kind("Task") if "FunctionName" in state["Parameters"]]
    assert waiting
    assert not [
        state
        for state in waiting
        if limits[state["Parameters"]["FunctionName"]] >= state["TimeoutSeconds"]
    ]


def test_no_policy_is_written_for_every_resource():
    assert "FullAccess" not in TEMPLATE.read_text()
    granted = grants(RESOURCES)
    assert len(granted) > len(RESOURCES)
    # Each names something of this stack, or what the template's parameters name.
    own = re.compile(r"\.Arn|AWS::StackName|\b(InputBucket|InputKeys|KmsKey|CacheSecret)\b")
    assert not [str(grant) for grant in granted if not own.search(grant.resource)]
