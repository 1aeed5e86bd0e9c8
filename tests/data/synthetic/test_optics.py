from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.optics import CONTRASTS, expose, fluoresce, quantize, transmit

Y, X = np.mgrid[:96, :90]
RADIUS = np.hypot(Y - 48, X - 45)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_nothing_to_see_is_even_light(contrast):
    light = transmit(np.zeros((50, 67)), rng(), contrast=contrast, size=20.0)

    assert light.shape == (50, 67)
    assert_allclose(light, 1.0, rtol=1e-4)


def test_thin_cells_are_dark_in_phase_contrast_with_a_bright_halo():
    thin = 0.15 * gaussian_filter((RADIUS < 10).astype(float), 1.0)
    for seed in range(6):
        light = transmit(thin, rng(seed), contrast="phase", size=20.0)

        assert light[(RADIUS > 5) & (RADIUS < 9)].mean() < 0.98
        assert light[(RADIUS > 11) & (RADIUS < 14)].mean() > 1.005


def test_relief_is_bright_on_one_side_and_dark_on_the_other():
    dome = 2.0 * np.sqrt(np.clip(1.0 - (RADIUS / 15) ** 2, 0, 1))
    light = transmit(dome, rng(), contrast="dic", size=30.0)

    rim = light[(RADIUS > 8) & (RADIUS < 15)]
    assert rim.min() < 0.8
    assert rim.max() > 1.2


def test_a_clear_cell_is_seen_beside_the_focus_only():
    dome = 1.0 * np.sqrt(np.clip(1.0 - (RADIUS / 15) ** 2, 0, 1))
    sharp = transmit(dome, rng(3), contrast="brightfield", size=30.0, defocus=(0.0, 0.0))
    beside = transmit(dome, rng(3), contrast="brightfield", size=30.0, defocus=(0.1, 0.1))

    assert beside.std() > 1.5 * sharp.std()


def test_exposure_adds_the_noise_that_is_asked_for():
    light = np.broadcast_to(np.linspace(0.5, 1.0, 200)[None, None], (1, 200, 200))
    for seed in range(6):
        image = expose(light, rng(seed), noise=(0.05, 0.05), uneven=0.0).astype(float)
        step = np.median(np.diff(image.mean(axis=1)[0])) * 199  # of the whole slope
        noise = np.diff(image[0, ::2], axis=0).std() / np.sqrt(2.0)
        assert 0.02 < noise / step < 0.1


def test_counts_are_of_8_or_16_bits():
    kinds = {quantize(np.ones((1, 4, 4)), rng(seed), top=1.0).dtype for seed in range(20)}
    assert kinds == {np.dtype(np.uint8), np.dtype(np.uint16)}


def test_a_stain_lies_over_a_dark_level():
    light = fluoresce((RADIUS < 10).astype(float), rng(), blur=(1.0, 1.0), size=20.0)

    assert light.min() > 0
    assert light[RADIUS < 8].min() > 3 * light[RADIUS > 40].max()
