import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pancyte.ops.intensity import HIGHEST, LOWEST, normalize, percentile_range, replace_non_finite

any_float = st.floats(width=32, allow_nan=False, allow_infinity=False)
images = hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3), elements=any_float)


def test_replace_non_finite_takes_the_median_of_its_channel():
    pixels = np.array([[[1, np.nan, 3]], [[np.inf, 7, -np.inf]]], dtype=np.float32)
    pixels.setflags(write=False)

    replaced, count = replace_non_finite(pixels)

    assert count == 3
    assert replaced.tolist() == [[[1, 2, 3]], [[7, 7, 7]]]
    again, none = replace_non_finite(replaced)
    assert none == 0
    assert again is replaced


def test_replace_non_finite_counts_what_float32_cannot_hold():
    replaced, count = replace_non_finite(np.array([[1e300, 4.0]]))

    assert count == 1
    assert replaced.tolist() == [[4.0, 4.0]]


def test_replace_non_finite_refuses_a_channel_without_a_number():
    pixels = np.array([[1.0, 2.0], [np.nan, np.inf]])
    with pytest.raises(ValueError, match="channel 1 holds no finite pixel, only NaN or infinity"):
        replace_non_finite(pixels)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32, np.float16, ">u2"])
def test_replace_non_finite_keeps_values_of_any_type(dtype):
    replaced, count = replace_non_finite(np.array([[0, 1], [1, 0]]).astype(dtype))

    assert replaced.dtype == np.float32
    assert (replaced.tolist(), count) == ([[0, 1], [1, 0]], 0)


@given(
    pixels=st.sampled_from((np.uint8, np.uint16)).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9))
    ),
    low=st.floats(0, 50),
    high=st.floats(50.5, 100),
)
@settings(max_examples=50, deadline=None)
def test_percentile_range_of_counted_values_is_that_of_sorted_ones(pixels, low, high):
    expected = percentile_range(pixels.astype(np.float64), (low, high))

    assert percentile_range(pixels, (low, high)) == expected


def test_percentile_range_of_few_bright_pixels_are_the_extremes():
    pixels = np.zeros((50, 50))
    pixels[7, 7] = 9.0

    assert percentile_range(pixels, (1.0, 99.8)) == (0.0, 9.0)


def test_percentile_range_of_nothing_and_of_a_constant():
    assert percentile_range(np.zeros((0, 4)), (1.0, 99.0)) == (0.0, 0.0)
    assert percentile_range(np.full((3, 4), 5), (1.0, 99.0)) == (5.0, 5.0)


def test_percentile_range_of_a_large_image_reads_a_sample(monkeypatch):
    monkeypatch.setattr("pancyte.ops.intensity._EXACT", 1000)
    pixels = np.random.RandomState(0).uniform(size=(1, 200, 300))

    low, high = percentile_range(pixels, (1.0, 99.0))

    assert 0.0 < low < 0.04
    assert 0.96 < high < 1.0


@given(images)
@settings(max_examples=50, deadline=None)
def test_normalize_is_finite_and_within_its_limits(pixels):
    low, high = np.array([percentile_range(channel, (1.0, 99.8)) for channel in pixels]).T

    normalized = normalize(pixels, low, high)

    assert normalized.dtype == np.float32
    assert normalized.min() >= LOWEST
    assert normalized.max() <= HIGHEST
    order = np.argsort(pixels[0], axis=None, kind="stable")
    assert (np.diff(normalized[0].reshape(-1)[order]) >= 0).all()


def test_normalize_a_constant_image_is_zero():
    assert not normalize(np.full((2, 3, 3), 4.0), np.array([4.0, 4.0]), np.array([4.0, 4.0])).any()


def test_normalize_in_blocks_equals_the_formula(monkeypatch):
    monkeypatch.setattr("pancyte.ops.intensity._BLOCK", 7)
    pixels = np.arange(40.0).reshape(1, 5, 8)

    normalized = normalize(pixels, np.array([10.0]), np.array([20.0]))

    np.testing.assert_allclose(normalized, np.clip((pixels - 10) / 10, -0.5, 3.0))


def test_normalize_refuses_a_range_of_other_channels():
    with pytest.raises(ValueError, match="each of 2 channels, but got 1 and 1"):
        normalize(np.zeros((2, 3, 3)), np.zeros(1), np.ones(1))
