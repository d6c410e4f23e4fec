"""The policies of Retry and Catch, and the frames of states, each written once."""

from typing import Any

from kalmap.keys import MAP_RUNS

State = dict[str, Any]

_INVOKE = "arn:${Partition}:states:::lambda:invoke"
_STEP_SECONDS = 330
"""Longer than any function of a step runs."""
_SERVICE_SECONDS = 60


def retry(*errors: str, attempts: int, most_seconds: int | None = None) -> State:
    """A Retry rule: exponential backoff from one second, with full jitter."""
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": 1,
        "MaxAttempts": attempts,
        "BackoffRate": 2.0,
        **({"MaxDelaySeconds": most_seconds} if most_seconds else {}),
        "JitterStrategy": "FULL",
    }


# A task that waits for others is retried for longer than one that has failed.
_LAMBDA_IS_BUSY = retry("Lambda.TooManyRequestsException", attempts=30, most_seconds=60)
_TABLE_IS_BUSY = retry("StoreUnavailable", attempts=20, most_seconds=30)
_LAMBDA_FAILED = retry(
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    attempts=6,
    most_seconds=30,
)
_STEP_FAILED = retry("States.TaskFailed", "States.Timeout", attempts=2)
_SERVICE_FAILED = retry("States.TaskFailed", "States.Timeout", attempts=4, most_seconds=20)
# No child has run before the items were read, so the whole Map can be tried again.
_ITEMS_NOT_READ = retry("States.ItemReaderFailed", attempts=4)


#: What a step needs to know of its earlier tries, of which no other trace may be left.
_TRIES = {"tries.$": "$$.State.RetryCount", "entered.$": "$$.State.EnteredTime"}


def never(*errors: str) -> list[State]:
    """A Retry rule for errors that another attempt would meet again; empty without errors."""
    return [{"ErrorEquals": list(errors), "MaxAttempts": 0}] if errors else []


def catch(next_state: str, *errors: str, result_path: str = "$.error") -> State:
    """A Catch rule."""
    return {
        "ErrorEquals": list(errors) or ["States.ALL"],
        "ResultPath": result_path,
        "Next": next_state,
    }


def step(
    function: str,
    payload: State,
    *,
    result: State,
    permanent: tuple[str, ...] = (),
    asks_the_table: bool = False,
    catch: State,
    next_state: str | None,
    seconds: int = _STEP_SECONDS,
    comment: str = "",
) -> State:
    """A Task that invokes a function."""
    retry = [_LAMBDA_IS_BUSY, _LAMBDA_FAILED, _STEP_FAILED]
    if asks_the_table:
        retry.insert(1, _TABLE_IS_BUSY)
    return {
        **({"Comment": comment} if comment else {}),
        "Type": "Task",
        "Resource": _INVOKE,
        "TimeoutSeconds": seconds,
        "Parameters": {"FunctionName": f"${{{function}Arn}}", "Payload": payload},
        **result,
        "Retry": never(*permanent) + retry,
        "Catch": [catch],
        **({"Next": next_state} if next_state else {"End": True}),
    }


def put_output(result_path: str) -> State:
    """Put a function's output into the execution's state, under the name `answer`."""
    return {"ResultSelector": {"answer.$": "$.Payload"}, "ResultPath": result_path}


def batch_step(
    function: str,
    comment: str,
    *,
    next_state: str,
    result_path: str = "$.step",
    permanent: tuple[str, ...] = (),
    in_a_round: bool = False,
) -> State:
    """A step of the whole batch, whose failure fails the batch."""
    payload = {"batch.$": "$.batch"} | _TRIES
    if in_a_round:
        payload["round.$"] = "$.step.answer.round"
    return step(
        function,
        payload,
        result=put_output(result_path),
        permanent=permanent,
        catch=catch("RecordFailure"),
        next_state=next_state,
        comment=comment,
    )


def service(
    resource: str,
    parameters: State,
    *,
    result: State,
    permanent: tuple[str, ...] = (),
    catch: list[State],
    next_state: str,
    comment: str = "",
) -> State:
    """A Task that calls an AWS service without a function."""
    return {
        **({"Comment": comment} if comment else {}),
        "Type": "Task",
        "Resource": f"arn:${{Partition}}:states:::{resource}",
        "TimeoutSeconds": _SERVICE_SECONDS,
        "Parameters": parameters,
        **result,
        "Retry": [*never(*permanent), _SERVICE_FAILED],
        "Catch": catch,
        "Next": next_state,
    }


