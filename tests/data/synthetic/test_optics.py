from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from pancyte.data.synthetic.optics import (
    CONTRASTS,
    any_order,
    expose,
    fluoresce,
    quantize,
    record,
    transmit,
)
from pancyte.data.synthetic.scene import Scene

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


def test_exposure_adds_the_noise_that_is_asked_for_smoothed_or_not():
    # Dark, nearly as bright as the brightest, which may be cut off, and a tenth of the brightest.
    light = np.repeat([0.0, 0.8, 1.0], [60, 120, 20])[None, None] * np.ones((1, 200, 1))
    beside = []
    for seed in range(20):
        image = expose(light, rng(seed), noise=(0.05, 0.05), uneven=0.0).astype(float)[0]
        bright = image[:, 60:180]
        noise = bright.std() / (np.median(bright) - np.median(image[:, :60])) * 0.8
        # That of photons is a little less there than at the brightest.
        assert 0.043 < noise < 0.052
        beside.append(np.corrcoef(bright[1:].ravel(), bright[:-1].ravel())[0, 1])
    assert any(alike > 0.3 for alike in beside)
    assert any(abs(alike) < 0.05 for alike in beside)


@pytest.mark.parametrize("channels", [None, 1, 2])
def test_a_recording_shows_the_field_of_view(channels):
    scene = Scene(shape=(20, 30), diameter=10.0)
    light = np.full(scene.larger, 9.0)  # what lies outside is much brighter
    light[scene.window] = np.linspace(0.1, 1.0, 30)
    light = light if channels is None else np.stack([light] * channels)
    image = record(light, scene, rng(), noise=(1e-4, 1e-4), uneven=0.0).astype(float)

    assert image.shape == (channels or 1, 20, 30)
    assert_allclose(np.diff(image, axis=2).mean() * 29 / np.ptp(image), 1.0, rtol=0.05)


def test_glare_is_cut_off():
    scene = Scene(shape=(40, 50), diameter=10.0)
    light = np.ones(scene.larger)
    light[30, 30] = 50.0

    def brightest(glare):
        image = record(light, scene, rng(3), noise=(1e-6, 1e-6), uneven=0.0, glare=glare)
        return image.astype(float).max() / np.median(image)

    assert brightest(None) > 2 * brightest(1.2)


def test_channels_come_in_any_order():
    first = {any_order(np.zeros((2, 2)), np.ones((2, 2)), rng(seed))[0, 0, 0] for seed in range(9)}
    assert first == {0.0, 1.0}


def test_counts_are_of_8_or_16_bits():
    kinds = {quantize(np.ones((1, 4, 4)), rng(seed), top=1.0).dtype for seed in range(20)}
    assert kinds == {np.dtype(np.uint8), np.dtype(np.uint16)}


def test_a_stain_lies_over_a_dark_level():
    light = fluoresce((RADIUS < 10).astype(float), rng(), blur=(1.0, 1.0), size=20.0)

    assert light.min() > 0
    assert light[RADIUS < 8].min() > 3 * light[RADIUS > 40].max()
