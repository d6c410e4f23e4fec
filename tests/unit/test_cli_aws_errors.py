"""AWS settings that are wrong: exit 2, and a sentence that says what to do."""

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, SSOTokenLoadError

from kalmap.errors import StoreRefused
from kalmap_cli.aws_errors import explain_aws_error
from kalmap_cli.errors import FAILED, WRONG_USAGE
from kalmap_cli.main import main


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"AWS_PROFILE": "nope"}, "nope"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_DEFAULT_REGION": "nowhere at all"}, "nowhere at all"),
        ({"AWS_DEFAULT_REGION": None}, "region"),
        ({"AWS_DEFAULTS_MODE": "odd"}, "odd"),
        ({"AWS_ENDPOINT_URL": "not an address"}, "not an address"),
        ({"AWS_CONFIG_FILE": "broken"}, "broken"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path, monkeypatch, capsys, variables, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").write_text("[default\nregion\n")
    (tmp_path / "empty").touch()
    settings = {
        "AWS_CONFIG_FILE": "empty",
        "AWS_SHARED_CREDENTIALS_FILE": "empty",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in (settings | variables).items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert main(["status", "--stack", "kalmap"]) == WRONG_USAGE
    sentence = capsys.readouterr().err
    assert sentence.startswith("kalmap: AWS cannot be used: ")
    assert word in sentence
    assert "`aws configure`" in sentence
    assert len(sentence.splitlines()) == 1


def test_a_cloud_that_does_not_answer_is_asked_several_times_and_is_a_sentence(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "a.jsonl").write_text(
        '{"user_id": "u", "timestamp": "2026-01-01T07:00:00Z", "value": 80}\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    pauses = []
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=pauses.append))
    assert main(["run", "a.jsonl", "--stack", "kalmap"]) == FAILED
    assert len(pauses) == 8
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("kalmap: The cloud does not answer: ")
    assert "127.0.0.1:9" in sentence


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (SSOTokenLoadError(error_msg="none"), WRONG_USAGE, "`aws sso login`"),
        ("ExpiredToken", WRONG_USAGE, "`aws sso login`"),
        ("UnrecognizedClientException", WRONG_USAGE, "`aws configure`"),
        ("AccessDeniedException", FAILED, "The cloud refused a request"),
    ],
)
def test_an_aws_error_has_a_sentence_and_the_exit_code_of_its_kind(error, code, words):
    if isinstance(error, str):
        error = ClientError({"Error": {"Code": error, "Message": "m"}}, "DescribeStacks")
    sentence, exit_code = explain_aws_error(error)
    assert exit_code == code
    assert words in sentence
    by_the_store = StoreRefused("The state table refused a request.")
    by_the_store.__cause__ = error
    assert explain_aws_error(by_the_store) == (sentence, exit_code)


def test_other_errors_have_no_sentence_about_aws():
    assert explain_aws_error(StoreRefused("The state table refused a request.")) is None
    assert explain_aws_error(ValueError("x")) is None
