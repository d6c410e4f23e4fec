"""The exact transition, against the integrals it stands for, computed independently."""

from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from math import exp

import msgspec
import numpy as np
import pytest

from kalmap.filter.model import measurement_variances, transition
from kalmap.profile import Population, builtin_profile
from kalmap.readings import UNKNOWN_SOURCE

BASE = builtin_profile("body-weight")
GAPS = np.array([1e-11, 1 / 86400, 0.01, 0.5, 1.0, 3.7, 12.4, 12.6, 25.0, 400.0, 3653.0])


def _profile(damping, level_noise=0.0, slope_noise=1.0):
    return msgspec.structs.replace(
        BASE, slope_damping=damping, level_noise=level_noise, slope_noise=slope_noise
    )


def _by_quadrature(damping, gap):
    """Q as the integral of F(t) diag(0, 1) F(t)' over the gap, by 40-point Gauss-Legendre."""
    points, weights = np.polynomial.legendre.leggauss(40)
    # Split where the integrand has long converged, so that 40 points a piece are exact.
    pieces = np.concatenate(([0.0], np.minimum(gap, np.geomspace(0.25, 2.0**22, 24) / damping)))
    total = np.zeros(3)
    for start, end in pairwise(pieces):
        t = start + (end - start) * (points + 1.0) / 2.0
        e = np.exp(-damping * t)
        g = -np.expm1(-damping * t) / damping
        w = weights * (end - start) / 2.0
        total += [np.sum(w * g * g), np.sum(w * g * e), np.sum(w * e * e)]
    return total


@pytest.mark.parametrize("damping", [1e-3, 0.02, 0.5, 10.0])
def test_process_noise_is_the_integral_it_stands_for(damping):
    step = transition(_profile(damping), GAPS)
    for i, gap in enumerate(GAPS):
        expected = _by_quadrature(damping, gap)
        got = [step.q00[i], step.q01[i], step.q11[i]]
        np.testing.assert_allclose(got, expected, rtol=2e-13)
        assert step.decay[i] == pytest.approx(exp(-damping * gap), rel=1e-13, abs=1e-300)
        assert step.gain[i] == pytest.approx(-np.expm1(-damping * gap) / damping, rel=1e-14)


def test_no_gap_and_no_damping_costs_digits():
    # The series, its end at a quarter, and halvings; all but e itself to the last digits. The
    # relative error of e grows with the halvings, while e gets too small to matter.
    gaps = np.concatenate((np.geomspace(1e-11, 1e6, 600), np.linspace(3.5, 4.2, 50)))
    # Without level noise, which is exact and would hide errors of psi.
    profile = _profile(0.06457, slope_noise=0.007187)
    damping = Decimal(profile.slope_damping)
    qs = Decimal(profile.slope_noise * profile.slope_noise)
    worst = [0.0] * 5
    with localcontext(prec=60):
        rows = np.stack((gaps, *transition(profile, gaps)[:5]), axis=1)
        for gap, *got in rows.tolist():
            h = Decimal(gap)
            a = damping * h
            e = (-a).exp()
            u = 1 - e
            g = u / damping
            q00 = qs * (a - u - u * u / 2) / damping**3
            exact = (g, e, q00, qs * g * g / 2, qs * g * (1 + e) / 2)
            for index, (number, value) in enumerate(zip(got, exact, strict=True)):
                if value > Decimal("1e-290"):
                    error = abs(float((Decimal(number) - value) / value))
                    worst[index] = max(worst[index], error)
    gain, decay, *noises = worst
    assert max(gain, *noises) < 2e-15
    assert decay < 1e-12


def test_without_damping_it_is_the_white_noise_acceleration_model():
    step = transition(_profile(0.0, level_noise=0.5, slope_noise=0.25), GAPS)
    for i, gap in enumerate(GAPS):
        h = Fraction(gap)
        assert step.gain[i] == gap
        assert step.decay[i] == 1.0
        variance = Fraction(1, 16)
        expected = (variance * h**3 / 3 + h / 4, variance * h**2 / 2, variance * h)
        got = (step.q00[i], step.q01[i], step.q11[i])
        np.testing.assert_allclose(got, [float(e) for e in expected], rtol=1e-15)


def test_a_little_damping_comes_close_to_none():
    none, little = transition(_profile(0.0), GAPS), transition(_profile(1e-12), GAPS)
    for one, other in zip(none[:5], little[:5], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-8)


def test_with_slope_noise_zero_only_the_level_walks():
    step = transition(_profile(0.02, level_noise=0.5, slope_noise=0.0), GAPS)
    np.testing.assert_allclose(step.q00, 0.25 * GAPS, rtol=1e-15)
    assert not step.q01.any()
    assert not step.q11.any()


def test_two_halves_of_a_gap_make_the_whole():
    profile = _profile(0.3, level_noise=0.1)
    half, full = transition(profile, GAPS / 2.0), transition(profile, GAPS)
    f = np.array([[np.ones_like(GAPS), half.gain], [np.zeros_like(GAPS), half.decay]])
    q = np.array([[half.q00, half.q01], [half.q01, half.q11]])
    composed = np.einsum("ijn,jkn,lkn->iln", f, q, f) + q
    np.testing.assert_allclose(composed[0, 0], full.q00, rtol=1e-13)
    np.testing.assert_allclose(composed[0, 1], full.q01, rtol=1e-13)
    np.testing.assert_allclose(composed[1, 1], full.q11, rtol=1e-13)


def test_no_gap_moves_nothing():
    for damping in (0.0, 0.02):
        step = transition(_profile(damping, level_noise=0.5), np.zeros(3))
        assert [part.tolist() for part in step[:5]] == [[0.0] * 3, [1.0] * 3, *[[0.0] * 3] * 3]


def test_the_mean_slope_moves_the_level_of_a_slope_that_is_the_mean_by_slope_times_gap():
    for damping in (0.0, 0.3):
        profile = msgspec.structs.replace(_profile(damping), population=Population(slope_mean=0.7))
        gaps = GAPS[:8]
        step = transition(profile, gaps)
        np.testing.assert_allclose(step.level_drift + step.gain * 0.7, 0.7 * gaps, rtol=1e-13)
        np.testing.assert_allclose(step.slope_drift + step.decay * 0.7, 0.7, rtol=1e-13)


def test_a_sources_multiplier_multiplies_the_standard_deviation():
    variances = measurement_variances(BASE)
    noise = BASE.measurement_noise
    assert variances[BASE.source_code("manual")] == (BASE.sources["manual"] * noise) ** 2
    assert variances[UNKNOWN_SOURCE] == (BASE.unknown_source * noise) ** 2
