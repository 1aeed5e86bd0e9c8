from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.viz.overlay import (
    greedy_coloring,
    object_colors,
    overlay,
    readable_magnification,
    to_display,
    touching_pairs,
)


def gray_image(shape: tuple[int, int]) -> np.ndarray:
    """A black image with a white corner, so that the stretch leaves the rest black."""
    pixels = np.zeros((1, *shape), np.float32)
    pixels[0, 0, 0] = 1
    return pixels


def test_overlay_draws_the_inner_contour_and_nothing_else() -> None:
    labels = np.zeros((1, 7, 7), np.int32)
    labels[0, 1:6, 1:6] = 5
    drawn = overlay(gray_image((7, 7)), labels)
    colored = (drawn != drawn[3, 3]).any(axis=-1)
    expected = labels[0] > 0
    expected[2:5, 2:5] = False
    assert np.array_equal(colored & (labels[0] > 0), expected)
    assert len(np.unique(drawn[expected], axis=0)) == 1


def test_overlay_draws_nothing_where_there_are_no_objects() -> None:
    pixels = np.random.default_rng(0).random((1, 9, 9)).astype(np.float32)
    labels = np.zeros((1, 9, 9), np.int32)
    assert np.array_equal(overlay(pixels, labels), to_display(pixels))


def test_overlay_draws_two_cells_that_touch_in_two_colors() -> None:
    labels = np.repeat(np.array([[[1] * 4 + [2] * 4]], np.int32), 6, axis=1)
    drawn = overlay(gray_image((6, 8)), labels)
    assert not np.array_equal(drawn[3, 3], drawn[3, 4])
    assert drawn[3, 3].any()
    assert drawn[3, 4].any()


def test_overlay_tells_a_nucleus_from_the_cell_around_it() -> None:
    labels = np.zeros((2, 9, 9), np.int32)
    labels[0, 1:8, 1:8] = 1
    labels[1, 3:6, 3:6] = 1
    drawn = overlay(gray_image((9, 9)), labels)
    assert not np.array_equal(drawn[1, 4], drawn[3, 4])


def test_overlay_magnifies_image_and_labels_together() -> None:
    labels = np.zeros((1, 5, 4), np.int32)
    labels[0, 1:4, 1:3] = 1
    drawn = overlay(gray_image((5, 4)), labels, magnification=3)
    assert drawn.shape == (15, 12, 3)
    assert drawn[3, 3].any()
    assert not drawn[6, 1].any()


def test_overlay_refuses_labels_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"same size, but got \(1, 4, 4\) and \(1, 4, 5\)"):
        overlay(np.zeros((1, 4, 4)), np.zeros((1, 4, 5), np.int32))


def test_overlay_leaves_its_inputs_alone() -> None:
    pixels, labels = gray_image((6, 6)), np.ones((1, 6, 6), np.int32)
    pixels.setflags(write=False)
    labels.setflags(write=False)
    overlay(pixels, labels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_to_display_makes_rgb_of_any_number_of_channels(channels: int) -> None:
    pixels = np.random.default_rng(0).normal(1000, 50, (channels, 8, 9)).astype(np.float32)
    shown = to_display(pixels)
    assert shown.shape == (8, 9, 3)
    assert shown.dtype == np.uint8
    assert shown.min() == 0
    assert shown.max() == 255


@pytest.mark.parametrize("value", [0.0, 65535.0, 3e38])
def test_to_display_shows_a_constant_image_black(value: float) -> None:
    assert not to_display(np.full((1, 5, 6), value, np.float32)).any()


@pytest.mark.parametrize("shape", [(1, 200, 3), (2, 63, 5), (3, 64, 4), (4, 129, 2), (1, 0, 5)])
def test_to_display_stretches_rows_in_parts_as_it_does_all(shape) -> None:
    pixels = np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)
    shown = to_display(pixels)
    whole = (pixels if shape[0] <= 3 else pixels.mean(axis=0, keepdims=True)).astype(np.float32)
    if pixels.size:
        low, high = np.percentile(whole, (0.5, 99.8))
        whole = np.rint(255 * np.clip((whole - low) / (high - low), 0, 1))
    assert shown.shape == (*shape[1:], 3)
    assert np.array_equal(shown[..., 1], whole[1 if len(whole) == 3 else 0])


def test_to_display_keeps_colors() -> None:
    pixels = np.zeros((3, 10, 10), np.float32)
    pixels[0, :5] = 200
    pixels[1, 5:] = 100
    shown = to_display(pixels)
    assert (shown[:5] == [255, 0, 0]).all()
    assert np.allclose(shown[5:], [0, 127, 0], atol=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 2))
def test_objects_that_touch_differ_in_color(seed: int, num_ids: int, num_planes: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.zeros((num_planes, 12, 14), np.int32)
    for k in range(num_planes):
        ids[k] = rng.integers(0, num_ids + 1, (12, 14))
        ids[k][ids[k] > 0] += k * num_ids
    colors = object_colors(ids)
    for k, y, x in np.ndindex(*ids.shape):
        window = ids[k, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].ravel()
        others = {*window.tolist(), *ids[:, y, x].tolist()} - {0, int(ids[k, y, x])}
        if ids[k, y, x]:
            assert all((colors[other] != colors[ids[k, y, x]]).any() for other in others)


def test_greedy_coloring_goes_beyond_the_palette_where_a_graph_needs_it() -> None:
    edges = np.array([(i, j) for i in range(20) for j in range(i)])
    assert len(set(greedy_coloring(20, edges).tolist())) == 20


def test_touching_pairs_are_found_along_edges_and_corners() -> None:
    ids = np.array([[[1, 0, 2], [0, 3, 0], [4, 4, 0]]], np.int32)
    assert touching_pairs(ids).tolist() == [[1, 3], [2, 3], [3, 4]]


def test_readable_magnification_of_a_large_image_is_one() -> None:
    assert readable_magnification((2000, 30)) == 1
    assert readable_magnification((1, 1)) == 8
