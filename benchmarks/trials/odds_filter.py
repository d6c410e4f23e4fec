"""Prototype: a left fold over readings that weighs a few hypotheses and learns a user's noise.

Each user's state is a short list of hypotheses, each a filter of its own with a probability; the
learned noise; and the last value. A reading makes of each hypothesis three: it is good, it is
good after a jump, it is wrong. One more begins at the reading as a new user's would. Those that
agree are merged and the heaviest remain, so the state is bounded: 104 bytes, where the present
filter's estimate and candidate take 80. What is reported is the mixture's mean and variance.
Every step rounds to what is stored, so a fold that is cut anywhere has the same bits.
Scalar, without numpy, and independent of `trials/gaussian_sum.py`.
"""

from math import exp, expm1, gamma, inf, log, pi, sqrt
from struct import pack, unpack
from typing import NamedTuple


class Parameters(NamedTuple):
    """What the profile says; `u` is its unit."""

    noise: float
    """Standard deviation of a reading of a typical user, u."""
    level_noise: float
    slope_noise: float
    slope_damping: float
    slope_mean: float
    """Mean slope of users, u/day; a slope returns to it."""
    slope_sd: float
    level_mean: float
    level_sd: float
    """Spread of users' first levels, u."""
    level_tail: float = 7.0
    """Degrees of freedom of that spread: few for users far from most."""
    fault: float = 0.02
    """Probability that a reading is wrong after a good one."""
    units: tuple[float, ...] = (2.2046226, 0.45359237)
    """Ratios by which a value is off whose unit was mistaken; the profile's unit gives them."""
    unit_share: float = 0.3
    """Share of wrong readings that are such."""
    repeated: float = 0.3
    """The same after a wrong one; half of these resemble it."""
    jump: float = 0.003
    jump_sd: float = 8.0
    restart: float = 1e-5
    """Probability of a level that has nothing to do with the one before."""
    low: float = 20.0
    high: float = 350.0
    learns_noise: bool = True
    noise_prior: float = 4.0
    """Readings that the noise above is worth when a user's own is learned."""
    noise_memory: float = 60.0
    """Most readings that the learned noise is worth."""
    scales_level: bool = False
    """Whether a noisier user's level moves more, too."""
    hypotheses: int = 3
    drop: float = 1e-3
    """A hypothesis less probable than this is dropped."""
    occasion: float = 0.02
    """Days after a reading within which the next is the same occasion."""


class Hypothesis(NamedTuple):
    weight: float
    level: float
    slope: float
    p00: float
    p01: float
    p11: float
    faulty: float
    """Probability that the last reading was wrong, if this hypothesis is right."""


class State(NamedTuple):
    """What is stored of a user."""

    hypotheses: tuple[Hypothesis, ...]
    scale: float
    """Learned variance of the user's readings over the profile's."""
    readings: float
    """Readings that the scale is worth: degrees of freedom."""
    last: float
    """Value of the last reading."""


class Answer(NamedTuple):
    predicted: float
    predicted_sd: float
    """Half of the 95 % interval over 1.96."""
    level: float
    level_sd: float
    wrong: float
    """Probability that the reading is wrong."""
    jumped: float
    """Probability that the level jumped before it."""
    log_density: float
    """Of the reading before it was seen, wild readings included: what a fit maximises."""


def transition(p: Parameters, gap: float) -> tuple[float, float, float, float, float]:
    if gap <= 0.0:
        return 0.0, 1.0, 0.0, 0.0, 0.0
    a = max(p.slope_damping * gap, 1e-4)
    k = a / gap
    u = -expm1(-a)
    decay, gain = exp(-a), u / k
    s2 = p.slope_noise**2
    shape = 1 / 3 - a / 4 + 7 * a * a / 60 if a < 0.05 else (a - u - u * u / 2) / a**3
    q00 = p.level_noise**2 * gap + s2 * gap**3 * shape
    return gain, decay, q00, s2 * gain * gain / 2, s2 * gain * (1 + decay) / 2


def moved(p: Parameters, h: Hypothesis, gap: float, t, scale: float = 1.0) -> Hypothesis:
    gain, decay, q00, q01, q11 = t
    cross = h.p01 + gain * h.p11
    return Hypothesis(
        h.weight,
        h.level + p.slope_mean * gap + gain * (h.slope - p.slope_mean),
        p.slope_mean + decay * (h.slope - p.slope_mean),
        h.p00 + gain * (h.p01 + cross) + q00 * scale,
        decay * cross + q01 * scale,
        decay * decay * h.p11 + q11 * scale,
        h.faulty,
    )


def updated(h: Hypothesis, weight: float, value: float, noise: float, extra: float = 0.0):
    p00 = h.p00 + extra
    total = p00 + noise
    k0, k1 = p00 / total, h.p01 / total
    y = value - h.level
    return Hypothesis(
        weight,
        h.level + k0 * y,
        h.slope + k1 * y,
        p00 * noise / total,
        h.p01 * noise / total,
        max(h.p11 - k1 * h.p01, 0.0),
        0.0,
    )


