"""Every log has its own group that expires, and contains only what a reader needs."""

import json

from tests.support.transformed_template import of_type, transformed

TEMPLATE = transformed(AccessLog="true")
GROUPS = of_type(TEMPLATE, "AWS::Logs::LogGroup")


def test_every_log_group_expires_after_the_configured_days():
    assert GROUPS
    for group in GROUPS.values():
        assert group["RetentionInDays"] == {"Ref": "LogDays"}


def test_every_function_writes_into_a_log_group_that_expires():
    functions = of_type(TEMPLATE, "AWS::Lambda::Function")
    assert functions
    for function in functions.values():
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in GROUPS


def test_the_state_machine_logs_its_errors_and_no_readings():
    [machine] = of_type(TEMPLATE, "AWS::StepFunctions::StateMachine").values()
    logging = machine["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ERROR", False)
    [destination] = logging["Destinations"]
    group = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0]
    assert group in GROUPS


def test_the_access_log_is_json_and_names_the_caller_but_no_user():
    [stage] = of_type(TEMPLATE, "AWS::ApiGateway::Stage").values()
    condition, setting, otherwise = stage["AccessLogSetting"]["Fn::If"]
    assert (condition, otherwise) == ("HasAccessLog", {"Ref": "AWS::NoValue"})
    assert setting["DestinationArn"]["Fn::GetAtt"][0] in GROUPS
    line = json.loads(setting["Format"])
    assert line["caller"] == "$context.identity.userArn"
    # A path holds a user's id; the resource it was routed to does not.
    assert "$context.path" not in line.values()


def test_the_functions_and_the_state_machine_are_traced():
    functions = of_type(TEMPLATE, "AWS::Lambda::Function").values()
    assert {function["TracingConfig"]["Mode"] for function in functions} == {"Active"}
    [machine] = of_type(TEMPLATE, "AWS::StepFunctions::StateMachine").values()
    assert machine["TracingConfiguration"] == {"Enabled": True}


def test_the_gateway_is_not_traced_since_its_trace_has_the_path_that_names_a_user():
    [stage] = of_type(TEMPLATE, "AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] is False
