"""A profile that is fitted to few users is less sure of others."""

import msgspec
import numpy as np
import pytest

from kalmap_cli.tuning.likelihood import foretell
from kalmap_cli.tuning.plain import Models, Packed, pack
from kalmap_cli.tuning.users import Users
from kalmap_cli.tuning.widening import widened, widening
from tests.support.tuning import BASE, SCALE, fitted, random_walks, users_of


def _model(noise: float) -> Models:
    """A random walk from 75 ± 12 kg in steps of 0.3 kg."""
    numbers = (noise, 0.6 * noise, 0.0, 0.0, 0.0, 0.0, 24.0 * noise, 75.0, 60.0)
    return Models(*(np.array([number]) for number in numbers), np.ones((1, 1)))


def _packed(users: Users) -> Packed:
    size = users.value.size
    return pack(
        users, np.array([SCALE]), np.ones(size, np.bool_), np.zeros(size), weighs_first=True
    )


@pytest.mark.parametrize(("noise", "least", "most"), [(0.5, 1.0, 1.04), (0.4, 1.2, 1.3)])
def test_predictions_become_as_wide_as_users_that_were_left_out_ask_for(noise, least, most):
    users = users_of(random_walks(40, 30, 0.5, 0.3, 1))
    assert least <= widening(users, lambda _: _model(noise), _packed) <= most


def test_a_wider_profile_foretells_the_same_values():
    profile = msgspec.structs.replace(
        BASE, faults=msgspec.structs.replace(BASE.faults, share=0.0), learning=None
    )
    users = users_of(random_walks(5, 12, 0.5, 0.3, 2))
    before, after = foretell(profile, users), foretell(widened(profile, 1.3), users)
    np.testing.assert_allclose(after.predicted, before.predicted, rtol=1e-12)
    np.testing.assert_allclose(after.nis, before.nis / 1.3**2, rtol=1e-9)


@pytest.mark.thorough
def test_what_a_few_users_tell_is_less_sure_than_what_many_do():
    # Seven users of five readings: their slopes differ more than these few can show.
    random = np.random.default_rng(4)
    inside = []
    for _ in range(3):
        slope = random.normal(2.0, 0.5, (40, 1))
        value = 40.0 + slope * np.arange(5) + random.normal(0.0, 1.0, (40, 5))
        profile = fitted(users_of(value[:7]))
        said = foretell(profile, users_of(value[7:]))
        inside.append(said.nis[~np.isnan(said.nis)] < 1.96**2)
    assert np.concatenate(inside).mean() > 0.92
