"""What the local cloud deletes while it runs, and what stays."""

from kalmap_cli.local.upkeep import (
    MAX_EXECUTIONS,
    MAX_INVOCATIONS,
    keep_newest,
    trim_executions,
    trim_logs,
)

ARN = "arn:aws:states:us-east-1:000000000000:execution:m:{}"


def test_the_newest_logs_of_each_function_stay():
    groups = {
        ("000000000000", "us-east-1", name): {"streams": {f"{name}-{n}": {} for n in range(count)}}
        for name, count in (("few", 3), ("many", MAX_INVOCATIONS + 5))
    }
    trim_logs(groups)
    few, many = (list(group["streams"]) for group in groups.values())
    assert few == ["few-0", "few-1", "few-2"]
    assert many == [f"many-{n}" for n in range(5, MAX_INVOCATIONS + 5)]


def execution(name, stopped, **more):
    events = [{"id": n} for n in range(1, 9)]
    return {"executionArn": ARN.format(name), "stopDate": stopped, "events": events} | more


def test_map_children_and_histories_of_old_executions_are_deleted():
    executions, runs = {}, {}
    # The first to be started is the last to end.
    stops = [f"2026-01-01T00:{59 - n:02}:00Z" for n in range(MAX_EXECUTIONS + 2)]
    for n, stopped in enumerate((*stops, None)):
        executions[n] = execution(n, stopped)
        runs[n] = {"mapRunArn": f"run-{n}", "executionArn": ARN.format(n)}
        executions[f"child of {n}"] = execution(f"{n}c", stopped, mapRunArn=f"run-{n}")
    trim_executions(executions, runs)
    old = {MAX_EXECUTIONS, MAX_EXECUTIONS + 1}
    assert {n for n in range(MAX_EXECUTIONS + 3) if f"child of {n}" not in executions} == old
    assert {n for n in range(MAX_EXECUTIONS + 3) if n not in runs} == old
    for n in range(MAX_EXECUTIONS + 3):
        event_ids = [event["id"] for event in executions[n]["events"]]
        assert event_ids == ([1, 8] if n in old else list(range(1, 9)))


def test_the_newest_entries_of_a_list_stay():
    lists = [[], [1, 2], [1, 2, 3, 4, 5]]
    keep_newest(3, lists)
    assert lists == [[], [1, 2], [3, 4, 5]]
