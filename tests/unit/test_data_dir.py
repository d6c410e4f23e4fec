"""The data directory: what `fresh` sets aside comes back, unless it is deleted."""

import os
import shutil
from contextlib import suppress

import pytest

from kalmap_cli.errors import Damaged, RunFailed, WrongUsage
from kalmap_cli.local.data_dir import DataDirectory


@pytest.fixture
def used(tmp_path):
    """A data directory with something in it."""
    with DataDirectory(tmp_path / "data") as data:
        (data.cloud / "s3" / "kept").write_text("earlier")
    return tmp_path / "data"


def stored(directory):
    with DataDirectory(directory) as data:
        return [path.read_text() for path in (data.cloud / "s3").iterdir()]


def test_fresh_starts_empty_and_restores_the_earlier_data(used):
    with DataDirectory(used, fresh=True) as data:
        assert list((data.cloud / "s3").iterdir()) == []
        (data.cloud / "s3" / "new").write_text("never accepted")
    assert stored(used) == ["earlier"]


def test_fresh_deletes_the_earlier_data_only_on_request(used):
    with DataDirectory(used, fresh=True) as data:
        (data.cloud / "s3" / "new").write_text("accepted")
        data.delete_set_aside()
        data.delete_set_aside()
    assert stored(used) == ["accepted"]
    assert sorted(path.name for path in used.iterdir()) == ["cloud", "kalmap.json", "lock"]


@pytest.mark.parametrize("call", range(1, 12))
def test_a_kill_between_any_two_steps_of_fresh_leaves_the_earlier_or_the_new(
    used, monkeypatch, call
):
    class Killed(BaseException):
        pass

    def killing(inner):
        def step(*arguments, **named):
            nonlocal call
            call -= 1
            if call == 0:
                raise Killed
            return inner(*arguments, **named)

        return step

    data = DataDirectory(used, fresh=True)
    accepted = False
    with monkeypatch.context() as patch, suppress(Killed):
        for name in ("rename", "mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, killing(getattr(os, name)))
        data.__enter__()
        (data.cloud / "s3" / "new").write_text("accepted")
        accepted = True
        data.delete_set_aside()
    data._release()
    assert stored(used) in ([["earlier"], ["accepted"]] if accepted else [["earlier"]])


def test_a_directory_that_was_replaced_is_noticed_and_not_touched(used, tmp_path):
    data = DataDirectory(used).__enter__()
    assert not data.was_replaced
    used.rename(tmp_path / "moved")
    assert data.was_replaced
    shutil.copytree(tmp_path / "moved", used)
    assert data.was_replaced
    (used / "cloud" / "tmp").mkdir(exist_ok=True)
    with pytest.raises(RunFailed, match="was removed or replaced"):
        data.__exit__(None, None, None)
    assert (used / "cloud" / "tmp").exists()


@pytest.mark.parametrize("content", ["", "garbage", "[]", "{}", '{"kalmap_data_directory": "x"}'])
def test_a_damaged_format_file_is_refused_and_not_changed(used, content):
    (used / "kalmap.json").write_text(content)
    with pytest.raises(Damaged, match="kalmap"):
        DataDirectory(used).__enter__()
    assert (used / "kalmap.json").read_text() == content


def test_a_kill_before_the_format_file_was_written_leaves_a_directory_that_can_be_used(tmp_path):
    (tmp_path / "lock").touch()
    assert stored(tmp_path) == []
    (tmp_path / "kalmap.json").unlink()
    with pytest.raises(WrongUsage, match="holds other files"):
        stored(tmp_path)


def test_a_directory_into_which_others_may_write_is_closed_to_them(tmp_path):
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(0o777)
    with DataDirectory(directory) as data:
        assert oct(directory.stat().st_mode & 0o777) == "0o755"
        assert oct(data.cloud.stat().st_mode & 0o777) == "0o700"


def test_a_directory_that_holds_other_things_keeps_its_mode(tmp_path):
    (tmp_path / "other").touch()
    tmp_path.chmod(0o1777)
    with pytest.raises(WrongUsage, match="holds other files"):
        DataDirectory(tmp_path).__enter__()
    assert oct(tmp_path.stat().st_mode & 0o7777) == "0o1777"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_a_directory_of_another_user_is_refused(tmp_path, mode):
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(mode)
    os.chown(directory, 65534, 65534)
    with pytest.raises(WrongUsage, match="belongs to another user"):
        DataDirectory(directory).__enter__()
    assert list(directory.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("name", ["lock", "cloud"])
def test_files_of_another_user_in_an_open_directory_are_refused(used, tmp_path, name):
    ours = tmp_path / "ours"
    ours.write_text("precious")
    used.chmod(0o777)
    (used / name).rename(tmp_path / name)
    (used / name).symlink_to(ours)
    os.lchown(used / name, 65534, 65534)
    with pytest.raises(WrongUsage, match=f"{name} belongs to another user"):
        DataDirectory(used).__enter__()
    assert ours.read_text() == "precious"
    (used / name).unlink()
    (tmp_path / name).rename(used / name)
    assert stored(used) == ["earlier"]
