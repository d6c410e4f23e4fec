"""The forward pass: many users' Kalman filters side by side, one reading of each at a time.

Users stand in the order of their number of readings, longest first, so that step t concerns the
first `width[t]` of them and every column is packed without gaps: step after step, user after
user. numpy then works on whole steps, and a user's numbers are the same bits however many
stand beside it, because only +, -, *, / and comparisons touch them. Where fewer than a handful
of users are left, `tail` goes on one user at a time, with the same operations in the same order.

The update is `w = R / S; p00 *= w; p01 *= w; p11 -= p01^2 / S` (Joseph's form simplified for a
scalar reading; Bierman, Factorization Methods for Discrete Sequential Estimation, 1977, V.2).
p01 never becomes negative, since it starts at zero and every term of the prediction is positive:
the last line is the only difference, and `algebra.steady_p11` replaces it where it could lose its
digits.
"""

import numpy as np

from kalmap.filter import tail
from kalmap.filter.algebra import STEADY_BELOW, steady_p11
from kalmap.filter.columns import Recovery, ranges
from kalmap.filter.gate import Rules
from kalmap.filter.model import measurement_variances, transition
from kalmap.filter.path import Inputs, Path
from kalmap.filter.recovery import Rejections
from kalmap.profile import Profile
from kalmap.readings import F64, I64, U8, Bool

#: Users from which a step is cheaper for numpy than one by one.
VECTOR_WIDTH = 32


