from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from tests.strategies import SEEDS

from pancyte.data.synthetic.bacterial_light import LOOKS, phase_factor
from pancyte.data.synthetic.bodies import paint, straight

WIDTH = 12.0


def one_rod():
    center = np.array([60.0, 60.0])
    return paint([straight(center, 0.4, length=40.0, radius=WIDTH / 2)], (120, 120))


@pytest.mark.parametrize("look", sorted(LOOKS))
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_light_is_finite_and_not_negative(look, seed):
    light, photons = LOOKS[look](one_rod(), WIDTH, np.random.default_rng(seed))

    assert light.shape == (120, 120)
    assert np.isfinite(light).all()
    assert light.min() >= 0
    # Neither without a signal nor beyond the range of a camera at twice the light of background.
    assert 50 < photons <= 16000


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_phase_contrast_has_dark_cells_bright_halos_and_an_even_background(seed):
    relief = one_rod()
    light = phase_factor(relief, WIDTH, np.random.default_rng(seed))

    distance = np.asarray(distance_transform_edt(relief.labels == 0))
    inside = light[relief.depth > 3].mean()
    halo = light[(distance > 3) & (distance < 8)].mean()
    assert inside < 0.95
    assert halo > 1
    assert abs(light[distance > 55].mean() - 1) < 0.05


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_negative_phase_contrast_has_bright_cells_and_dark_halos(seed):
    relief = one_rod()
    light = phase_factor(relief, WIDTH, np.random.default_rng(seed), sign=-1.0)

    distance = np.asarray(distance_transform_edt(relief.labels == 0))
    assert light[relief.depth > 3].mean() > 1
    assert light[(distance > 3) & (distance < 8)].mean() < 1


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, weak=st.floats(0.05, 0.2))
def test_a_thinner_cell_takes_less_light(seed, weak):
    relief = one_rod()
    faint, strong = (
        phase_factor(relief, WIDTH, np.random.default_rng(seed), depths=(depth, depth))
        for depth in (weak, 0.8)
    )

    assert faint[relief.depth > 3].mean() > strong[relief.depth > 3].mean()


def test_the_middle_of_a_colony_is_less_dark_than_its_rim():
    bodies = [
        straight(np.array([float(y), float(x)]), 0.0, length=30.0, radius=6.0)
        for y in range(40, 161, 13)
        for x in range(40, 161, 31)
    ]
    relief = paint(bodies, (200, 200))
    middle, rim = [], []
    for seed in range(10):
        light = phase_factor(relief, WIDTH, np.random.default_rng(seed))
        deep = relief.depth > 2
        y, x = np.mgrid[:200, :200]
        inner = np.maximum(abs(y - 100), abs(x - 100)) < 35
        middle.append(light[deep & inner].mean())
        rim.append(light[deep & ~inner].mean())

    assert np.mean(middle) > np.mean(rim)


@pytest.mark.parametrize("look", ["phase", "negative-phase", "bright-field"])
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_light_of_a_tiny_image_keeps_its_range(look, seed):
    relief = paint([straight(np.array([8.0, 12.0]), 0.4, length=20.0, radius=4.0)], (16, 24))
    light, _ = LOOKS[look](relief, 8.0, np.random.default_rng(seed))

    assert light.max() < 6
    assert 0.3 < np.median(light) < 3
