"""Recovery: how the filter finds back when it is the level that has changed, not the readings.

Rejected readings feed a recovery candidate: a second filter, started at a rejected reading.
Each further one that passes the candidate's gate is folded into it; one that does not starts
a new candidate; an accepted reading ends it. When enough agree, the estimate becomes the
candidate's. A level that is the old one in another unit is the exception: there the unit is
wrong, not the level, unless the old level never had as many readings behind it itself.

Candidates are worked out as late as may be. Nothing comes of one before as many readings in a
row are rejected as recovery takes, which is rare, and to look at each step for the few users
with one or two would cost more than the filter itself. Their candidates matter only where a
checkpoint notes them, and those are made up for all at once when the pass is over.
"""

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import LEVEL, P00, Estimate, Transition, fits_in_another_unit
from kalmap.filter.columns import RESTARTED, Recovery
from kalmap.filter.gate import Rules, reasons
from kalmap.filter.path import Inputs
from kalmap.outcome import Reason
from kalmap.readings import F64, I64, U8, Bool


class Rejections:
    """The rejected readings of a forward pass, step after step, and what they lead to."""

    def __init__(
        self,
        rule: Rules,
        inputs: Inputs,
        offsets: I64,
        estimate: F64,
        rate: F64,
        mark: U8,
        recovery: Recovery,
        noted: Recovery,
    ) -> None:
        """Start before the first step.

        Args:
            rule: The profile's numbers.
            inputs: Packed.
            offsets: (steps + 1,) First packed place of each step, and the end.
            estimate: (5, readings) Packed: estimates after each reading.
            rate: (readings,) Packed: squared distances over the allowed ones.
            mark: (readings,) Packed: where reasons go.
            recovery: Where each user's recovery stands; goes along.
            noted: Gets it as it was at each user's snapshot.
        """
        self._rule, self._inputs, self._offsets = rule, inputs, offsets
        self._estimate, self._rate, self._mark = estimate, rate, mark
        self._recovery, self._noted = recovery, noted
        self._enough = np.uint8(rule.recovery)
        self._more = np.uint8(rule.recovery + 1)
        # Rejected readings in a row, at most `more`. Only from `enough` on is there a candidate,
        # hence also where one was stored.
        self._run = np.where(recovery.agreeing > 0, self._enough, np.uint8(0))
        self._running = self._followed = np.flatnonzero(recovery.agreeing)
        self._unnamed: list[I64] = []
        self._unnoted: list[tuple[I64, I64, U8]] = []

    def step(self, number: int, rejected: I64) -> None:
        """Go on by one step, whose estimates are as predicted where the reading was rejected.

        Args:
            number: Of the step.
            rejected: Whose reading it was, ascending.
        """
        run = np.minimum(self._run[rejected] + np.uint8(1), self._more)
        self._run[self._running] = 0
        self._run[rejected] = run
        self._running = rejected
        if self._followed.size:
            accepted = self._run[self._followed] == 0
            self._recovery.forget(self._followed[accepted])
        long = run >= self._enough
        self._followed = rejected[long]
        if self._followed.size:
            self._follow(number)
            rejected = rejected[~long]
        self._unnamed.append(rejected + self._offsets[number])

    def _follow(self, number: int) -> None:
        """Advance the candidates of users who may be about to restart."""
        recovery, users = self._recovery, self._followed
        first = users[self._run[users] == self._enough]
        self._catch_up(recovery, first, np.full(first.size, number - 1), self._run[first] - 1)
        places = users + self._offsets[number]
        self._mark[places], ready = self._advance(recovery, users, places)
        if ready.size:
            restarted = users[ready]
            self._estimate[:, places[ready]] = recovery.candidate[:, restarted]
            recovery.support[restarted] = self._enough
            recovery.forget(restarted)

    def note(self, number: int, users: I64) -> None:
        """Note these users' recovery as it is after step `number`."""
        self._noted.candidate[:, users] = self._recovery.candidate[:, users]
        self._noted.agreeing[users] = self._recovery.agreeing[users]
        self._noted.support[users] = self._recovery.support[users]
        run = self._run[users]
        waiting = np.flatnonzero((run > 0) & (run < self._enough))
        if waiting.size:
            self._unnoted.append((users[waiting], np.full(waiting.size, number), run[waiting]))

    def finish(self, lanes: int) -> None:
        """Do what could wait, after the last step; `lanes` users go on after it."""
        run = self._run[:lanes]
        going = np.flatnonzero((run > 0) & (run < self._enough))
        last = self._offsets.size - 2
        self._catch_up(self._recovery, going, np.full(going.size, last), run[going])
        if self._unnoted:
            parts = zip(*self._unnoted, strict=True)
            self._catch_up(self._noted, *(np.concatenate(part) for part in parts))
        if self._unnamed:
            places = np.concatenate(self._unnamed)
            variance = self._estimate[P00, places] + self._inputs.noise[places]
            suspect = fits_in_another_unit(
                self._inputs.value[places],
                self._estimate[LEVEL, places],
                self._rule.gate * variance,
                self._rule.ratios,
            )
            self._mark[places] = reasons(self._rate[places], suspect)

    def _catch_up(self, recovery: Recovery, users: I64, numbers: I64, run: U8) -> None:
        """Lead candidates through the rejected readings of a run that no candidate has seen.

        Args:
            recovery: Changed; has no candidate for these users.
            users: (n,) Without repetition.
            numbers: (n,) The run's last step.
            run: (n,) Its length, less than what recovery takes.
        """
        for back in range(int(run.max(initial=0)) - 1, -1, -1):
            some = run > back
            lanes = users[some]
            self._advance(recovery, lanes, lanes + self._offsets[numbers[some] - back])

    def _advance(self, recovery: Recovery, users: I64, places: I64) -> tuple[U8, I64]:
        return advance(
            self._rule,
            recovery,
            self._inputs,
            users,
            places,
            self._estimate[:, places],
            self._rate[places],
        )


