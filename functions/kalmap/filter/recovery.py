"""Recovery: how the filter restarts after the true level has jumped.

Rejected readings feed a recovery candidate: a second filter, started at a rejected reading.
Each further reading that passes the candidate's gate is folded into it. One that does not starts
a new candidate. An accepted reading ends it. When enough readings agree, the estimate becomes the
candidate's. The exception is a level that is the old one in another unit: there the unit is
wrong and not the level, unless the old level itself has too few readings behind it.

Candidates are computed lazily. A candidate matters only after `recovery` rejections in a row,
which is rare, so shorter runs are not tracked step by step. A checkpoint inside a run needs its
candidate too; `finish` computes those for all users at once.
"""

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import LEVEL, P00, Estimate, fits_in_another_unit
from kalmap.filter.columns import RESTARTED, Recovery
from kalmap.filter.packed import Inputs, Packing, Path
from kalmap.filter.parameters import Parameters
from kalmap.outcome import Reason
from kalmap.readings import F64, I64, U8, Bool


class Rejections:
    """The rejected readings of a vector pass, step after step, and the restarts they cause."""

    def __init__(
        self,
        parameters: Parameters,
        packing: Packing,
        inputs: Inputs,
        recovery: Recovery,
        path: Path,
    ) -> None:
        """Start before the first step.

        Args:
            parameters: The profile's numbers.
            packing: Where each step's readings are.
            inputs: The readings.
            recovery: Of each lane; follows the steps.
            path: Gets flags, restarted estimates, and recorded recoveries.
        """
        self._parameters, self._offsets = parameters, packing.offsets
        self._inputs, self._recovery, self._path = inputs, recovery, path
        self._longer = packing.longer
        self._needed = np.uint8(parameters.recovery)
        # Rejected readings in a row, at most one more than needed. The candidate is computed only
        # from `_needed` on, so lanes that start with a candidate start there.
        self._run = np.where(recovery.agreeing > 0, self._needed, np.uint8(0))
        self._running = self._followed = np.flatnonzero(recovery.agreeing)
        self._without_reason: list[I64] = []
        self._short_runs: list[tuple[I64, I64, U8]] = []

    def step(self, number: int, rejected: I64) -> None:
        """Process one step. For rejected readings the path already holds the prediction.

        Args:
            number: Of the step.
            rejected: Lanes whose reading was rejected, ascending.
        """
        run = np.minimum(self._run[rejected], self._needed) + np.uint8(1)
        self._run[self._running] = 0
        self._run[rejected] = run
        self._running = rejected
        if self._followed.size:
            accepted = self._run[self._followed] == 0
            self._recovery.clear(self._followed[accepted])
        long = run >= self._needed
        self._followed = rejected[long]
        if self._followed.size:
            self._follow(number)
            rejected = rejected[~long]
        self._without_reason.append(rejected + self._offsets[number])

    def _follow(self, number: int) -> None:
        """Advance the candidates of lanes that may be about to restart."""
        recovery, lanes = self._recovery, self._followed
        first = lanes[self._run[lanes] == self._needed]
        self._catch_up(recovery, first, np.full(first.size, number - 1), self._run[first] - 1)
        positions = lanes + self._offsets[number]
        flags, ready = self._advance(recovery, lanes, positions)
        self._path.flags[positions] = flags
        if ready.size:
            restarted = lanes[ready]
            self._path.estimate[:, positions[ready]] = recovery.candidate[:, restarted]
            recovery.support[restarted] = self._needed
            recovery.clear(restarted)

    def record(self, number: int, lanes: I64) -> None:
        """Record the recovery of these lanes as it is after step `number`."""
        recorded = self._path.recovery
        recorded.candidate[:, lanes] = self._recovery.candidate[:, lanes]
        recorded.agreeing[lanes] = self._recovery.agreeing[lanes]
        recorded.support[lanes] = self._recovery.support[lanes]
        run = self._run[lanes]
        short = np.flatnonzero((run > 0) & (run < self._needed))
        if short.size:
            self._short_runs.append((lanes[short], np.full(short.size, number), run[short]))

    def finish(self) -> None:
        """Compute, after the last step, the candidates and reasons that were deferred."""
        run = self._run[: self._longer]
        short = np.flatnonzero((run > 0) & (run < self._needed))
        last = self._offsets.size - 2
        self._catch_up(self._recovery, short, np.full(short.size, last), run[short])
        if self._short_runs:
            parts = zip(*self._short_runs, strict=True)
            self._catch_up(self._path.recovery, *(np.concatenate(part) for part in parts))
        if self._without_reason:
            positions = np.concatenate(self._without_reason)
            value, noise = self._inputs.value[positions], self._inputs.noise[positions]
            predicted = self._path.estimate[LEVEL, positions]
            allowed = self._parameters.gate * (self._path.estimate[P00, positions] + noise)
            suspect = fits_in_another_unit(value, predicted, allowed, self._parameters.ratios)
            self._path.flags[positions] = _reasons(self._path.rate[positions], suspect)

    def _catch_up(self, recovery: Recovery, lanes: I64, numbers: I64, run: U8) -> None:
        """Lead candidates through the rejected readings of runs that were not tracked.

        Args:
            recovery: Changed; has no candidate for these lanes.
            lanes: (n,) Without repetition.
            numbers: (n,) The run's last step.
            run: (n,) Its length, less than recovery needs.
        """
        for back in range(int(run.max(initial=0)) - 1, -1, -1):
            reached = run > back
            positions = lanes[reached] + self._offsets[numbers[reached] - back]
            self._advance(recovery, lanes[reached], positions)

    def _advance(self, recovery: Recovery, lanes: I64, positions: I64) -> tuple[U8, I64]:
        """Advance the recovery of lanes by a rejected reading each, and name the reason.

        Args:
            recovery: Of all lanes; those in `lanes` are changed.
            lanes: (n,) Whose reading was rejected; without repetition.
            positions: (n,) Where that reading is. There, the path holds the prediction.

        Returns:
            Flags of the readings, and the indices into `lanes` of those that restart: their
            estimate is to become the candidate as it now is.
        """
        parameters, inputs = self._parameters, self._inputs.select(positions)
        prior = self._path.estimate[:, positions]
        predicted, allowed = prior[LEVEL], parameters.gate * (prior[P00] + inputs.noise)
        suspect = fits_in_another_unit(inputs.value, predicted, allowed, parameters.ratios)
        flags = _reasons(self._path.rate[positions], suspect)

        established = recovery.support[lanes] >= parameters.recovery
        counts = ~(suspect & established)
        agreeing = recovery.agreeing[lanes]
        tracked = np.flatnonzero(agreeing)
        starts = counts.copy()
        if tracked.size:
            agrees = self._update_candidates(
                recovery, lanes[tracked], counts[tracked], inputs.select(tracked)
            )
            starts[tracked[agrees]] = False
            more = agreeing[tracked[agrees]] + np.uint8(1)
            agreeing[tracked[agrees]] = np.minimum(more, parameters.recovery)
        value, noise = inputs.value[starts], inputs.noise[starts]
        recovery.candidate[:, lanes[starts]] = algebra.restart(
            value, noise, parameters.slope_variance
        )
        agreeing[starts] = 1
        recovery.agreeing[lanes] = agreeing

        ready = np.flatnonzero(counts & (agreeing >= parameters.recovery))
        if ready.size:
            level = recovery.candidate[LEVEL, lanes[ready]]
            same = fits_in_another_unit(level, predicted[ready], allowed[ready], parameters.ratios)
            same &= established[ready]
            flags[ready[same]] = Reason.UNIT_SUSPECT
            ready = ready[~same]
            flags[ready] = RESTARTED
        return flags, ready

    def _update_candidates(
        self, recovery: Recovery, lanes: I64, counts: Bool, inputs: Inputs
    ) -> Bool:
        """Predict these lanes' candidates, and update those that agree.

        Args:
            recovery: Changed.
            lanes: (n,) Lanes that have a candidate.
            counts: (n,) False where the reading must not count for the candidate.
            inputs: The rejected readings.

        Returns:
            (n,) Whether the reading counts and passes the candidate's gate.
        """
        predicted = algebra.predict(Estimate[F64](*recovery.candidate[:, lanes]), inputs.step)
        innovation = algebra.innovation(predicted, inputs.value, inputs.noise)
        agrees: Bool = counts & (algebra.nis(innovation) <= self._parameters.gate)
        updated = algebra.update_steady(predicted, innovation, inputs.noise)
        recovery.candidate[:, lanes] = np.where(agrees, updated, predicted)
        return agrees


def _reasons(rate: F64, suspect: Bool) -> U8:
    """The reason why each rejected reading was rejected.

    Args:
        rate: (n,) Squared distance from the last estimate over the allowed one.
        suspect: (n,) Whether it fits in another unit.
    """
    reason = np.where(rate > 1.0, np.uint8(Reason.IMPLAUSIBLE_RATE), np.uint8(Reason.OUTLIER))
    reason[suspect] = Reason.UNIT_SUSPECT
    return reason
