"""`kalmap completion` prints scripts that complete commands, options and names of files."""

import subprocess

import pytest

from kalmap_cli.arguments import parser
from kalmap_cli.main import main


@pytest.fixture
def script(capsys):
    def printed(shell):
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return printed


def completed(script, folder, *words):
    """What bash offers for the last word, with the script read."""
    line = f"""
    COMP_WORDS=({" ".join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}
    _shtab_kalmap
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    command = ["bash", "--norc"]
    done = subprocess.run(
        command, input=script + line, cwd=folder, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_files(script, tmp_path):
    (tmp_path / "weights.jsonl").touch()
    bash = script("bash")
    assert completed(bash, tmp_path, "kalmap", "st") == {"status", "states"}
    assert completed(bash, tmp_path, "kalmap", "run", "--wr") == {"--write-mode"}
    assert completed(bash, tmp_path, "kalmap", "run", "wei") == {"weights.jsonl"}
    assert completed(bash, tmp_path, "kalmap", "run", "--profile", "wei") == {"weights.jsonl"}
    assert completed(bash, tmp_path, "kalmap", "completion", "fi") == {"fish"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_scripts_name_every_command_and_option(script, shell):
    text = script(shell)
    [commands] = [action for action in parser()._actions if action.choices]
    assert len(commands.choices) > 5
    for name, command in commands.choices.items():
        assert name in text
        for option in command._option_string_actions:
            assert option.lstrip("-") in text
