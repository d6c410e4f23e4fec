"""A profile in another unit of the same kind."""

import msgspec

from kalmap import units
from kalmap.profile import Population, Profile, load_profile


def in_unit(profile: Profile, unit: str) -> Profile:
    """The same profile, with its numbers in another unit; four digits remain of each.

    Raises:
        InvalidProfile: The unit is none that a profile can have.
    """
    conversion = units.conversion(profile.unit, unit)
    assert conversion is not None, "the unit is of another kind"
    factor, offset = conversion

    def size(value: float | None) -> float | None:
        """A difference of values."""
        return None if value is None else float(f"{value * factor:.4g}")

    def place(value: float | None) -> float | None:
        return None if value is None else float(f"{value * factor + offset:.4g}")

    population = profile.population
    converted = msgspec.structs.replace(
        profile,
        unit=unit,
        range=tuple(place(end) for end in profile.range),
        **{
            name: size(getattr(profile, name))
            for name in ("level_noise", "slope_noise", "slope_prior", "measurement_noise")
        },
        biases={name: size(value) for name, value in profile.biases.items()},
        rhythm=msgspec.structs.replace(
            profile.rhythm,
            daily=tuple(size(value) for value in profile.rhythm.daily),
            weekly=tuple(size(value) for value in profile.rhythm.weekly),
        ),
        population=Population(
            place(population.level_mean),
            size(population.level_sd),
            size(population.slope_mean) or 0.0,
        ),
        jumps=msgspec.structs.replace(profile.jumps, sd=size(profile.jumps.sd)),
    )
    return load_profile(msgspec.to_builtins(converted))
