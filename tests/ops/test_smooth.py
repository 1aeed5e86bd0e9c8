"""Smoothing is a convolution with a Gaussian, the border repeated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from tests.strategies import SEEDS, frozen

from pancyte.ops.smooth import gaussian_smooth

SETTINGS = settings(deadline=None, max_examples=30)
SIDES = st.integers(1, 20)
DEVIATIONS = st.sampled_from((0.0, 0.1, 0.25, 0.7, 1.5, 4.0))


@SETTINGS
@given(SEEDS, SIDES, SIDES, DEVIATIONS, DEVIATIONS)
def test_it_is_the_filter_of_scipy(seed, height, width, down, across) -> None:
    image = frozen(np.random.default_rng(seed).normal(size=(2, height, width)).astype(np.float32))
    expected = gaussian_filter(
        image.astype(np.float64), (0, down, across), mode="nearest", truncate=3.0
    )
    assert_allclose(gaussian_smooth(image, (down, across)), expected, atol=2e-6)


def test_a_constant_image_and_no_deviation_change_nothing() -> None:
    constant = np.full((1, 9, 7), 0.3, np.float32)
    assert_allclose(gaussian_smooth(constant, (2.0, 1.0)), constant, rtol=1e-6)
    image = np.random.default_rng(0).random((3, 5, 6), dtype=np.float32)
    out = gaussian_smooth(image, (0.0, 0.0))
    assert_array_equal(out, image)
    assert not np.shares_memory(out, image)


def test_an_image_without_pixels_stays_one() -> None:
    assert gaussian_smooth(np.zeros((2, 0, 4), np.float32), (1.0, 1.0)).shape == (2, 0, 4)


def test_wrong_shapes_and_deviations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(C, Y, X\), but got \(4, 4\)"):
        gaussian_smooth(np.zeros((4, 4), np.float32), (1.0, 1.0))
    with pytest.raises(ValueError, match=r"at least 0, but got \(-1.0, 1.0\)"):
        gaussian_smooth(np.zeros((1, 4, 4), np.float32), (-1.0, 1.0))
