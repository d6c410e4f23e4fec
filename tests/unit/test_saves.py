"""Saves and the log between them: complete or absent, and damage is named."""

import errno
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from kalmap_cli.errors import Damaged, WrongUsage
from kalmap_cli.local import change_log, saves
from kalmap_cli.local.change_log import ChangeLog

FIRST = [("services.tsv", b"one " * 900), ("lambda-blobs/a.zip", b"code" * 700)]
SECOND = [("services.tsv", b"two " * 900), ("lambda-blobs/b.zip", b"new code" * 700)]
RECORDS = [[f"user {number}", number] for number in range(200)]


class Filling:
    """The os module, of which call number `fails` that writes finds the disk full."""

    WRITING = frozenset({"open", "write", "pwrite", "fsync", "mkdir", "rename"})

    def __init__(self, fails):
        self.fails = fails
        self.calls = 0

    def __getattr__(self, name):
        inner = getattr(os, name)
        return self.counted(inner) if name in self.WRITING else inner

    def counted(self, inner):
        def call(*arguments, **named):
            self.calls += 1
            if self.calls == self.fails:
                if inner in (os.write, os.pwrite):
                    # Full in the middle.
                    inner(arguments[0], arguments[1][:5], *arguments[2:])
                raise OSError(errno.ENOSPC, "No space left on device")
            return inner(*arguments, **named)

        return call


def fill_at(monkeypatch, fails):
    filling = Filling(fails)
    for module in (saves, change_log):
        monkeypatch.setattr(module, "os", filling)
    # Folders are made and renamed by pathlib.
    for name in ("mkdir", "rename"):
        monkeypatch.setattr(Path, name, filling.counted(getattr(Path, name)))
    return filling


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def log_of(cloud, records):
    """Begin the next file of the log and write records to it."""
    numbers = change_log.log_numbers(cloud)
    before = change_log.read_log(change_log.log_path(cloud, numbers[-1])) if numbers else None
    log = ChangeLog(
        cloud, (numbers or [0])[-1] + 1, (before.size, before.checksum) if before else (0, 0)
    )
    for record in records:
        log.append(record)
    return log


@pytest.fixture
def cloud(tmp_path):
    """Two saves with logs before and after each, as two commands leave them."""
    cloud = tmp_path / "data" / "cloud"
    cloud.mkdir(parents=True)
    log_of(cloud, []).close()
    for files, records in ((FIRST, RECORDS), (SECOND, RECORDS[:50])):
        log = log_of(cloud, records)
        saves.write(cloud, files, log.number)
        log.close()
    return cloud


def test_the_newest_save_and_its_log_have_everything(cloud):
    newest = saves.newest(cloud)
    assert files_of(newest.folder) == dict(SECOND)
    (since,) = change_log.read_since(cloud, newest.first_log)
    assert since.records == RECORDS[:50]


def test_the_save_before_and_the_log_have_everything_that_the_newest_has(cloud):
    shutil.rmtree(saves.newest(cloud).folder)
    before = saves.newest(cloud)
    assert files_of(before.folder) == dict(FIRST)
    logged = [content.records for content in change_log.read_since(cloud, before.first_log)]
    assert logged == [RECORDS, RECORDS[:50]]


def test_older_saves_and_logs_are_removed(cloud):
    for _ in range(4):
        log = log_of(cloud, RECORDS)
        saves.write(cloud, SECOND, log.number)
        log.close()
    assert [path.name for path in sorted((cloud / "saves").iterdir())] == ["000005", "000006"]
    assert change_log.log_numbers(cloud) == [6, 7]
    shutil.rmtree(saves.newest(cloud).folder)
    assert saves.newest(cloud).number == 5


