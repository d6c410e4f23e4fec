"""Several files of one batch: they are read by one mapping."""

import json
from collections.abc import Sequence

import msgspec

from kalmap.records.mapping import Mapping
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.understand import Understood


def common_mapping(files: Sequence[Understood]) -> Mapping | None:
    """The mapping of all files; None if all have kalmap's own formats.

    Raises:
        WrongUsage: They differ. The sentence names two files and what differs.
    """
    if any(file.mapping and file.mapping.skip_empty for file in files):
        # Whether rows without a value occur in a file's sample is chance.
        files = [_skipping_empty(file) for file in files]
    first = files[0]
    for other in files[1:]:
        if other.mapping == first.mapping:
            continue
        names = f"{first.sample.file} and {other.sample.file}"
        advice = "Run them one after the other, older readings first."
        if first.mapping is None or other.mapping is None:
            own = first if first.mapping is None else other
            raise WrongUsage(
                f"{names} have different forms: {own.sample.file} is {own.form}, and the "
                f"other is not. {advice}"
            )
        one, two = msgspec.to_builtins(first.mapping), msgspec.to_builtins(other.mapping)
        differing = next(name for name in {**one, **two} if one.get(name) != two.get(name))
        raise WrongUsage(
            f"{names} have different forms: {differing} is {_shown(one.get(differing))} in one "
            f"and {_shown(two.get(differing))} in the other. {advice}"
        )
    return first.mapping


def _shown(value: object) -> str:
    return "not given" if value is None else json.dumps(value, ensure_ascii=False)


def _skipping_empty(file: Understood) -> Understood:
    if file.mapping is None:
        return file
    return file._replace(mapping=msgspec.structs.replace(file.mapping, skip_empty=True))