#: Hypotheses agree whose levels are closer than this many standard deviations.
_AGREE = 1.0
#: Degrees of freedom whose density needs no power but squares, the smallest number of readings
#: that each is used for, its squarings and its density at zero.
_DENSITIES = tuple(
    (3 if squarings == 1 else 4 * 2 ** (squarings - 1) - 1, least, squarings)
    for squarings, least in ((1, 0.0), (2, 5.0), (3, 11.0), (4, 22.0), (5, 44.0))
)
_AT_ZERO = {df: gamma((df + 1) / 2) / gamma(df / 2) / sqrt(df * pi) for df, _, _ in _DENSITIES}


def t_density(y2: float, variance: float, readings: float) -> float:
    """Student's t density, of squares, products, quotients and roots alone.

    These have the same bits on every processor; `exp` and powers have not. The degrees of freedom
    are the nearest of 3, 7, 15, 31 and 63, so the power is 2, 4, 8, 16 or 32.
    """
    df, _, squarings = next(row for row in reversed(_DENSITIES) if readings >= row[1])
    x = 1.0 + y2 / (variance * df)
    for _ in range(squarings):
        x *= x
    return _AT_ZERO[df] / (sqrt(variance) * x)


def t_width(df: float) -> float:
    """The 97.5 % quantile over the normal one (Cornish and Fisher's expansion)."""
    if df > 1e6:
        return 1.0
    z = 1.959964
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return (z + g1 / df + g2 / df**2 + g3 / df**3) / z


def begin(p: Parameters) -> State:
    h = Hypothesis(1.0, p.level_mean, p.slope_mean, p.level_sd**2, 0.0, p.slope_sd**2, 0.0)
    return State((h,), 1.0, p.noise_prior, 0.0)


def wrong_density(p: Parameters, value: float) -> float:
    near = t_density((value - p.level_mean) ** 2, (1.33 * p.level_sd) ** 2, inf)
    return 0.5 * near + 0.5 / (p.high - p.low)


def step(p: Parameters, state: State, first: bool, gap: float, value: float, multiplier=1.0):
    """Fold one reading; (state, answer)."""
    df = state.readings if p.learns_noise else inf
    if not first:
        t = transition(p, gap)
        pace = state.scale if p.scales_level else 1.0
        hs = [moved(p, h, gap, t, pace) for h in state.hypotheses]
    else:
        hs = list(state.hypotheses)
    noise = state.scale * (multiplier * p.noise) ** 2
    mean, variance = moments(hs)
    width = t_width(max(df, 2.5))
    predicted_sd = sqrt(variance + noise) * width
    broad = wrong_density(p, value)
    same = t_density((value - state.last) ** 2, 2 * noise, inf)
    new = []
    jump = 0.0 if first else p.jump
    for h in hs:
        # On one occasion what was wrong stays wrong, and agreement is no news.
        repeated = 0.98 if 0.0 <= gap < p.occasion and not first else p.repeated
        fault = h.faulty * repeated + (1 - h.faulty) * p.fault
        y2 = (value - h.level) ** 2
        if first:
            fit = t_density(y2, h.p00 + noise, p.level_tail)
        else:
            fit = t_density(y2, h.p00 + noise, df)
        new.append((updated(h, h.weight * (1 - fault) * (1 - jump) * fit, value, noise), 0, h))
        if jump:
            extra = p.jump_sd**2
            fit = t_density(y2, h.p00 + noise + extra, inf)
            new.append((updated(h, h.weight * (1 - fault) * jump * fit, value, noise, extra), 1, h))
        share = p.unit_share / len(p.units) if p.units else 0.0
        odd = (1 - share * len(p.units)) * broad
        # After a wrong reading half of the wrong ones resemble it.
        chance = h.faulty * repeated * 0.5 + (1 - h.faulty) * p.fault
        wrong = h.faulty * repeated * 0.5 * same + chance * odd
        for ratio in p.units:
            # A value in another unit is wrong, and says as much as a right one.
            right = value / ratio
            fit = t_density((right - h.level) ** 2, h.p00 + noise, df if not first else 63.0)
            weight = h.weight * chance * share * fit / ratio
            new.append((updated(h, weight, right, noise)._replace(faulty=1.0), 2, h))
        new.append((h._replace(weight=h.weight * wrong, faulty=1.0), 2, h))
    if not first:
        h = begin(p).hypotheses[0]
        fit = t_density((value - h.level) ** 2, h.p00 + noise, p.level_tail)
        new.append((updated(h, p.restart * (1 - p.fault) * fit, value, noise), 1, h))
    total = sum(h.weight for h, _, _ in new) or 1e-300
    # The user's noise: what the good branches, weighed, say of it.
    scale, readings = state.scale, state.readings
    if not first and p.learns_noise:
        good = surprise = 0.0
        for h, kind, before in new:
            if kind == 0:
                w = h.weight / total
                s = before.p00 + noise
                good += w
                # With t-distributed errors, one far off says less.
                nis = (value - before.level) ** 2 / s
                surprise += w * (min(nis, 16.0) - 1.0)
        readings = min(df + good, p.noise_memory)
        scale = max(scale * (1 + surprise / readings), 0.02)
    kept = reduced([h for h, _, _ in new], p, value, noise)
    mean_after, variance_after = moments(kept)
    answer = Answer(
        mean,
        predicted_sd,
        mean_after,
        sqrt(variance_after) * width,
        sum(h.weight for h, kind, _ in new if kind == 2) / total,
        sum(h.weight for h, kind, _ in new if kind == 1) / total,
        log(total),
    )
    return unpacked(packed(State(tuple(kept), scale, readings, value))), answer


