"""Write filter_batch.asl.json, the definition of the state machine that is committed and deployed.

    make statemachine

AWS::Serverless::StateMachine fills in the names in `${...}` from template.yaml.
"""

import json
from pathlib import Path

from frames import (
    State,
    batch_step,
    catch,
    choose,
    each_item,
    fail,
    give_up,
    number,
    publish,
    put_output,
    service,
    step,
)  # fmt: skip

DEFINITION = Path(__file__).with_name("filter_batch.asl.json")

#: The Maps, by the label that names each one's concurrency in the state.
MAPS = ("Partition", "Load", "Filter", "Write")


def definition() -> State:
    """The state machine."""
    return {
        "Comment": (
            "kalmap: loads users' states, filters their new readings in a Distributed Map, "
            "aggregates, bulk-writes."
        ),
        "QueryLanguage": "JSONPath",
        "TimeoutSeconds": 24 * 3600,
        "StartAt": "IdentifyBatch",
        "States": identify_states()
        | filter_states()
        | write_states()
        | complete_states()
        | failure_states(),
    }


def identify_states() -> dict[str, State]:
    """Give every start of the same batch one identity, and let it run once."""
    permanent = ("InvalidInput", "InvalidProfile", "InputNotFound", "BrokenRecord")
    concurrency = {f"{label}.$": number(f"{label}Concurrency") for label in MAPS}
    taken = "DynamoDB.ConditionalCheckFailedException"
    return {
        "IdentifyBatch": step(
            "IdentifyFunction",
            {
                "input.$": "$",
                "execution.$": "$$.Execution.Name",
                "started_at.$": "$$.Execution.StartTime",
            },
            result={
                "ResultSelector": {"batch.$": "$.Payload", "concurrency": concurrency},
                "ResultPath": "$",
            },
            permanent=permanent,
            catch=catch("NotIdentified", result_path="$"),
            next_state="ClaimBatch",
            seconds=90,
            comment=(
                "Gives every input one form, and pins object versions, profile and now. The sums "
                "turn the parameters into numbers, since only strings can have substitutions."
            ),
        ),
        "NotIdentified": {
            "Comment": "Drops the input, which may be large, and passes on the error.",
            "Type": "Pass",
            "Parameters": {"error.$": "$"},
            "Next": "RecordFailure",
        },
        "ClaimBatch": service(
            "dynamodb:putItem",
            {
                "TableName": "${BatchesTableName}",
                "Item": {
                    "batch_id": {"S.$": "$.batch.batch_id"},
                    "status": {"S": "RUNNING"},
                    "execution": {"S.$": "$$.Execution.Name"},
                    "execution_arn": {"S.$": "$$.Execution.Id"},
                    "started_at": {"S.$": "$.batch.started_at"},
                    "listed": {"S": "batches"},
                    "expires_at": {"N.$": "$.batch.expires_at"},
                    "profile": {"S.$": "$.batch.profile"},
                    "prefix": {"S.$": "$.batch.prefix"},
                },
                "ConditionExpression": (
                    "attribute_not_exists(batch_id) OR #status = :failed OR #execution = :me"
                ),
                "ExpressionAttributeNames": {"#status": "status", "#execution": "execution"},
                "ExpressionAttributeValues": {
                    ":failed": {"S": "FAILED"},
                    ":me": {"S.$": "$$.Execution.Name"},
                },
            },
            result={"ResultPath": None},
            permanent=(taken,),
            catch=[catch("FindClaim", taken), catch("RecordFailure")],
            next_state="PlanBatch",
            comment="A batch runs once. A second start finds the claim of the first.",
        ),
        "FindClaim": service(
            "dynamodb:getItem",
            {
                "TableName": "${BatchesTableName}",
                "Key": {"batch_id": {"S.$": "$.batch.batch_id"}},
                "ConsistentRead": True,
            },
            result={
                "ResultSelector": {
                    "status.$": "$.Item.status.S",
                    "execution_arn.$": "$.Item.execution_arn.S",
                },
                "ResultPath": "$.first",
            },
            catch=[catch("BatchAlreadyClaimed")],
            next_state="BatchAlreadyClaimed",
            comment="Finds the execution that started this batch first.",
        ),
        "BatchAlreadyClaimed": {"Type": "Succeed"},
    }


