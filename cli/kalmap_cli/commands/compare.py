"""`kalmap compare`: which stored levels and decisions new states would change, and by how much."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from kalmap.plural import counted
from kalmap.store.ports import StateStore
from kalmap.store.profiles import Profiles
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.file_names import shortened
from kalmap_cli.listed_batches import find_batch
from kalmap_cli.operations.state_comparison import (
    Comparison,
    Pair,
    compare_states,
    quantiles,
)
from kalmap_cli.operations.written_states import attempts_of
from kalmap_cli.output_files import check_outputs, check_outside_data_directory, open_output
from kalmap_cli.screen import SHORT_ID
from kalmap_cli.state_export import read_export
from kalmap_cli.text_table import aligned

#: Users and kinds of decisions that are named.
_MOST = 10
_BLOCK = 5000


class _New(NamedTuple):
    """The new states."""

    profile: str
    states: list[tuple[str, bytes]]
    """Users with their states."""


def compare(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Compare new states with the stored ones. Nothing is written to them.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Raises:
        WrongUsage: There is no such batch or file, or it has no states.
    """
    out = arguments.out
    check_outside_data_directory(out, data_dir)
    if out is not None:
        check_outputs({"--out": out}, replace=arguments.replace)
    with open_deployment(None, data_dir, stack) as deployment:
        profiles, store = Profiles(deployment.objects), deployment.states
        result = Comparison()
        for new in _new_states(deployment, arguments.new):
            stored = arguments.against or new.profile
            pairs = _pairs(new, stored, store)
            compare_states(pairs, profiles, stored=stored, new=new.profile, into=result)
    result.users.sort(key=lambda user: -user.change_in_sd)
    if out is not None:
        with open_output(out) as file:
            file.write(msgspec.json.Encoder().encode_lines(result.users))
    for line in _report(result):
        print(line)
    return DONE


def _new_states(deployment: Deployment, named: str) -> list[_New]:
    if _is_file(named, deployment.options):
        by_profile: dict[str, list[tuple[str, bytes]]] = {}
        for profile, change in read_export(Path(named)):
            by_profile.setdefault(profile, []).append((change.user, change.body))
        return [_New(profile, states) for profile, states in by_profile.items()]
    record = find_batch(deployment, named)
    attempts = attempts_of(deployment.objects, record.batch_id)
    if not attempts or not attempts[0].shards:
        raise WrongUsage(
            f"Batch {record.batch_id[:SHORT_ID]} has no new states, or they are no longer stored."
        )
    newest = attempts[0]
    states: dict[str, bytes] = {}
    # The last round's is a user's last state.
    for round_, shard in newest.shards:
        for change in newest.folder.changes(round_, shard):
            states.setdefault(change.user, change.body)
    return [_New(newest.batch.profile.name, list(states.items()))]


def _is_file(named: str, options: str) -> bool:
    """Whether this is a file.

    Args:
        named: What the user has named.
        options: Of the deployment.

    Raises:
        WrongUsage: It looks like one, and there is none.
    """
    path = Path(named)
    try:
        if path.is_file():
            return True
        looks_so = path.is_dir() or path.suffix != "" or len(path.parts) > 1
    except OSError:
        looks_so = True
    if looks_so:
        raise WrongUsage(
            f"There is no file {shortened(named)}. Check the path, or name a batch: "
            f"`kalmap status{options}` lists all batches."
        )
    return False


def _pairs(new: _New, stored: str, store: StateStore) -> Iterator[Pair]:
    for start in range(0, len(new.states), _BLOCK):
        block = new.states[start : start + _BLOCK]
        present = store.load(stored, [user for user, _ in block]).states
        for user, body in block:
            state = present.get(user)
            yield Pair(user, None if state is None else state.body, body)


def _report(result: Comparison) -> Iterator[str]:
    yield f"the same                {counted(result.same, 'user')}"
    yield (
        f"compared                {counted(result.compared, 'user')}, "
        f"{counted(result.readings, 'reading')} of their windows"
    )
    for count, why in (
        (result.not_stored, "without a stored state"),
        (result.other_reading, "another newest reading stored: run the same input for both"),
        (result.unreadable, "damaged, or of a profile that is not stored here"),
    ):
        if count:
            yield f"not compared            {counted(count, 'user')}: {why}"
    changed = sum(result.decisions.values())
    yield (
        f"decisions that change   {counted(changed, 'reading')} of "
        f"{counted(result.users_with_other_decisions, 'user')}"
    )
    for (stored, new), count in result.decisions.most_common(_MOST):
        yield f"  {count:>7,}  {stored} → {new}"
    if shares := quantiles(result):
        middle, most, largest = shares.values()
        yield (
            f"levels that move        half of the users below {middle:.2g} sd, 95 % below "
            f"{most:.2g} sd, at most {largest:.2g} sd"
        )
    if result.users:
        yield from _table(result)


def _table(result: Comparison) -> Iterator[str]:
    rows = [("user", "stored", "± sd", "new", "± sd", "change", "in sd", "decisions")]
    rows += [
        (
            shortened(user.user_id),
            f"{user.stored_level:.4g}",
            f"{user.stored_sd:.2g}",
            f"{user.new_level:.4g}",
            f"{user.new_sd:.2g}",
            f"{user.change:+.2g}",
            f"{user.change_in_sd:.2g}",
            str(len(user.decisions) or ""),
        )
        for user in result.users[:_MOST]
    ]
    yield ""
    yield from aligned(rows, range(1, len(rows[0])))
    if len(result.users) > _MOST:
        yield f"{len(result.users) - _MOST:,} more users with a change: --out FILE has all."
