"""One user's belief and readings on plain floats, and from and to columns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap.filter.algebra import Estimate, Transition
from kalmap.filter.columns import WEIGHT, Belief, empty_belief
from kalmap.filter.packed import Weighed


class Hypothesis(NamedTuple):
    """One hypothesis."""

    weight: float
    """Over the heaviest one's."""
    kind: int
    estimate: Estimate[float]


class OneBelief(NamedTuple):
    """What a user's filter holds to be true: a `Belief`."""

    hypotheses: list[Hypothesis]
    """The heaviest first."""
    last: float
    scale: float
    readings: float

    @property
    def is_open(self) -> bool:
        """Whether there is something to weigh: other hypotheses, or a wrong reading."""
        return len(self.hypotheses) > 1 or self.hypotheses[0].kind > 0


class OneReading(NamedTuple):
    """One reading of a user."""

    value: float
    noise: float
    """R of a typical user."""
    step: Transition[float]
    is_first: bool


class OneWeighed(NamedTuple):
    """What became of it: `Weighed`."""

    belief: OneBelief
    mixture: Estimate[float]
    predicted: float
    nis: float
    precision: float
    wrong: float
    wrong_unit: bool
    restarted: bool
    density: float


def one_belief(belief: Belief, user: int) -> OneBelief:
    """The belief of one user."""
    weights = belief.others[:, WEIGHT, user].tolist()
    columns = [belief.estimate[:, user], *belief.others[:, :WEIGHT, user]]
    those = zip((1.0, *weights), belief.kinds[:, user].tolist(), columns, strict=True)
    found = [
        Hypothesis(weight, kind, Estimate(*column.tolist()))
        for weight, kind, column in those if weight > 0.0
    ]  # fmt: skip
    return OneBelief(
        found, float(belief.last[user]), float(belief.scale[user]), float(belief.readings[user])
    )


def join_beliefs(beliefs: Sequence[OneBelief]) -> Belief:
    """The beliefs of users as columns."""
    joined = empty_belief(len(beliefs))
    for user, (those, *numbers) in enumerate(beliefs):
        joined.estimate[:, user] = those[0].estimate
        joined.kinds[: len(those), user] = [hypothesis.kind for hypothesis in those]
        for number, hypothesis in enumerate(those[1:]):
            joined.others[number, :, user] = (*hypothesis.estimate, hypothesis.weight)
        joined.last[user], joined.scale[user], joined.readings[user] = numbers
    return joined


def join(weighed: Sequence[OneWeighed]) -> Weighed:
    """What became of readings, as columns."""
    beliefs, mixtures, *columns = zip(*weighed, strict=True)
    return Weighed(
        join_beliefs(beliefs), np.array(mixtures).T, *(np.array(column) for column in columns)
    )
