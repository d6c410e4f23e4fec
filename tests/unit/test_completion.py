"""`kalmap completion` prints scripts that complete commands, options and names of files."""

import os
import shutil
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


LINES = {
    "kalmap stat": {"status", "states"},
    "kalmap run --wr": {"--write-mode"},
    "kalmap run --profile wei": {"weights.jsonl"},
    "kalmap completion fi": {"fish"},
}


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_commands_options_and_files(script, tmp_path):
    (tmp_path / "weights.jsonl").touch()
    (tmp_path / "script").write_text(script("fish"))
    for line, words in LINES.items():
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source script; complete -C '{line}'"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )  # fmt: skip
        assert {row.split("\t")[0] for row in done.stdout.splitlines()} == words


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes_commands_options_and_files(script, tmp_path):
    (tmp_path / "weights.jsonl").touch()
    (tmp_path / "script").write_text(script("zsh"))
    typed = "\n".join(
        f"zpty -w -n z $'{line}\\t'; zpty -r -m z out '*{min(words)}*'; zpty -w -n z $'\\x15'"
        for line, words in LINES.items()
        if len(words) == 1
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", f"""
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z 'PS1=; autoload -Uz compinit; compinit -u -D; eval "$(cat script)"; echo rea""dy'
        zpty -r -m z out '*ready*'
        {typed}
        print completed
        """],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "completed\n"