class Scratch:
    """Memory for packed columns, kept from cohort to cohort.

    Arrays of this size would otherwise go back to the operating system each time, and come
    back page by page: a tenth of the fold's time.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0)

    def rows(self, rows: int, size: int) -> F64:
        """An array (rows, size) of any content; overwrites the one given out before."""
        if self._memory.size < rows * size:
            self._memory = np.empty(rows * size)
        return self._memory[: rows * size].reshape(rows, size)


def forward(
    profile: Profile,
    rule: Rules,
    counts: I64,
    gap: F64,
    value: F64,
    source: U8,
    exists: Bool,
    estimate: F64,
    recovery: Recovery,
    snapshot: I64,
    scratch: Scratch | None = None,
) -> Path:
    """Filter every user's readings, in the order given.

    Args:
        profile: The state model.
        rule: Its policy.
        counts: (users,) Readings of each user, at least 1.
        gap: (readings,) Days since the reading before, or since the checkpoint.
        value: (readings,) In the profile's unit, user after user.
        source: (readings,) Source codes.
        exists: (users,) False where the first reading starts the filter.
        estimate: (5, users) Where each starts from.
        recovery: The same; not changed.
        snapshot: (users,) After how many readings to note the recovery's state.
        scratch: Memory for the path, which is then valid until its next use.

    Returns:
        The whole path.
    """
    users = _longest_first(counts)
    lengths = counts[users]
    steps = int(lengths[VECTOR_WIDTH - 1]) if users.size >= VECTOR_WIDTH else 0
    widths = np.searchsorted(-lengths, -np.arange(steps))
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(widths)))
    total = value.size
    memory = (scratch or Scratch()).rows(19, total)
    pull, place = memory[17].view(np.int64), memory[18].view(np.int64)
    _pull(counts, users, steps, widths, offsets, pull)
    place[pull] = np.arange(total)

    # mode="clip" spares numpy a buffer; nothing is outside.
    packed_gap = gap.take(pull, out=memory[0], mode="clip")
    packed_value = value.take(pull, out=memory[1], mode="clip")
    noise = measurement_variances(profile).take(source[pull], out=memory[2], mode="clip")
    reach = np.multiply(packed_gap, rule.rate_limit, out=memory[3])
    reach *= reach
    reach += noise * rule.gate
    inputs = Inputs(packed_value, noise, reach, transition(profile, packed_gap, memory[4:9]))
    at, noted = recovery.of(users), recovery.of(users)
    longer = int(np.count_nonzero(lengths > steps))
    path = Path(
        place,
        memory[9:14],
        memory[14],
        memory[15],
        memory[16],
        np.zeros(total, np.uint8),
        noted,
    )
    _vector(
        rule,
        inputs,
        widths,
        offsets,
        longer,
        exists[users],
        estimate[:, users] if exists.any() else estimate,
        at,
        snapshot[users],
        path,
    )
    start = int(offsets[-1])
    for lane in range(longer):
        end = start + int(lengths[lane]) - steps
        if steps:
            before = path.estimate[:, offsets[steps - 1] + lane]
            known = True
        else:
            before = estimate[:, users[lane]]
            known = bool(exists[users[lane]])
        tail.run(
            rule,
            inputs,
            start,
            end,
            lane,
            known,
            before,
            at,
            int(snapshot[users[lane]]) - steps,
            path,
        )
        start = end
    back = np.empty_like(users)
    back[users] = np.arange(users.size)
    return path._replace(recovery=noted.of(back))


def _longest_first(counts: I64) -> I64:
    """Users by their number of readings, descending; equal ones in their order."""
    most = int(counts.max(initial=0))
    # numpy sorts 16-bit integers by radix, in linear time.
    fewer = (most - counts).astype(np.uint16 if most < 1 << 16 else np.int64)
    return np.argsort(fewer, kind="stable")


def _pull(counts: I64, users: I64, steps: int, widths: I64, offsets: I64, pull: I64) -> None:
    """Which reading comes to each packed place: steps first, then the rest user after user."""
    first = (np.cumsum(counts) - counts)[users]
    edges = offsets.tolist()
    for number, width in enumerate(widths.tolist()):
        np.add(first[:width], number, out=pull[edges[number] : edges[number + 1]])
    longer = np.flatnonzero(counts[users] > steps)
    pull[edges[-1] :] = ranges(first[longer] + steps, counts[users][longer] - steps)


def _vector(
    rule: Rules,
    inputs: Inputs,
    widths: I64,
    offsets: I64,
    longer: int,
    exists: Bool,
    estimate: F64,
    recovery: Recovery,
    snapshot: I64,
    path: Path,
) -> None:
    """All steps that are wide enough, into `path`'s columns; arrays in order of lanes."""
    if not widths.size:
        return
    gate = rule.gate
    # Rows: slope, p00, p01, p11 as predicted; the level is a result.
    prior = np.empty((4, int(widths[0])))
    b1, b2, b3, b4 = prior
    b0, b5 = np.empty((2, int(widths[0])))
    flag0, flag1 = np.empty((2, int(widths[0])), np.bool_)
    due = np.argsort(snapshot, kind="stable")
    bounds = np.searchsorted(snapshot[due], np.arange(widths.size + 2)).tolist()
    x, v, p00, p01, p11 = estimate
    edges = offsets.tolist()
    support_limit = np.uint8(rule.recovery)
    rejections = Rejections(
        rule, inputs, offsets, path.estimate, path.rate, path.mark, recovery, path.recovery
    )
    for number, width in enumerate(widths.tolist()):
        here = slice(edges[number], edges[number + 1])
        z, r, reach = inputs.value[here], inputs.noise[here], inputs.reach[here]
        g, e, q00, q01, q11 = (part[here] for part in inputs.step)
        x1, v1, a00, a01, a11 = path.estimate[:, here]
        level, nis, rate = path.predicted[here], path.nis[here], path.rate[here]
        if x.size > width:
            x, v, p00, p01, p11 = x[:width], v[:width], p00[:width], p01[:width], p11[:width]
            prior = prior[:, :width]
            b1, b2, b3, b4 = prior
            b0, b5 = b0[:width], b5[:width]
            flag0, flag1 = flag0[:width], flag1[:width]

        # How far from the last estimate, against what the rate limit and both noises allow.
        np.subtract(z, x, b0)
        np.multiply(b0, b0, b0)
        np.multiply(p00, gate, b1)
        np.add(b1, reach, b1)
        np.divide(b0, b1, rate)
        # Predict: b1, b2, b3, b4 become v, p00, p01, p11.
        np.multiply(g, v, b0)
        np.add(b0, x, level)
        np.multiply(e, v, b1)
        np.multiply(g, p11, b0)
        np.add(b0, p01, b0)
        np.add(b0, p01, b2)
        np.multiply(b2, g, b2)
        np.add(b2, p00, b2)
        np.add(b2, q00, b2)
        np.multiply(b0, e, b3)
        np.add(b3, q01, b3)
        np.multiply(p11, e, b4)
        np.multiply(b4, e, b4)
        np.add(b4, q11, b4)
        # Gate: b0 becomes the innovation, b5 1 / S.
        np.subtract(z, level, b0)
        np.add(b2, r, b5)
        np.divide(1.0, b5, b5)
        np.multiply(b0, b0, nis)
        np.multiply(nis, b5, nis)
        np.greater(nis, gate, flag0)
        np.greater(rate, 1.0, flag1)
        np.logical_or(flag0, flag1, flag0)
        # Update, whatever the gate said.
        np.multiply(b2, b5, a00)
        np.multiply(b3, b5, a01)
        np.multiply(a00, b0, x1)
        np.add(x1, level, x1)
        np.multiply(a01, b0, v1)
        np.add(v1, b1, v1)
        np.multiply(a01, b3, a11)
        np.subtract(b4, a11, a11)
        np.multiply(r, b5, b5)
        np.multiply(b2, b5, a00)
        np.multiply(b3, b5, a01)
        np.less(b5, STEADY_BELOW, flag1)
        if flag1.any():
            steady = np.flatnonzero(flag1)
            a11[steady] = steady_p11(b2[steady], b3[steady], b4[steady], a01[steady])

        if number == 0 and not exists.all():
            new = np.flatnonzero(~exists)
            flag0[new] = False
            x1[new] = z[new]
            v1[new] = a01[new] = 0.0
            a00[new] = r[new]
            a11[new] = rule.slope_variance
            level[new] = nis[new] = np.nan
            rate[new] = 0.0
        np.logical_not(flag0, flag1)
        support = recovery.support[:width]
        np.add(support, flag1.view(np.uint8), support)
        np.minimum(support, support_limit, out=support)
        rejected = np.flatnonzero(flag0)
        if rejected.size:
            x1[rejected] = level[rejected]
            path.estimate[1:, here][:, rejected] = prior.take(rejected, axis=1)
        rejections.step(number, rejected)
        noted = due[bounds[number + 1] : bounds[number + 2]]
        if noted.size:
            rejections.note(number, noted)
        x, v, p00, p01, p11 = x1, v1, a00, a01, a11
    rejections.finish(longer)