def filter_states() -> dict[str, State]:
    """Filter the input, and store each shard's results and changed states in S3."""
    return {
        "PlanBatch": batch_step(
            "PlanFunction",
            "Cuts the input into chunks and chooses the number of shards.",
            permanent=("UnknownFormat", "InvalidInput", "InputChanged", "InputNotFound"),
            next_state="PartitionMeasurements",
        ),
        "PartitionMeasurements": each_item(
            "Partition",
            "chunk",
            "Parses a chunk and routes each reading to its user's shard.",
            permanent=("InputChanged", "InvalidInput"),
            next_state="PlanShards",
        ),
        "PlanShards": batch_step(
            "PlanShardsFunction",
            "Sums the chunks' counts into index offsets, and lists the shards.",
            permanent=("ChunkFailed", "InputNotFound"),
            next_state="LoadStates",
        ),
        "LoadStates": each_item(
            "Load",
            "shard",
            "Reads the states of a shard's users.",
            asks_the_table=True,
            next_state="FilterUsers",
        ),
        "FilterUsers": each_item(
            "Filter",
            "shard",
            "Folds a shard's readings into its users' states. No database.",
            next_state="AggregateResults",
        ),
        "AggregateResults": batch_step(
            "AggregateFunction",
            "Sums the reports. In round 0 it judges the commit gate.",
            in_a_round=True,
            result_path="$.judged",
            next_state="CommitAllowed",
        ),
    }


def write_states() -> dict[str, State]:
    """Commit the states. Users in conflict with another batch are loaded again."""
    return {
        "CommitAllowed": choose(
            ("$.judged.answer.open", "BooleanEquals", False, "RefuseCommit"),
            ("$.batch.write_mode", "StringEquals", "none", "CompleteBatch"),
            otherwise="WriteStates",
        ),
        "RefuseCommit": give_up(
            "CommitRefused",
            "$.judged.answer.reason",
            "The gate is closed: no state was changed.",
        ),
        "WriteStates": each_item(
            "Write",
            "shard",
            "Writes a shard's changed states, each only over the version it came from.",
            asks_the_table=True,
            failure_asks_the_table=True,
            next_state="CollectWrites",
        ),
        "CollectWrites": batch_step(
            "CollectFunction",
            "Makes the next round's shards, of users whose state another batch has changed.",
            in_a_round=True,
            result_path="$.collected",
            next_state="AnyConflicts",
        ),
        "AnyConflicts": choose(
            ("$.collected.answer.conflicts", "NumericGreaterThan", 0, "WaitForOthers"),
            ("$.collected.answer.failed", "BooleanEquals", True, "CommitFailed"),
            otherwise="CompleteBatch",
        ),
        "CommitFailed": give_up(
            "ShardFailed",
            "$.collected.answer.reason",
            "More shards failed to commit than the batch's limits allow.",
        ),
        "WaitForOthers": {
            "Type": "Wait",
            "SecondsPath": "$.collected.answer.wait",
            "Next": "BeginRound",
        },
        "BeginRound": {
            "Type": "Pass",
            "InputPath": "$.collected",
            "ResultPath": "$.step",
            "Next": "LoadStates",
        },
    }


def complete_states() -> dict[str, State]:
    """Write the summary, mark the batch as succeeded, and publish the event."""
    return {
        "CompleteBatch": batch_step(
            "CompleteFunction",
            "Writes the final summary and marks the batch as succeeded.",
            in_a_round=True,
            result_path="$.completed",
            next_state="PublishCompletion",
        ),
        "PublishCompletion": publish(
            "Batch Completed",
            {
                "stack": "${StackName}",
                "batch_id.$": "$.batch.batch_id",
                "attempt.$": "$.batch.attempt",
                "status.$": "$.completed.answer.status",
                "summary.$": "$.completed.answer.summary",
            },
            next_state="BatchCompleted",
        ),
        "BatchCompleted": {"Type": "Succeed", "OutputPath": "$.completed.answer"},
    }


def failure_states() -> dict[str, State]:
    """Record the failure that a Catch of a batch's step has caught."""
    return {
        "RecordFailure": step(
            "RecordFailureFunction",
            {"state.$": "$"},
            result=put_output("$.failure"),
            catch=catch("UnrecordedFailure", result_path="$.failure"),
            next_state="PublishFailure",
            comment="Every Catch leads here. It marks the batch as failed, with the reason.",
        ),
        "UnrecordedFailure": fail(
            "BatchFailed",
            "States.JsonToString($.error)",
            "The failure itself could not be recorded. The execution ends with the first error.",
        ),
        "PublishFailure": publish(
            "Batch Failed",
            {
                "stack": "${StackName}",
                "batch_id.$": "$.failure.answer.batch_id",
                "execution.$": "$$.Execution.Id",
                "error.$": "$.failure.answer.error",
                "reason.$": "$.failure.answer.reason",
            },
            next_state="BatchFailed",
        ),
        "BatchFailed": fail("BatchFailed", "$.failure.answer.reason"),
    }


def text() -> str:
    """The definition as it is committed."""
    return json.dumps(definition(), indent=2) + "\n"


if __name__ == "__main__":
    DEFINITION.write_text(text())
