from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from pancyte.data.synthetic.scenery import SCENERY, fractal


@pytest.mark.parametrize("name", sorted(SCENERY))
def test_light_has_its_shape_and_is_not_negative(name):
    for seed in range(4):
        light = SCENERY[name]((40, 53), np.random.default_rng(seed))

        assert light.shape == (40, 53)
        assert np.isfinite(light).all()
        assert light.min() >= 0
        # Few frequencies have most of the power: of noise the twentieth would have a fifth.
        power = np.sort(np.abs(fft.fft2(light - light.mean())).ravel() ** 2)[::-1]
        assert power[: power.size // 20].sum() > 0.35 * power.sum()


def test_fractal_noise_has_less_of_high_frequencies():
    light = fractal((128, 128), np.random.default_rng(0), slope=1.5)
    power = np.abs(fft.fft2(light - light.mean()))[0, 1:64]

    assert power[:8].mean() > 5 * power[32:].mean()
