from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from tests.strategies import SEEDS

from pancyte.data.synthetic.camera import camera, texture, to_bits, uneven_light


def test_camera_has_the_variance_of_counted_photons():
    light = np.array([0.0, 0.1, 0.5, 2.0], np.float32)
    counts = camera(
        np.broadcast_to(light[:, None, None], (4, 200, 200)),
        np.random.default_rng(0),
        photons=500.0,
    ).astype(float)

    electrons = 500.0 * light
    np.testing.assert_allclose(counts.mean(axis=(1, 2)), 100 + 2 * electrons, rtol=0.01)
    np.testing.assert_allclose(counts.var(axis=(1, 2)), 4 * (electrons + 4), rtol=0.05)


def test_camera_saturates():
    counts = camera(np.ones((1, 2, 2), np.float32), np.random.default_rng(0), photons=1e6)

    assert (counts == 65535).all()


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_uneven_light_is_smooth_and_of_mean_one(seed):
    light = uneven_light((60, 80), np.random.default_rng(seed))

    assert light.min() > 0
    np.testing.assert_allclose(light.mean(), 1, rtol=1e-5)
    assert max(np.abs(np.diff(light, axis=axis)).max() for axis in (0, 1)) < 0.05


def test_texture_is_normalized_and_has_its_grain():
    coarse = texture((128, 128), 4.0, np.random.default_rng(0))
    fine = texture((128, 128), 1.0, np.random.default_rng(0))

    for field in (coarse, fine):
        np.testing.assert_allclose(field.std(), 1)
        assert abs(field.mean()) < 0.2
    assert gaussian_filter(coarse, 3.0).std() > 2 * gaussian_filter(fine, 3.0).std()


def test_sixteen_bits_are_the_counts():
    counts = np.arange(400, dtype=np.uint16).reshape(1, 20, 20)

    assert to_bits(counts, 16, np.random.default_rng(0)) is counts


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, value=st.integers(0, 65535))
def test_eight_bits_use_their_range_and_keep_the_order(seed, value):
    counts = (100 + 7 * np.arange(2000, dtype=np.uint16)).reshape(1, 40, 50)
    pixels = to_bits(counts, 8, np.random.default_rng(seed))
    flat = to_bits(np.full((1, 4, 4), value, np.uint16), 8, np.random.default_rng(seed))

    assert pixels.dtype == flat.dtype == np.uint8
    assert pixels.max() == 255
    assert (np.diff(pixels.ravel().astype(int)) >= 0).all()
    assert np.unique(flat).size == 1
