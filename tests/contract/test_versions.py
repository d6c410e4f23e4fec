"""A deployment never changes the code under a batch that runs."""

import json
import re

from kalmap_cli.local.deploy import read_template
from tests.support.template import TEMPLATE
from tests.support.transformed_template import of_type, transformed

SOURCE = read_template(TEMPLATE)
NOW = transformed()
VERSION = "AWS::Lambda::Version"


def steps(template=NOW):
    """The functions that the state machine calls, with what it calls them by."""
    [machine] = of_type(template, "AWS::StepFunctions::StateMachine").values()
    substitutions = machine["DefinitionSubstitutions"]
    return {
        name.removesuffix("Arn"): value
        for name, value in substitutions.items()
        if "Function" in name
    }


def versions(template=NOW):
    resources = {name: r for name, r in template["Resources"].items() if r["Type"] == VERSION}
    return {
        resource["Properties"]["FunctionName"]["Ref"]: name for name, resource in resources.items()
    }


def test_an_execution_calls_versions_which_never_change():
    assert {step: called["Ref"] for step, called in steps().items()} == versions()


def test_new_code_makes_new_versions_and_leaves_those_that_batches_run_on():
    later = transformed(code="s3://artifacts/changed.zip")
    assert set(versions(later)) == set(versions())
    assert not set(versions(later).values()) & set(versions().values())
    for name in versions().values():
        resource = NOW["Resources"][name]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_another_value_of_a_parameter_makes_a_new_version_of_each_function_that_has_it():
    # A version keeps the environment, too; a description that changes replaces the version.
    for step, name in versions().items():
        function = NOW["Resources"][step]["Properties"]
        description = NOW["Resources"][name]["Properties"].get("Description", "")
        assert parameters(description) == parameters(function), step


def parameters(value):
    """The stack's parameters that a part of the template depends on, also by its conditions."""
    text = json.dumps(value)
    named = re.findall(r"\$\{(\w+)\}", text) + re.findall(r'"Ref": "(\w+)"', text)
    conditions = re.findall(r'"Fn::If": \["(\w+)"', text)
    deciding = [parameters(SOURCE["Conditions"][name]) for name in conditions]
    return {name for name in named if name in SOURCE["Parameters"]}.union(*deciding)