def forecast(p: Parameters, state: State, days: float) -> tuple[float, float]:
    """Level in so many days, and half of its 95 % interval over 1.96."""
    t = transition(p, days)
    pace = state.scale if p.scales_level else 1.0
    mean, variance = moments([moved(p, h, days, t, pace) for h in state.hypotheses])
    return mean, sqrt(variance) * (t_width(max(state.readings, 2.5)) if p.learns_noise else 1.0)


def packed(state: State) -> bytes:
    """The state as bytes: 104 with three hypotheses.

    The heaviest hypothesis is five float64, so that one hypothesis alone is as exact as today.
    The others have a float64 level and four float32. A weight is the upper half of a float32
    and relative to the heaviest; the chance that the last reading was wrong is one byte; the
    scale and the last value are float32; the readings behind the scale are quarters in a byte.
    """
    head, *others = state.hypotheses
    data = pack("<5d", *head[1:6])
    chances = [round(255 * head.faulty)]
    for h in others:
        data += pack("<d4f", *h[1:6])
        data += pack("<f", max(h.weight / head.weight, 1e-37))[2:]
        chances.append(round(255 * h.faulty))
    data += bytes(chances)
    quarters = round(4 * min(state.readings, 63.75))
    return data + pack("<ffB", state.scale, state.last, quarters)


def unpacked(data: bytes) -> State:
    """The state that `packed` wrote."""
    count = 1 + (len(data) - 50) // 27
    chances = data[40 + 26 * (count - 1) :]
    rows = [(1.0, *unpack("<5d", data[:40]), chances[0] / 255)]
    for i in range(count - 1):
        row = data[40 + 26 * i : 66 + 26 * i]
        (weight,) = unpack("<f", b"\0\0" + row[24:])
        level, slope, p00, p01, p11 = unpack("<d4f", row[:24])
        # Rounding must not make a covariance that is none.
        p01 = max(min(p01, sqrt(p00 * p11)), -sqrt(p00 * p11))
        rows.append((weight, level, slope, p00, p01, p11, chances[1 + i] / 255))
    scale, last, quarters = unpack("<ffB", data[-9:])
    total = sum(row[0] for row in rows)
    hypotheses = tuple(Hypothesis(row[0] / total, *row[1:]) for row in rows)
    return State(hypotheses, scale, quarters / 4, last)


def reduced(new: list[Hypothesis], p: Parameters, value: float, noise: float) -> list[Hypothesis]:
    """The heaviest hypotheses; ones that agree are merged, ones that do not matter dropped.

    While the heaviest takes the reading for wrong, the best of those that believe it remains
    however improbable it is. It may be right, and then each further reading makes it likelier.
    """
    most, near = p.hypotheses, 3.0 * sqrt(noise)
    kept: list[Hypothesis] = []
    for h in sorted(new, key=lambda h: -h.weight):
        for i, k in enumerate(kept):
            if abs(h.level - k.level) < _AGREE * sqrt(k.p00):
                kept[i] = merged(k, h)
                break
        else:
            kept.append(h)
    kept.sort(key=lambda h: -h.weight)
    head, others = kept[0], [h for h in kept[1:most] if h.weight > p.drop * kept[0].weight]
    believers = [h for h in kept if h.faulty <= 0.5 and abs(h.level - value) < near]
    if head.faulty > 0.5 and all(h.faulty > 0.5 or abs(h.level - value) >= near for h in others):
        believer = next((h for h in believers if h.weight > 0.0), None)
        if believer is not None:
            others = [*others[: most - 2], believer]
    mass = head.weight + sum(h.weight for h in others)
    return [h._replace(weight=h.weight / mass) for h in (head, *others)]


def merged(a: Hypothesis, b: Hypothesis) -> Hypothesis:
    """One hypothesis with the weight, mean and covariance of two together."""
    weight = a.weight + b.weight
    if weight <= 0.0:
        return a
    q = b.weight / weight
    level, slope = b.level - a.level, b.slope - a.slope
    both = q * (1.0 - q)
    return Hypothesis(
        weight,
        a.level + q * level,
        a.slope + q * slope,
        a.p00 + q * (b.p00 - a.p00) + both * level * level,
        a.p01 + q * (b.p01 - a.p01) + both * level * slope,
        a.p11 + q * (b.p11 - a.p11) + both * slope * slope,
        a.faulty + q * (b.faulty - a.faulty),
    )


def moments(hs) -> tuple[float, float]:
    mean = sum(h.weight * h.level for h in hs)
    return mean, sum(h.weight * (h.p00 + (h.level - mean) ** 2) for h in hs)