def publish(event: str, detail: State, *, next_state: str) -> State:
    """Put an event on the default bus. A batch does not fail because of its event."""
    entry = {"Source": "kalmap", "DetailType": event, "EventBusName": "default", "Detail": detail}
    return service(
        "events:putEvents",
        {"Entries": [entry]},
        result={"ResultPath": None},
        catch=[catch(next_state, result_path="$.unpublished")],
        next_state=next_state,
    )


def each_item(
    label: str,
    item: str,
    comment: str,
    *,
    next_state: str,
    permanent: tuple[str, ...] = (),
    asks_the_table: bool = False,
    failure_asks_the_table: bool = False,
) -> State:
    """A Distributed Map that runs one function on each chunk or shard.

    A child that gives up records its failure and fails. The Map tolerates that, and a later step
    judges the reports. The Map's own results are not read. If the Map ran a second time because
    they could not be written, recorded failures would stand beside new results.
    """
    name = label + item.capitalize()
    record, failed = f"Record{name}Failure", f"{name}Failed"
    item_fields = {"batch.$": "$.batch", f"{item}.$": f"$.{item}"}
    selected = {"batch.$": "$.batch", f"{item}.$": "$$.Map.Item.Value"}
    round_field = {}
    if item == "shard":
        round_field = {"round.$": "$.round"}
        selected["round.$"] = "$.step.answer.round"
    return {
        "Comment": comment,
        "Type": "Map",
        "Label": label,
        "MaxConcurrencyPath": f"$.concurrency.{label}",
        "ToleratedFailurePercentage": 100.0,
        "ItemReader": {
            "Resource": "arn:${Partition}:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": "$.batch.bucket", "Key.$": "$.step.answer.items"},
        },
        "ItemSelector": selected,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": name,
            "States": {
                name: step(
                    f"{label}Function",
                    item_fields | round_field | _TRIES,
                    result={"ResultSelector": {}},
                    permanent=permanent,
                    asks_the_table=asks_the_table,
                    catch=catch(record),
                    next_state=None,
                ),
                record: step(
                    "FailShardFunction",
                    item_fields | {"step": label.lower(), "error.$": "$.error"} | round_field,
                    result={"ResultPath": None},
                    asks_the_table=failure_asks_the_table,
                    catch=catch(failed, result_path="$.lost"),
                    next_state=failed,
                    comment="Reports why it was given up. Its readings come back as failed.",
                ),
                failed: fail(f"{item.capitalize()}Failed", "States.JsonToString($.error)"),
            },
        },
        "ResultWriter": {
            "Resource": "arn:${Partition}:states:::s3:putObject",
            "Parameters": {
                "Bucket": "${WorkBucketName}",
                "Prefix.$": f"States.Format('{MAP_RUNS}{{}}', $$.Execution.Name)",
            },
        },
        "ResultPath": None,
        "Retry": [_ITEMS_NOT_READ],
        "Catch": [
            catch(next_state, "States.ResultWriterFailed", result_path="$.unwritten"),
            catch("RecordFailure"),
        ],
        "Next": next_state,
    }


def fail(error: str, cause_path: str, comment: str = "") -> State:
    """A failed end. It has a cause even if AWS gives the error none, as for States.Timeout."""
    return {
        **({"Comment": comment} if comment else {}),
        "Type": "Fail",
        "Error": error,
        "CausePath": cause_path,
    }


def give_up(error: str, reason_path: str, comment: str) -> State:
    """Fail the batch with an error of our own."""
    return {
        "Comment": comment,
        "Type": "Pass",
        "Parameters": {"Error": error, "Cause.$": reason_path},
        "ResultPath": "$.error",
        "Next": "RecordFailure",
    }


def choose(*choices: tuple[str, str, object, str], otherwise: str) -> State:
    """A Choice between states: the first of (variable, comparison, value, next) that holds."""
    return {
        "Type": "Choice",
        "Choices": [
            {"Variable": variable, comparison: value, "Next": next_state}
            for variable, comparison, value, next_state in choices
        ],
        "Default": otherwise,
    }


def number(parameter: str) -> str:
    """A number from a parameter of the template.

    The sum makes it a number: a definition can have no substitution outside of strings.
    """
    return f"States.MathAdd(${{{parameter}}}, 0)"
