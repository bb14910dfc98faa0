"""Shares of variance, readout and border profile on activations whose dependence on place is planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolact.measures.probes.translation import border_profile, by_factor, reach, readout, total_effects

CELLS, PHASES, OBJECTS = 4, 2, 3
ROWS, COLUMNS = np.mgrid[0 : CELLS * PHASES, 0 : CELLS * PHASES]
CELL_X, CELL_Y, PHASE_X = COLUMNS // PHASES, ROWS // PHASES, COLUMNS % PHASES


def activation(*prototypes):
    """Each a function (object, cell x, cell y, phase x) -> value."""
    values = [[one(o, CELL_X, CELL_Y, PHASE_X) * np.ones(ROWS.shape) for one in prototypes] for o in range(OBJECTS)]
    return np.array(values).transpose(0, 2, 3, 1)


PLANTED = {
    "place alone": (lambda o, x, y, p: 3.0 * x - y, (1, 0, 0)),
    "place without an order": (lambda o, x, y, p: (x + y) % 2, (1, 0, 0)),
    "phase alone": (lambda o, x, y, p: p, (0, 1, 0)),
    "object alone": (lambda o, x, y, p: o, (0, 0, 1)),
    "place and object, as a sum": (lambda o, x, y, p: x * np.sqrt(2 / 3 / 1.25) + o, (0.5, 0, 0.5)),
    "object where the place lets it": (lambda o, x, y, p: (o - 1) * (x - 1.5), (1, 0, 1)),
    "constant": (lambda o, x, y, p: 7.0, (np.nan,) * 3),
    "constant up to rounding": (lambda o, x, y, p: 7.0 + 1e-7 * x, (np.nan,) * 3),
}


@pytest.mark.parametrize("name", PLANTED)
def test_shares_are_those_that_were_planted(name):
    planted, expected = PLANTED[name]
    found = total_effects(activation(planted), PHASES)
    assert [float(found[factor][0]) for factor in ("position", "aliasing", "content")] == pytest.approx(expected, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.floats(-10, 10))
def test_shares_lie_between_0_and_1_sum_to_1_at_least_and_ignore_unit_and_offset(seed, unit, offset):
    values = np.random.default_rng(seed).standard_normal((OBJECTS, CELLS * PHASES, CELLS * PHASES, 3))
    found = total_effects(values, PHASES)
    shares = np.stack([found[name] for name in ("position", "aliasing", "content")])
    assert (shares >= 0).all() and (shares <= 1 + 1e-12).all() and (shares.sum(0) >= 1 - 1e-12).all()
    again = total_effects(unit * values + offset, PHASES)
    assert np.stack([again[name] for name in ("position", "aliasing", "content")]) == pytest.approx(shares, abs=1e-9)
    assert again["variance"] == pytest.approx(unit**2 * found["variance"])


def test_factors_are_told_apart_in_the_layout_of_the_file():
    values = activation(lambda o, x, y, p: 100 * o + 10 * y + x, lambda o, x, y, p: p)
    factors = by_factor(values, PHASES)
    assert factors.shape == (OBJECTS, CELLS, CELLS, PHASES, PHASES, 2)
    assert factors[2, 3, 1, 0, 1].tolist() == [231, 1]


NOISE = np.random.default_rng(0).standard_normal((OBJECTS, CELLS * PHASES, CELLS * PHASES))
READ = {
    "x and y each in a prototype": ((lambda o, x, y, p: x, lambda o, x, y, p: y), (1, 1)),
    "x alone, beside the object": ((lambda o, x, y, p: 2 * x + 5 * o, lambda o, x, y, p: o), (1, 0)),
    "phase alone": ((lambda o, x, y, p: p, lambda o, x, y, p: o), (0, 0)),
    "nothing": ((lambda o, x, y, p: 0 * x,), (0, 0)),
}


@pytest.mark.parametrize("name", READ)
def test_the_readout_tells_what_was_planted(name):
    planted, (x, y) = READ[name]
    found = readout(activation(*planted), PHASES)
    assert found["x"] == pytest.approx(x, abs=0.02)
    assert found["y"] == pytest.approx(y, abs=0.02)
    assert found["shuffled"] < 0.05


def test_noise_is_no_place():
    found = readout(np.stack([NOISE] * 2 + [NOISE[::-1]], axis=-1), PHASES)
    assert max(found["x"], found["y"]) < 0.1


def test_cells_in_a_wrong_order_cannot_be_read_though_the_share_of_place_stays():
    values = activation(lambda o, x, y, p: x, lambda o, x, y, p: y)
    cells = by_factor(values, PHASES).reshape(OBJECTS, CELLS * CELLS, PHASES, PHASES, 2)
    order = np.random.default_rng(3).permutation(CELLS * CELLS)
    mixed = cells[:, order].reshape(OBJECTS, CELLS, CELLS, PHASES, PHASES, 2).transpose(0, 1, 3, 2, 4, 5).reshape(values.shape)
    assert total_effects(mixed, PHASES)["position"] == pytest.approx(1)
    assert max(readout(mixed, PHASES)["x"], readout(mixed, PHASES)["y"]) < 0.3


def test_a_profile_is_the_deviation_by_distance():
    maps = np.zeros((2, 6, 7))
    maps[0, 0] = 4  # a bright first row
    profile = border_profile(maps)
    assert profile.shape == (2, 3)
    assert profile[0] == pytest.approx([7 * 4 / 22, 0, 0])
    assert not profile[1].any()


@pytest.mark.parametrize(
    ("profile", "expected"),
    [([1, 0.5, 0.2, 0.05], 3), ([1, 0.05, 0.2, 0.0], 3), ([1, 0, 0, 0], 1), ([0, 0, 0, 0], 0), ([1e-7, 1e-8, 0, 0], 0)],
)
def test_how_far_it_reaches(profile, expected):
    assert reach(np.array(profile)) == expected
