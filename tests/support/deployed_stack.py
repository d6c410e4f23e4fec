"""The deployed stack, used through its services, and readings for it."""

import json
import time

from kalmap_cli.local.deploy import STACK

PATIENCE = 60.0


class Stack:
    """The deployed stack, used through its services."""

    def __init__(self, cloud):
        self.client = cloud.clients
        outputs = cloud.clients("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {o["OutputKey"]: o["OutputValue"] for o in outputs["Outputs"]}
        self.bucket = self.outputs["WorkBucket"]

    def executions(self, text):
        """Descriptions of the executions whose input holds a text."""
        states = self.client("stepfunctions")
        listed = states.list_executions(stateMachineArn=self.outputs["StateMachineArn"])
        matching = [
            states.describe_execution(executionArn=e["executionArn"]) for e in listed["executions"]
        ]
        return [e for e in matching if text in e.get("input", "")]

    def ended(self, text, count=1):
        """Wait until a number of executions with a text in their input have ended."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            executions = self.executions(text)
            if len(executions) >= count and all(e["status"] != "RUNNING" for e in executions):
                return executions
            time.sleep(0.2)
        raise AssertionError(f"no {count} ended execution(s) with {text!r}: {executions}")

    def record(self, batch_id):
        key = {"batch_id": {"S": batch_id}}
        table = self.outputs["BatchesTable"]
        return self.client("dynamodb").get_item(TableName=table, Key=key)["Item"]


def daily_readings(user, days=3):
    """A user's readings, one a day, as JSON lines."""
    return "\n".join(
        json.dumps(
            {"user_id": user, "timestamp": f"2026-03-{day:02d}T07:00:00Z", "value": 80.0 + day / 10}
        )
        for day in range(1, days + 1)
    )
