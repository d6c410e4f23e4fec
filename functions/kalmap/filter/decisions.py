"""Decisions: what the fold decided and estimated for each reading, as columns."""

from typing import NamedTuple

import numpy as np

from kalmap.outcome import Reason, Status
from kalmap.readings import F64, I64, U8, Bool

_STATUS = np.full(256, Status.REJECTED, np.uint8)
_STATUS[Reason.NONE] = Status.ACCEPTED
_STATUS[Reason.DUPLICATE] = Status.DUPLICATE
_STATUS[[Reason.CORRUPT_STATE, Reason.PROFILE_CHANGED, Reason.USER_FAILED]] = Status.FAILED


class Decisions(NamedTuple):
    """Decisions and estimates of readings; arrays of shape (readings,).

    Estimates are NaN where the reading was never folded.
    """

    status: U8
    """Codes of outcome.Status."""
    reason: U8
    """Codes of outcome.Reason."""
    level: F64
    """Level after the reading, in the profile's unit."""
    level_sd: F64
    slope: F64
    """Per day."""
    predicted: F64
    """Level expected before the reading; NaN, with innovation and nis, for a user's first."""
    innovation: F64
    nis: F64
    quality: F64
    """Probability that the reading is right."""
    restarted: Bool
    """The level jumped here, or another hypothesis became the likeliest."""

    @property
    def reported(self) -> tuple[F64, ...]:
        """The estimates that a result line reports, in its order."""
        return (
            self.level, self.level_sd, self.slope, self.predicted, self.innovation, self.nis,
            self.quality,
        )  # fmt: skip

    def select(self, readings: slice | I64) -> "Decisions":
        """The decisions about these readings; with a slice, a view."""
        return Decisions._make(column[readings] for column in self)

    def clear(self, readings: slice | I64) -> None:
        """Set the estimates of these readings to NaN: they were not folded."""
        for column in self.reported:
            column[readings] = np.nan
        self.restarted[readings] = False

    def derive_status(self) -> None:
        """Set each status from the reason."""
        # Most reasons are 0 or a rejection's: the table is for the few others.
        np.minimum(self.reason, np.uint8(Status.REJECTED), out=self.status)
        others = np.flatnonzero(self.reason >= Reason.DUPLICATE)
        self.status[others] = _STATUS[self.reason[others]]


def allocate_decisions(readings: int) -> Decisions:
    """Decisions about any content."""
    status, reason = np.empty((2, readings), np.uint8)
    level, level_sd, slope, predicted, innovation, nis, quality = (
        np.empty(readings) for _ in range(7)
    )
    restarted = np.empty(readings, np.bool_)
    return Decisions(
        status, reason, level, level_sd, slope, predicted, innovation, nis, quality, restarted
    )


def failed_decisions(readings: int, reason: Reason) -> Decisions:
    """Decisions about readings whose user or shard could not be processed."""
    decisions = allocate_decisions(readings)
    decisions.clear(slice(None))
    decisions.reason[:] = reason
    decisions.status[:] = Status.FAILED
    return decisions
