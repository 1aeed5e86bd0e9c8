"""One affine, one gather: against numpy where it copies, against scipy where it interpolates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from tests.strategies import SEEDS, label_planes

from pancyte.ops.warp import (
    Window,
    halve,
    halved_window,
    inside_image,
    warp_image,
    warp_labels,
)

SETTINGS = settings(deadline=None, max_examples=30)
QUARTER_TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])


def middle(shape):
    return ((shape[0] - 1) / 2, (shape[1] - 1) / 2)


def turn_of(degrees, scale=1.0):
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * scale


@SETTINGS
@given(label_planes())
def test_identity_copies_labels_and_pixels(planes) -> None:
    shape = planes.shape[1:]
    window = Window(middle(shape), np.eye(2), shape)
    assert_array_equal(warp_labels(planes, window), planes)
    small = planes % 2**20  # float32 holds these
    assert_array_equal(warp_image(small, window), small)
    assert inside_image(shape, window).all()


@SETTINGS
@given(label_planes())
def test_flips_and_quarter_turns_are_those_of_numpy(planes) -> None:
    shape = planes.shape[1:]
    flip = Window(middle(shape), np.diag([1.0, -1.0]), shape)
    assert_array_equal(warp_labels(planes, flip), planes[:, :, ::-1])
    turned = Window(middle(shape), QUARTER_TURN, shape[::-1])
    expected = np.rot90(planes, axes=(1, 2))
    assert_array_equal(warp_labels(planes, turned), expected)
    assert_array_equal(warp_image(planes % 2**20, turned), expected % 2**20)


@SETTINGS
@given(st.floats(0, 360), st.floats(0.4, 1.2), SEEDS)
def test_interpolation_is_that_of_scipy(degrees, scale, seed) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((2, 23, 31)).astype(np.float32)
    window = Window((11.3, 14.8), turn_of(degrees, scale), (17, 20))
    for channel, out in zip(image, warp_image(image, window), strict=True):
        expected = ndimage.affine_transform(
            channel, window.matrix, window.origin, (17, 20), order=1, mode="mirror"
        )
        assert_allclose(out, expected, atol=2e-5)


@SETTINGS
@given(st.floats(0, 360), st.floats(0.3, 4.0), SEEDS)
def test_image_and_labels_move_together(degrees, scale, seed) -> None:
    """Labels as the image: wherever all interpolated neighbors agree, both gathers agree."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(1, 9, (6, 6)), np.ones((12, 12))).astype(np.int32)[None]
    window = Window((35.0, 36.0), turn_of(degrees, scale), (16, 16))
    ids = warp_labels(labels, window)
    low = ndimage.minimum_filter(labels[0], 9, mode="mirror")[None]
    sure = warp_labels(np.where(labels == low, labels, 0), window) > 0
    high = ndimage.maximum_filter(labels[0], 9, mode="mirror")[None]
    sure &= warp_labels(np.where(labels == high, labels, 0), window) > 0
    assert_allclose(warp_image(labels, window)[sure], ids[sure], rtol=1e-6)
    assert set(np.unique(ids)) <= {0, *np.unique(labels).tolist()}


@pytest.mark.parametrize("value", [2**24 + 1, 2**31 - 1])
def test_large_ids_stay_exact(value) -> None:
    labels = np.full((1, 9, 9), value, np.int32)
    out = warp_labels(labels, Window((4.0, 4.0), turn_of(31.0), (5, 5)))
    assert out.dtype == np.int32
    assert_array_equal(out, value)


def test_beyond_the_border_labels_end_and_pixels_are_mirrored() -> None:
    row = np.array([[[1, 2, 3]]], np.int32)
    window = Window((0.0, 1.0), np.eye(2), (1, 7))
    assert_array_equal(warp_labels(row, window)[0, 0], [0, 0, 1, 2, 3, 0, 0])
    assert_array_equal(warp_image(row, window)[0, 0], [3, 2, 1, 2, 3, 2, 1])
    assert_array_equal(inside_image((1, 3), window)[0], [0, 0, 1, 1, 1, 0, 0])
    one = np.full((1, 1, 1), 7, np.uint8)
    assert_array_equal(
        warp_image(one, Window((0.0, 0.0), np.eye(2), (3, 3))), np.full((1, 3, 3), 7)
    )


def test_shrinking_averages_instead_of_picking() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 100).astype(np.uint8)[None]
    out = warp_image(board, Window(middle((64, 64)), np.eye(2) * 2.0, (32, 32)))
    assert_allclose(out, 50.0, atol=1.0)


def test_halved_window_shows_the_same() -> None:
    yy, xx = np.mgrid[:64, :48].astype(np.float32)
    image = np.stack([yy, xx])
    window = Window((30.2, 25.1), turn_of(20.0, 2.5), (9, 9))
    half = warp_image(halve(image), halved_window(window))
    assert_allclose(half, warp_image(image, window), atol=1e-3)


def test_inputs_are_not_modified_and_may_be_strided() -> None:
    image = np.arange(60, dtype=np.uint16).reshape(1, 6, 10)
    image.setflags(write=False)
    strided = image[:, ::2, ::-1]
    out = warp_image(strided, Window(middle((3, 10)), np.eye(2), (3, 10)))
    assert_array_equal(out, strided)


def test_wrong_shapes_are_refused() -> None:
    window = Window((0.0, 0.0), np.eye(2), (2, 2))
    with pytest.raises(ValueError, match=r"pixels of shape \(C, Y, X\).*\(4, 4\)"):
        warp_image(np.zeros((4, 4), np.float32), window)
    with pytest.raises(ValueError, match=r"at least one, but got \(1, 0, 4\)"):
        warp_image(np.zeros((1, 0, 4), np.float32), window)
    with pytest.raises(ValueError, match=r"labels of shape \(K, Y, X\)"):
        warp_labels(np.zeros((4, 4), np.int32), window)
    with pytest.raises(ValueError, match="finite matrix of shape"):
        Window((0.0, 0.0), np.full((2, 2), np.nan), (2, 2))
    with pytest.raises(ValueError, match="at least one pixel"):
        Window((0.0, 0.0), np.eye(2), (0, 2))


@SETTINGS
@given(
    SEEDS, st.sampled_from((0.3, 1.0, 1.4, 2.5)), st.sampled_from((0.4, 1.0, 3.1)), st.booleans()
)
def test_steps_along_the_axes_give_what_almost_the_same_steps_give(
    seed, down, across, turn
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((2, int(rng.integers(1, 40)), int(rng.integers(1, 40)))).astype(np.float32)
    matrix = np.diag([down, -across])[::-1] if turn else np.diag([down, -across])
    center = tuple(rng.uniform(-5, 40, 2))
    straight = warp_image(pixels, Window(center, matrix, (21, 18)))
    # A slope that is not quite 0 takes the way of any other matrix.
    skewed = warp_image(pixels, Window(center, matrix + 1e-12 * (matrix == 0), (21, 18)))
    assert_allclose(straight, skewed, atol=1e-5)
