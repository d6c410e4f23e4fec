"""Packaging a template as `aws cloudformation package` does."""

import io
import runpy
import zipfile

import pytest
import yaml

from kalmap_cli.local import deploy
from kalmap_cli.local.deploy import TEMPLATE as DEPLOYED
from kalmap_cli.local.deploy import _package, _zip, read_template

TEMPLATE = """\
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    CodeUri: functions/
Resources:
  Bucket: {Type: AWS::S3::Bucket}
  Plan:
    Type: AWS::Serverless::Function
    Condition: Always
    Properties:
      Environment: {Variables: {A: !Ref Bucket, B: !GetAtt Bucket.Arn, C: !Sub "x-${Bucket}"}}
      Policies: !If [Always, !Split [",", "a,b"], !Ref AWS::NoValue]
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties: {DefinitionUri: machine.asl.json}
  Elsewhere:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: "s3://bucket/key"}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "machine.asl.json").write_text("{}")
    (tmp_path / "functions" / "__pycache__").mkdir(parents=True)
    (tmp_path / "functions" / "h.py").write_text("x = 1\n")
    (tmp_path / "functions" / "__pycache__" / "h.pyc").write_bytes(b"\0")
    return tmp_path


def test_short_tags_of_cloudformation_become_long_ones_and_dates_stay_text(folder):
    content = read_template(folder / "template.yaml")
    assert content["AWSTemplateFormatVersion"] == "2010-09-09"
    properties = content["Resources"]["Plan"]["Properties"]
    assert properties["Environment"]["Variables"] == {
        "A": {"Ref": "Bucket"},
        "B": {"Fn::GetAtt": ["Bucket", "Arn"]},
        "C": {"Fn::Sub": "x-${Bucket}"},
    }
    assert properties["Policies"] == {
        "Fn::If": ["Always", {"Fn::Split": [",", "a,b"]}, {"Ref": "AWS::NoValue"}]
    }


def test_local_paths_are_replaced_by_where_their_content_is_uploaded(folder):
    content = read_template(folder / "template.yaml")
    artifacts = _package(content, folder)
    code = content["Globals"]["Function"]["CodeUri"]
    definition = content["Resources"]["Machine"]["Properties"]["DefinitionUri"]
    assert artifacts[definition["Key"]] == b"{}"
    with zipfile.ZipFile(io.BytesIO(artifacts[code["Key"]])) as package:
        assert package.namelist() == ["h.py"]
    assert content["Resources"]["Elsewhere"]["Properties"]["CodeUri"] == "s3://bucket/key"


def test_a_package_depends_on_contents_and_not_on_when_files_were_touched(folder):
    before = _zip(folder / "functions")
    (folder / "functions" / "h.py").write_text("x = 1\n")
    assert _zip(folder / "functions") == before
    (folder / "functions" / "h.py").write_text("x = 2\n")
    assert _zip(folder / "functions") != before


def test_each_map_on_the_local_cloud_gets_its_concurrency_as_a_number():
    # It knows no MaxConcurrencyPath: every item of a Map would get a worker at once.
    content = read_template(DEPLOYED)
    artifacts = _package(content, DEPLOYED.parent)
    key = content["Resources"]["FilterBatchStateMachine"]["Properties"]["DefinitionUri"]["Key"]
    definition = artifacts[key].decode()
    assert definition.count('"Type": "Map"') == definition.count('"MaxConcurrency": ${') == 4
    assert "MaxConcurrencyPath" not in definition


def test_the_template_reads_the_same_with_and_without_libyaml(monkeypatch):
    assert issubclass(deploy._TemplateLoader, yaml.CSafeLoader)
    monkeypatch.delattr(yaml, "CSafeLoader")
    without = runpy.run_path(deploy.__file__)
    assert issubclass(without["_TemplateLoader"], yaml.SafeLoader)
    assert without["read_template"](DEPLOYED) == read_template(DEPLOYED)
