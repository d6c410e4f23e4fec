"""What the local cloud does not wait for: executions' beginnings, a translator, sessions."""

import copy
import json
import subprocess
import sys
import time

import botocore.session
import pytest
from ministack.core import responses
from ministack.services import stepfunctions

from kalmap_cli.local import deploy
from kalmap_cli.local.deploy import TEMPLATE, read_template
from kalmap_cli.local.emulator import execution_starts, service_models, translated_templates

SAM = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Hello": {
            "Type": "AWS::Serverless::Function",
            "Properties": {"CodeUri": "s3://b/k", "Handler": "a.b", "Runtime": "python3.13"},
        }
    },
}


@pytest.fixture
def slept(monkeypatch):
    """What ministack's Step Functions slept, and how it runs an execution that has no machine."""
    times = []
    monkeypatch.setattr(stepfunctions, "time", time)
    monkeypatch.setattr(stepfunctions, "_run_execution", stepfunctions._run_execution)
    monkeypatch.setattr(time, "sleep", times.append)
    monkeypatch.setattr(stepfunctions, "_fail_execution", lambda *_: stepfunctions.time.sleep(7))
    monkeypatch.setattr(stepfunctions, "_executions", {"arn": {"stateMachineArn": "none"}})
    monkeypatch.setattr(stepfunctions, "_state_machines", {})
    return times


def test_an_execution_begins_at_once_and_later_waits_stay(slept):
    """If the first list has no 0.15, ministack does so, and execution_starts is needless."""
    stepfunctions._run_execution("arn")
    assert slept == [0.15, 7]
    slept.clear()
    execution_starts.install()
    stepfunctions._run_execution("arn")
    stepfunctions.time.sleep(3)
    assert slept == [7, 3]


def test_services_are_described_by_one_reader_as_ministack_does_it(monkeypatch):
    """If no session is made first, ministack does so, and service_models is needless."""
    sessions = []
    make = botocore.session.get_session
    monkeypatch.setattr(botocore.session, "get_session", lambda: sessions.append(1) or make())
    names = ["s3", "dynamodb", "stepfunctions", "cloudformation", "monitoring", "no such service"]

    def described():
        responses._service_model.cache_clear()
        models = map(responses._service_model, names)
        return [model and dict(model.metadata) for model in models]

    monkeypatch.setattr(responses, "_service_model", responses._service_model)
    expected = described()
    assert len(sessions) == len(names)
    service_models.install()
    assert described() == expected
    assert len(sessions) == len(names)


class Counted(translated_templates.Translator):
    """A translator that counts its translations."""

    def __init__(self, folder):
        super().__init__(folder)
        self.made = 0

    def _translate(self, *given):
        self.made += 1
        return super()._translate(*given)


def test_a_template_is_translated_once_and_the_latest_is_kept(tmp_path, monkeypatch):
    translator = Counted(tmp_path)
    first = translator(copy.deepcopy(SAM), {}, None)
    assert translator(copy.deepcopy(SAM), {}, None) == first
    assert first["Resources"]["Hello"]["Type"] == "AWS::Lambda::Function"
    assert translator.made == len(list(tmp_path.iterdir())) == 1
    monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")
    translator(copy.deepcopy(SAM), {}, None)
    assert translator.made == 2
    [kept] = tmp_path.iterdir()
    kept.write_text(kept.read_text()[:-1])
    translator(copy.deepcopy(SAM), {}, None)
    assert translator.made == 3


def test_where_nothing_can_be_kept_a_template_is_translated_each_time(tmp_path):
    translator = Counted(tmp_path / "none")
    assert translator(copy.deepcopy(SAM), {}, None) == translator(copy.deepcopy(SAM), {}, None)
    assert translator.made == 2


@pytest.mark.thorough
def test_what_is_kept_of_the_deployed_template_is_what_the_translator_makes(tmp_path):
    content = read_template(TEMPLATE)
    deploy._package(content, TEMPLATE.parent)
    translator = translated_templates.Translator(tmp_path)
    made = translator(copy.deepcopy(content), {}, None)
    kept = translator(copy.deepcopy(content), {}, None)
    assert json.dumps(kept) == json.dumps(made)


def test_a_kept_template_needs_no_import_of_the_translator(tmp_path):
    """If it is imported, ministack asks for its translator another way."""
    code = (
        "import sys, copy, json\n"
        "from pathlib import Path\n"
        "from kalmap_cli.local.emulator import translated_templates\n"
        "from ministack.services.cloudformation import engine\n"
        "translated_templates.install()\n"
        "stand_in = sys.modules['samtranslator.translator.transform'].transform\n"
        f"stand_in._folder = Path({str(tmp_path)!r})\n"
        "made = engine._apply_transforms(json.loads(sys.stdin.read()))\n"
        "print('samtranslator.model' in sys.modules, made['Resources']['Hello']['Type'])\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(SAM),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["True", "AWS::Lambda::Function"], ["False", "AWS::Lambda::Function"]]
