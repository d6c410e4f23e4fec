"""How built-in profiles do on readings: simulated ones, or those of files.

    python -m benchmarks.built_in_profiles
    python -m benchmarks.built_in_profiles glucose-cgm cgm.csv
    python -m benchmarks.built_in_profiles glucose-fingerstick cgm.csv --thin 5

The table is that of `kalmap tune`, for users that nothing was fitted to: the next readings by the
last value, by Holt's trend, by a profile that `kalmap tune` fits to the other users, and by the
built-in one. With --thin, so many readings of each day are kept, at random times from 6 to 23
o'clock, with the error of a meter that ISO 15197:2013 allows: a standard deviation of 7.5 %.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.trials.quantities import SIMULATED, Readings
from kalmap.filter.model import MICROSECONDS_PER_DAY
from kalmap.profile import Profile, builtin_profile
from kalmap.readings import UNKNOWN_SOURCE
from kalmap_cli.commands.tune import read_users
from kalmap_cli.input_files import understand_file
from kalmap_cli.inputs import as_input
from kalmap_cli.own_files.said import Said
from kalmap_cli.tuning.fit import fit
from kalmap_cli.tuning.trial import compare, table
from kalmap_cli.tuning.users import Users

_USERS, _SEED = 150, 1
_SHARE = 0.5
_METER = 0.075


def users_of(readings: Readings, profile: Profile) -> Users:
    """Simulated readings, with the commonest of the profile's sources."""
    counts = np.array([len(each) for each in readings if each])
    days, value = np.concatenate([np.array(each) for each in readings if each]).T
    source = profile.source_code("scale") if "scale" in profile.sources else UNKNOWN_SOURCE
    time = np.round((20_000.0 + days) * MICROSECONDS_PER_DAY).astype(np.int64)
    return Users(counts, time, value, np.full(value.size, source, np.uint8))


def thinned(users: Users, a_day: int) -> Users:
    """A few readings of each day, with a meter's error."""
    random = np.random.default_rng(_SEED)
    day, hour = np.divmod(users.time / MICROSECONDS_PER_DAY, 1.0)
    order = random.permutation(np.flatnonzero((hour > 0.25) & (hour < 0.96)))
    taken: dict[tuple[int, int], int] = {}
    keep = np.zeros(users.value.size, np.bool_)
    for row in order.tolist():
        key = (int(users.owner[row]), int(day[row]))
        taken[key] = taken.get(key, 0) + 1
        keep[row] = taken[key] <= a_day
    kept = users.where(keep)
    return kept._replace(
        value=np.round(kept.value * (1.0 + _METER * random.standard_normal(kept.value.size)))
    )


def tried(profile: Profile, users: Users) -> list[str]:
    """The table's lines."""
    seen, others = users.split(_SHARE)
    tuned = msgspec.structs.replace(fit(profile, seen, lambda _: None).profile, name="tuned")
    trial = compare(tuned, profile, seen, others)
    about = f"{profile.name}: {others.value.size:,} readings of {others.counts.size} users"
    return [about, *table(trial.scores)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", nargs="?")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--thin", type=int)
    given = parser.parse_args(arguments)
    if not given.files:
        for name in [given.profile] if given.profile else SIMULATED:
            profile = builtin_profile(name)
            print("\n".join(tried(profile, users_of(SIMULATED[name](_USERS, _SEED), profile))))
        return
    profile = builtin_profile(given.profile)
    inputs = [as_input(file) for file in given.files]
    formats = {each: understand_file(each, Said(), given.profile).format for each in inputs}
    users = read_users(profile, formats)
    print("\n".join(tried(profile, thinned(users, given.thin) if given.thin else users)))


if __name__ == "__main__":
    main()
