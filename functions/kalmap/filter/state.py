"""A stored state, looked at: estimates, predictions, a readable view."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap.errors import InvalidInput
from kalmap.filter import algebra, codec, cohort, gate
from kalmap.filter.algebra import Estimate
from kalmap.filter.columns import REASON_BITS, Decoded, Recovery
from kalmap.filter.model import MICROSECONDS_PER_DAY, transition
from kalmap.profile import Profile, digest
from kalmap.readings import F64, I64


class StateView(msgspec.Struct, frozen=True, kw_only=True):
    """One user's state in readable fields; `u` is the profile's unit."""

    profile_digest: str
    """Hexadecimal digest of the profile the state was folded under."""
    level: float
    """u, after the newest reading."""
    level_sd: float
    slope: float
    """u/day."""
    slope_sd: float
    as_of: int
    """Time of the newest stored reading, microseconds since 1970 UTC."""
    window: int
    """Readings in the window."""
    rejected: int
    """Those of them that are not believed."""
    checkpoint_time: int | None
    """Time of the last reading absorbed; readings up to its key come too late. None: none yet."""
    checkpoint_level: float | None
    candidate_level: float | None
    """Level that rejected readings agree on so far; None where there is none."""
    candidate_readings: int


class Settled(NamedTuple):
    """Estimates of users at their newest stored reading; arrays (users,) or (5, users)."""

    estimate: F64
    """Level, slope, p00, p01, p11."""
    as_of: I64
    recovery: Recovery
    state: Decoded


def settle(profile: Profile, bodies: Sequence[bytes]) -> Settled:
    """The estimates of stored states, whatever profile they were folded under.

    Raises:
        InvalidInput: A body is not a sound state.
    """
    state = codec.decode(bodies, digest(profile), adopt=True)
    broken = np.flatnonzero(state.failure)
    if broken.size:
        raise InvalidInput(
            f"The stored state at position {broken[0]} is not sound: it was cut off or altered."
        )
    rule = gate.rules(profile)
    everyone = np.arange(len(bodies))
    with np.errstate(all="ignore"):
        path = cohort.filtered(
            profile, rule, state, everyone, state.counts, state.entries, state.counts
        )
    ends = np.cumsum(state.counts) - 1
    return Settled(
        path.estimate[:, path.place[ends]], state.entries.time[ends], path.recovery, state
    )


def predict(profile: Profile, body: bytes, at: int) -> tuple[float, float, float]:
    """Level, its standard deviation and the slope expected at a time.

    Args:
        profile: The model; the one the state was folded under.
        body: A stored state.
        at: Microseconds since 1970 UTC, not before the state's newest reading.

    Returns:
        (level, level_sd, slope) in the profile's unit, slope per day.

    Raises:
        InvalidInput: The body is not a sound state, or `at` lies before its newest reading.
    """
    settled = settle(profile, [body])
    gap = at - int(settled.as_of[0])
    if gap < 0:
        raise InvalidInput("A prediction is for a time at or after the state's newest reading.")
    step = transition(profile, np.array([gap / MICROSECONDS_PER_DAY]))
    predicted = algebra.predict(Estimate[F64](*settled.estimate), step)
    level_sd = np.sqrt(predicted.p00)
    return float(predicted.level[0]), float(level_sd[0]), float(predicted.slope[0])


def describe(body: bytes, profile: Profile) -> StateView:
    """A stored state in readable fields, folded to its newest reading.

    Args:
        body: The state.
        profile: The model, normally the one the state was folded under.

    Raises:
        InvalidInput: The body is not a sound state.
    """
    settled = settle(profile, [body])
    level, slope, p00, _, p11 = settled.estimate[:, 0].tolist()
    start, entries = settled.state.checkpoints, settled.state.entries
    exists = bool(start.exists[0])
    agreeing = int(settled.recovery.agreeing[0])
    return StateView(
        profile_digest=codec.digest_of(body).hex(),
        level=level,
        level_sd=float(np.sqrt(p00)),
        slope=slope,
        slope_sd=float(np.sqrt(p11)),
        as_of=int(settled.as_of[0]),
        window=entries.time.size,
        rejected=int(np.count_nonzero(entries.mark & REASON_BITS)),
        checkpoint_time=int(start.time[0]) if exists else None,
        checkpoint_level=float(start.estimate[0, 0]) if exists else None,
        candidate_level=float(settled.recovery.candidate[0, 0]) if agreeing else None,
        candidate_readings=agreeing,
    )
