"""The forward pass: many users' Kalman filters side by side.

Each user has a lane, the longest history first, so that step t concerns the first `widths[t]`
lanes and packed columns have no gaps. The vector pass takes the steps that are wide enough. The
scalar pass takes what is left of each lane.
"""

import numpy as np

from kalmap.filter import hypotheses, scalar, vector
from kalmap.filter.columns import Belief, ranges
from kalmap.filter.model import transition
from kalmap.filter.packed import Histories, Inputs, Packing, Path, Start
from kalmap.filter.parameters import Parameters
from kalmap.readings import F64, I64

#: Users from which a step is cheaper for numpy than one by one.
VECTOR_WIDTH = 32
#: Readings judged at once: their few arrays stay in a level-2 cache.
_BLOCK = 16_384


class Scratch:
    """Memory for packed columns, used again by each cohort.

    Without it, arrays of this size would go back to the operating system each time and come back
    page by page, which takes a tenth of the fold's time.
    """

    def __init__(self) -> None:
        self._columns: dict[str, F64] = {}

    def column(self, name: str, *shape: int) -> F64:
        """An array of this shape and any content. It overwrites the last one of this name."""
        size = int(np.prod(shape))
        if name not in self._columns or self._columns[name].size < size:
            self._columns[name] = np.empty(size)
        return self._columns[name][:size].reshape(shape)


def filter_histories(
    parameters: Parameters, histories: Histories, start: Start, scratch: Scratch | None = None
) -> Path:
    """Filter every user's readings, in their order.

    Args:
        parameters: The profile's numbers.
        histories: The readings.
        start: Where each user's filter starts; not changed.
        scratch: Memory for the path, which is then valid until its next use.

    Returns:
        The whole path.
    """
    scratch = scratch or Scratch()
    packing = _pack(histories.counts)
    order, total = _order(histories.counts, packing, scratch), histories.value.size
    position = scratch.column("position", total).view(np.int64)
    position[order] = np.arange(total)
    inputs = _inputs(parameters, histories, order, scratch)
    lanes = start.select(packing.users)
    path = Path(
        position,
        scratch.column("estimate", 5, total),
        scratch.column("readings", total),
        scratch.column("predicted", total),
        scratch.column("nis", total),
        scratch.column("precision", total),
        scratch.column("wrong", total),
        scratch.column("density", total),
        np.zeros(total, np.uint8),
        Belief._make(column.copy() for column in start.belief),
    )
    path.wrong.fill(np.nan)
    vector.run(parameters, packing, inputs, lanes, path)
    steps, first = packing.widths.size, int(packing.offsets[-1])
    for lane in range(packing.longer):
        last = first + int(packing.lengths[lane]) - steps
        segment = scalar.Segment(
            int(packing.users[lane]),
            slice(first, last),
            bool(steps or lanes.exists[lane]),
            lanes.belief.select(np.array([lane])),
            int(lanes.record_after[lane]) - steps,
        )
        scalar.run(parameters, inputs, segment, path)
        first = last
    _judge(parameters, inputs.value, path)
    return path


def _judge(parameters: Parameters, value: F64, path: Path) -> None:
    """Judge the readings that raised no question."""
    for start in range(0, value.size, _BLOCK):
        here = slice(start, start + _BLOCK)
        wrong, density = hypotheses.judge_expected(
            parameters, value[here], path.nis[here], path.precision[here], path.readings[here]
        )
        expected = np.isnan(path.wrong[here])
        np.copyto(path.wrong[here], wrong, where=expected)
        np.copyto(path.density[here], density, where=expected)
    if parameters.fault == 0.0:
        # Where a reading is too far off for any density, this was 0 / 0.
        path.wrong.fill(0.0)


def _pack(counts: I64) -> Packing:
    """Give each user a lane, longest history first, and each step its packed positions."""
    users = _longest_first(counts)
    lengths = counts[users]
    steps = int(lengths[VECTOR_WIDTH - 1]) if users.size >= VECTOR_WIDTH else 0
    widths = np.searchsorted(-lengths, -np.arange(steps))
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(widths)))
    return Packing(users, lengths, widths, offsets)


def _longest_first(counts: I64) -> I64:
    """Users by their number of readings, descending; equal ones in their order."""
    most = int(counts.max(initial=0))
    # numpy sorts 16-bit integers by radix, in linear time.
    fewer = (most - counts).astype(np.uint16 if most < 1 << 16 else np.int64)
    return np.argsort(fewer, kind="stable")


def _order(counts: I64, packing: Packing, scratch: Scratch) -> I64:
    """The reading at each packed position."""
    order = scratch.column("order", int(counts.sum())).view(np.int64)
    first = (np.cumsum(counts) - counts)[packing.users]
    edges, steps = packing.offsets.tolist(), packing.widths.size
    for number, width in enumerate(packing.widths.tolist()):
        np.add(first[:width], number, out=order[edges[number] : edges[number + 1]])
    longer = slice(packing.longer)
    order[edges[-1] :] = ranges(first[longer] + steps, packing.lengths[longer] - steps)
    return order


def _inputs(parameters: Parameters, histories: Histories, order: I64, scratch: Scratch) -> Inputs:
    """The readings, packed."""
    total = order.size
    # mode="clip" spares numpy a buffer; no index is outside.
    gap = histories.gap.take(order, out=scratch.column("gap", total), mode="clip")
    value = histories.value.take(order, out=scratch.column("value", total), mode="clip")
    noise = scratch.column("noise", total)
    parameters.variances.take(histories.source[order], out=noise, mode="clip")
    step = transition(parameters.profile, gap, scratch.column("step", 5, total))
    return Inputs(value, noise, step)