def test_a_disk_that_fills_up_at_any_write_of_a_save_leaves_the_one_before(cloud, monkeypatch):
    before = files_of(saves.newest(cloud).folder)
    third = [("services.tsv", b"three " * 500_000)]
    fails = 0
    while True:
        fails += 1
        with monkeypatch.context() as patch:
            filling = fill_at(patch, fails)
            with suppress(OSError):
                # A few records: each is the same write again.
                log = log_of(cloud, RECORDS[:3])
                saves.write(cloud, third, log.number)
            if filling.calls < fails:
                break
        newest = saves.newest(cloud)
        # Only making the name of a whole save durable comes after its rename.
        assert files_of(newest.folder) in (before, dict(third))
        assert not list((cloud / "saves").glob("*.part"))
    assert fails > 10
    assert files_of(saves.newest(cloud).folder) == dict(third)


def test_a_kill_in_the_middle_of_a_save_leaves_the_one_before(cloud):
    before = saves.newest(cloud)
    half = cloud / "saves" / "000003.part"
    half.mkdir()
    (half / "services.tsv").write_bytes(b"tw")
    assert saves.newest(cloud) == before
    assert saves.write(cloud, SECOND, before.first_log).number == 3
    assert files_of(cloud / "saves" / "000003") == dict(SECOND)


def changes_of(folder):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def lengthen(path):
    os.truncate(path, path.stat().st_size + 1000)


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, lengthen, flip_bit, Path.unlink])
def test_damage_in_any_file_of_a_save_is_reported_with_a_command_that_works(cloud, damage):
    undamaged = cloud.parent.with_name("whole")
    shutil.copytree(cloud.parent, undamaged)
    newest = saves.newest(cloud).folder
    names = [path.relative_to(cloud) for path in newest.rglob("*") if path.is_file()]
    assert len(names) == 3
    for name in names:
        shutil.rmtree(cloud.parent)
        shutil.copytree(undamaged, cloud.parent)
        damage(cloud / name)
        as_it_was = changes_of(cloud)
        with pytest.raises(Damaged) as refused:
            saves.newest(cloud)
        assert str(cloud / name) in str(refused.value)
        assert changes_of(cloud) == as_it_was
        _, _, command = str(refused.value).partition("mv ")
        moved, aside = command.strip("'").split("' '")
        Path(moved).rename(aside)
        assert files_of(saves.newest(cloud).folder) == dict(FIRST)


@pytest.mark.parametrize("damage", [truncate, flip_bit, Path.unlink])
def test_damage_of_a_log_that_is_needed_is_named(cloud, damage):
    # The last file may end anywhere; one before it may not.
    log_of(cloud, []).close()
    path = change_log.log_path(cloud, 3)
    damage(path)
    with pytest.raises(Damaged, match=str(path)):
        saves.newest(cloud)


def test_damage_within_the_last_log_is_no_torn_end(cloud):
    path = change_log.log_path(cloud, 3)
    flip_bit(path)
    with pytest.raises(Damaged, match=rf"{path} is damaged: its line \d+ is not what was written"):
        saves.newest(cloud)


def test_lines_of_another_log_or_twice_the_same_are_no_log(cloud):
    *_, other, path = (
        change_log.log_path(cloud, number) for number in change_log.log_numbers(cloud)
    )
    complete = path.read_bytes()
    for content, sentence in (
        (other.read_bytes(), "its first line is not what was written"),
        (
            b"".join(complete.splitlines(keepends=True)[1:]),
            "its first line is not what was written",
        ),
        (complete * 2, "has two first lines"),
    ):
        path.write_bytes(content)
        with pytest.raises(Damaged, match=sentence):
            saves.newest(cloud)


def test_two_damaged_saves_are_refused_without_a_command_that_loses_states(cloud):
    for path in cloud.rglob("services.tsv"):
        truncate(path)
    with pytest.raises(Damaged, match="There is no other complete save"):
        saves.newest(cloud)


def test_a_folder_without_a_save_and_without_log_entries_is_new(tmp_path):
    (tmp_path / "s3" / "000000000000" / "kalmap-artifacts").mkdir(parents=True)
    for number in (1, 2):
        ChangeLog(tmp_path, number).close()
    assert saves.newest(tmp_path) is None
    log = ChangeLog(tmp_path, 3)
    log.append([["table", "a", "", {"level": {"N": "1"}}]])
    log.close()
    with pytest.raises(Damaged, match="All saves are missing"):
        saves.newest(tmp_path)