def advance(
    rule: Rules,
    recovery: Recovery,
    inputs: Inputs,
    users: I64,
    places: I64,
    prior: F64,
    rate: F64,
) -> tuple[U8, I64]:
    """Advance the recovery of users by a rejected reading each, in place, and name the reason.

    Args:
        rule: The profile's numbers.
        recovery: Of all users; those in `users` are changed.
        inputs: The readings.
        users: (n,) Whose reading was rejected; without repetition.
        places: (n,) Where that reading is in `inputs`.
        prior: (5, n) Level, slope, p00, p01, p11 that were predicted.
        rate: (n,) Squared distance from the last estimate over the allowed one.

    Returns:
        Marks (reason and restarted) of the readings, and the positions in `users` where
        the estimate is to become the candidate as it now stands; `restarted` says so.
    """
    value, noise = inputs.value[places], inputs.noise[places]
    predicted = prior[LEVEL]
    allowed = rule.gate * (prior[P00] + noise)
    suspect = fits_in_another_unit(value, predicted, allowed, rule.ratios)
    mark = reasons(rate, suspect)

    settled = recovery.support[users] >= rule.recovery
    counts = ~(suspect & settled)
    agreeing = recovery.agreeing[users]
    tracked = np.flatnonzero(agreeing)
    anew = counts.copy()
    if tracked.size:
        agrees = _follow(
            rule,
            recovery,
            users[tracked],
            value[tracked],
            noise[tracked],
            counts[tracked],
            Transition._make(part[places[tracked]] for part in inputs.step),
        )
        anew[tracked[agrees]] = False
        agreeing[tracked[agrees]] = np.minimum(agreeing[tracked[agrees]] + 1, rule.recovery)
    started = users[anew]
    recovery.candidate[:, started] = algebra.restart(value[anew], noise[anew], rule.slope_variance)
    agreeing[anew] = 1
    recovery.agreeing[users] = agreeing

    ready = np.flatnonzero(counts & (agreeing >= rule.recovery))
    if ready.size:
        level = recovery.candidate[LEVEL, users[ready]]
        same = fits_in_another_unit(level, predicted[ready], allowed[ready], rule.ratios)
        same &= settled[ready]
        mark[ready[same]] = Reason.UNIT_SUSPECT
        ready = ready[~same]
        mark[ready] = RESTARTED
    return mark, ready


def _follow(
    rule: Rules,
    recovery: Recovery,
    users: I64,
    value: F64,
    noise: F64,
    counts: Bool,
    step: Transition[F64],
) -> Bool:
    """Predict these users' candidates, and fold in the readings that count and pass their gate."""
    predicted = algebra.predict(Estimate[F64](*recovery.candidate[:, users]), step)
    innovation = algebra.innovation(predicted, value, noise)
    agrees: Bool = counts & (algebra.nis(innovation) <= rule.gate)
    updated = algebra.update_steady(predicted, innovation, noise)
    recovery.candidate[:, users] = np.where(agrees, updated, predicted)
    return agrees
