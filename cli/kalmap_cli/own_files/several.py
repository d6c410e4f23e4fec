"""Several files of one batch: those of other programs are read by one mapping."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kalmap.errors import UnknownFormat
from kalmap.records.formats import detect_format
from kalmap.records.mapping import Mapping
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.understand import Understood, describe

#: Files that are named in a command.
_NAMED = 4


def common_mapping(files: Sequence[Understood], said: Said) -> Mapping | None:
    """The mapping of all files that need one; None if all have kalmap's own formats.

    Raises:
        WrongUsage: They need several. The sentence names two files, what differs, and the commands
            to type.
    """
    if any(file.mapping and file.mapping.skip_empty for file in files):
        # Whether rows without a value occur in a file's sample is chance.
        files = [_skipping_empty(file) for file in files]
    mapped = [file for file in files if file.mapping is not None]
    if not mapped:
        return None
    first = mapped[0]
    for other in mapped:
        if other.mapping != first.mapping:
            raise _differ(first, other, files, said)
    for own in files:
        if own.mapping is None and not _is_read_as_its_own(own, first.mapping):
            raise _differ(own, first, files, said)
    return first.mapping


def _is_read_as_its_own(file: Understood, mapping: Mapping | None) -> bool:
    """Whether a batch with this mapping reads a file in kalmap's own format."""
    try:
        name, head, content = str(file.sample.file), file.sample.head, file.sample.as_table()
        return detect_format(name, head, mapping, content) == file.format
    except UnknownFormat:
        return False


def _differ(
    one: Understood, other: Understood, files: Sequence[Understood], said: Said
) -> WrongUsage:
    if one.mapping is None or other.mapping is None:
        what = f"{one.sample.file} is {one.form}, and the other would be read otherwise"
    else:
        first, second = msgspec.to_builtins(one.mapping), msgspec.to_builtins(other.mapping)
        name = next(name for name in {**first, **second} if first.get(name) != second.get(name))
        what = (
            f"{name} is {_shown(first.get(name))} in one and {_shown(second.get(name))} in the "
            "other"
        )
    groups: dict[bytes, list[Path]] = {}
    for file in files:
        groups.setdefault(msgspec.json.encode(file.mapping), []).append(file.sample.file)
    commands = " - then: ".join(
        said.again(names[0], {}, names[1:_NAMED]) + (" …" if len(names) > _NAMED else "")
        for names in groups.values()
    )
    return WrongUsage(
        f"{one.sample.file} and {other.sample.file} have different forms: {what}. Run them one "
        f"after the other, older readings first: {commands}"
    )


def _shown(value: object) -> str:
    return "not given" if value is None else json.dumps(value, ensure_ascii=False)


def _skipping_empty(file: Understood) -> Understood:
    if file.mapping is None:
        return file
    return file._replace(mapping=msgspec.structs.replace(file.mapping, skip_empty=True))


def describe_files(files: Sequence[Understood], *, own: bool = False) -> list[str]:
    """How files are read, as sentences. Files that are read alike are described once.

    Args:
        files: The files, in their order.
        own: Also describe those in kalmap's own formats.
    """
    alike: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        found = describe(file) or ([f"{file.sample.file} is {file.form}."] if own else [])
        name = str(file.sample.file)
        kind = tuple(sentence.removeprefix(name) for sentence in found)
        if kind:
            alike.setdefault(kind, []).append(file.sample.file)
    sentences: list[str] = []
    for (first, *others), names in alike.items():
        sentences.append(f"{names[0]}{first}")
        if len(names) == 2:
            sentences.append(f"{names[1]} is alike.")
        elif len(names) > 2:
            sentences.append(f"{len(names) - 1:,} more files are alike, to {names[-1]}.")
        sentences += others
    mapped = [file for file in files if file.mapping is not None]
    if mapped and len(mapped) < len(files) and not own:
        count = len(files) - len(mapped)
        verb = "1 file is" if count == 1 else f"{count:,} files are"
        sentences.append(f"{verb} in kalmap's own formats and read as they stand.")
    return sentences