def test_missing_saves_are_reported(cloud):
    shutil.rmtree(cloud / "saves")
    with pytest.raises(Damaged, match="All saves are missing"):
        saves.newest(cloud)
    shutil.rmtree(cloud / "changes")
    (cloud / "s3" / ".versions").mkdir(parents=True)
    assert saves.newest(cloud) is None
    (cloud / "s3" / "000000000000" / "bucket").mkdir(parents=True)
    with pytest.raises(Damaged, match="the log of changes is missing, too"):
        saves.newest(cloud)


def test_a_save_of_a_newer_format_is_refused(cloud, monkeypatch):
    monkeypatch.setattr(saves, "_FORMAT", 2)
    saves.write(cloud, SECOND, 3)
    monkeypatch.undo()
    with pytest.raises(WrongUsage, match="has format 2, and this kalmap knows format 1") as refused:
        saves.newest(cloud)
    assert "mv " not in str(refused.value)


def test_a_last_line_torn_anywhere_does_not_count_and_all_before_it_do(tmp_path):
    log = ChangeLog(tmp_path, 1)
    log.append(RECORDS[0])
    full_size = log.size
    log.append(RECORDS[1])
    log.close()
    path = change_log.log_path(tmp_path, 1)
    content = path.read_bytes()
    for size in range(full_size, len(content)):
        path.write_bytes(content[:size])
        assert change_log.read_log(path).records == RECORDS[:1]
        assert change_log.read_log(path).size == full_size
    path.write_bytes(content)
    assert change_log.read_log(path).records == RECORDS[:2]


def test_a_torn_log_is_continued_and_stays_readable(tmp_path):
    log_of(tmp_path, RECORDS[:3]).close()
    with change_log.log_path(tmp_path, 1).open("ab") as file:
        file.write(b'1234abcd ["torn')
    log_of(tmp_path, RECORDS[3:5]).close()
    # Killed once more, while the next file was made.
    change_log.log_path(tmp_path, 3).write_bytes(b"0123")
    logged = [content.records for content in change_log.read_since(tmp_path, 1)]
    assert logged == [RECORDS[:3], RECORDS[3:5]]


def test_a_change_that_finds_the_disk_full_is_not_in_the_log_and_the_next_one_is(
    tmp_path, monkeypatch
):
    log = ChangeLog(tmp_path, 1)
    log.append(RECORDS[0])
    with monkeypatch.context() as patch:
        fill_at(patch, 1)
        with pytest.raises(OSError, match="No space left"):
            log.append(RECORDS[1])
    log.append(RECORDS[2])
    assert change_log.read_log(change_log.log_path(tmp_path, 1)).records == [RECORDS[0], RECORDS[2]]


def test_a_log_that_was_removed_takes_no_more_changes(tmp_path):
    log = ChangeLog(tmp_path, 1)
    change_log.log_path(tmp_path, 1).unlink()
    with pytest.raises(FileNotFoundError):
        log.append(RECORDS[0])


def test_a_directory_of_format_1_is_a_save_as_long_as_its_tables_are_whole(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    assert saves.newest(tmp_path) is None
    for name in ("dynamodb", "s3"):
        (folder / f"{name}.json").write_text(json.dumps({"payload": {"tables": list(range(99))}}))
    assert saves.newest(tmp_path).folder == folder
    for name in ("dynamodb", "s3"):
        content = (folder / f"{name}.json").read_bytes()
        truncate(folder / f"{name}.json")
        with pytest.raises(Damaged, match=f"{name}.json is damaged"):
            saves.newest(tmp_path)
        (folder / f"{name}.json").write_bytes(content)
    (folder / "dynamodb.json").unlink()
    with pytest.raises(Damaged, match=r"dynamodb\.json is missing"):
        saves.newest(tmp_path)
