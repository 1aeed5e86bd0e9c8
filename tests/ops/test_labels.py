"""Label operations, against scipy one object at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from scipy import ndimage
from tests.strategies import KINDS, labels

from pancyte.ops.labels import (
    boundaries,
    clear_border,
    fill_holes,
    keep_largest_component,
    make_consecutive,
    remove_small,
    split_components,
    touches_border,
)

SETTINGS = settings(deadline=None, max_examples=30)
SMALL = labels(max_side=24, kinds=tuple(kind for kind in KINDS if kind != "many"))
CLEANING = (
    lambda plane: remove_small(plane, 5),
    clear_border,
    keep_largest_component,
)


def ids_of(plane):
    return np.unique(plane[plane > 0])


@pytest.mark.parametrize("clean", CLEANING)
@SETTINGS
@given(plane=labels())
def test_cleaning_only_removes_and_keeps_ids(clean, plane):
    result = clean(plane)
    assert result.dtype == np.int32
    assert np.all((result == plane) | (result == 0))
    assert_array_equal(clean(result), result)


@pytest.mark.parametrize(
    "function", [*CLEANING, make_consecutive, split_components, fill_holes, boundaries]
)
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 6)])
def test_empty_in_empty_out(function, shape):
    result = function(np.zeros(shape, np.uint16))
    assert result.shape == shape
    assert not result.any()
    assert result.dtype == (bool if function is boundaries else np.int32)


@SETTINGS
@given(SMALL)
def test_make_consecutive_keeps_the_partition(plane):
    result = make_consecutive(plane)
    assert_array_equal(result == 0, plane == 0)
    assert_array_equal(
        np.unique(plane, return_inverse=True)[1], np.unique(result, return_inverse=True)[1]
    )


@SETTINGS
@given(SMALL)
def test_split_components_gives_each_component_one_id(plane):
    result = split_components(plane)
    expected = sum(ndimage.label(plane == i)[1] for i in ids_of(plane))
    assert_array_equal(ids_of(result), np.arange(1, expected + 1))
    for i in ids_of(result)[:40]:
        assert ndimage.label(result == i)[1] == 1
        assert len(np.unique(plane[result == i])) == 1


def test_split_components_numbers_in_scan_order():
    plane = np.array([[0, 2, 0, 2], [2, 2, 0, 1], [0, 0, 0, 1], [3, 3, 0, 1]])
    assert_array_equal(
        split_components(plane), [[0, 1, 0, 2], [1, 1, 0, 3], [0, 0, 0, 3], [4, 4, 0, 3]]
    )


def test_split_components_joins_corners_where_told():
    plane = np.array([[7, 0], [0, 7]])
    assert split_components(plane).max() == 2
    assert split_components(plane, connectivity=2).max() == 1


def test_split_components_works_on_volumes():
    volume = np.zeros((3, 2, 2), int)
    volume[0] = volume[2] = 9
    assert split_components(volume).max() == 2


def test_split_components_does_not_wrap_at_65536():
    plane = np.zeros((600, 600), np.uint8)
    plane[::2, ::2] = 1
    assert split_components(plane).max() == 90_000


@pytest.mark.parametrize(("shape", "connectivity"), [((4,), 1), ((4, 4), 3), ((2, 2, 2, 2), 1)])
def test_split_components_refuses_other_axes(shape, connectivity):
    with pytest.raises(ValueError, match=r"shape \(Y, X\) or \(Z, Y, X\)"):
        split_components(np.ones(shape, int), connectivity=connectivity)


@SETTINGS
@given(SMALL)
def test_keep_largest_component_keeps_one_of_the_largest(plane):
    result = keep_largest_component(plane)
    assert_array_equal(ids_of(result), ids_of(plane))
    for i in ids_of(plane)[:40]:
        parts, _ = ndimage.label(plane == i)
        assert ndimage.label(result == i)[1] == 1
        assert np.sum(result == i) == np.bincount(parts.ravel())[1:].max()


def test_keep_largest_component_takes_the_first_of_equal_ones():
    assert_array_equal(keep_largest_component(np.array([[5, 5, 0, 5, 5]])), [[5, 5, 0, 0, 0]])


@SETTINGS
@given(SMALL)
def test_remove_small_counts_pixels(plane):
    result = remove_small(plane, 6)
    large = [i for i in ids_of(plane) if np.sum(plane == i) >= 6]
    assert_array_equal(result, np.where(np.isin(plane, large), plane, 0))


@SETTINGS
@given(SMALL)
def test_fill_holes_fills_what_scipy_fills(plane):
    result = fill_holes(plane)
    enclosed = np.zeros(plane.shape, bool)
    for i in ids_of(plane):
        enclosed |= ndimage.binary_fill_holes(plane == i)
    assert_array_equal(result > 0, (plane > 0) | enclosed)
    assert_array_equal(result[plane > 0], plane[plane > 0])
    for i in ids_of(result):
        assert np.all(ndimage.binary_fill_holes(plane == i)[result == i])


def test_fill_holes_gives_a_gap_to_the_innermost_ring():
    plane = np.zeros((9, 9), int)
    plane[0, :] = plane[-1, :] = plane[:, 0] = plane[:, -1] = 8
    plane[2:7, 2:7] = 3
    plane[3:6, 3:6] = 0
    plane[4, 4] = 5
    result = fill_holes(plane)
    assert_array_equal(np.unique(result[1, 1:8]), [8])
    assert_array_equal(result[3, 3:6], [3, 3, 3])
    assert result[4, 4] == 5


def test_fill_holes_leaves_what_only_two_objects_enclose():
    plane = np.array([[1, 1, 2], [1, 0, 2], [1, 2, 2]])
    assert_array_equal(fill_holes(plane), plane)


def test_fill_holes_closes_cavities_of_a_volume_and_leaves_tunnels_open():
    volume = np.zeros((5, 7, 14), np.int32)
    volume[:, 1:6, 1:6], volume[1:4, 2:5, 2:5] = 3, 0  # a box around nothing
    volume[2, 3, 3] = 9  # and in the middle another object
    volume[:, 1:6, 8:13], volume[:, 2:5, 9:12] = 7, 0  # a pipe
    filled = fill_holes(volume)
    expected = volume.copy()
    expected[1:4, 2:5, 2:5] = 3
    expected[2, 3, 3] = 9
    assert_array_equal(filled, expected)
    assert_array_equal(fill_holes(volume[2:3])[0], fill_holes(volume[2]))


def test_fill_holes_refuses_other_axes():
    with pytest.raises(ValueError, match=r"\(Z, Y, X\), but got \(2, 2, 3, 3\)"):
        fill_holes(np.ones((2, 2, 3, 3), int))


@pytest.mark.parametrize("width", [0, 1, 2, 30])
@SETTINGS
@given(plane=SMALL)
def test_clear_border_removes_what_touches_the_frame(plane, width):
    frame = np.ones(plane.shape, bool)
    inner = tuple(slice(width, max(width, side - width)) for side in plane.shape)
    frame[inner] = False
    touching = ids_of(np.where(frame, plane, 0))
    assert_array_equal(touches_border(plane, width=width), touching)
    cleared = np.where(np.isin(plane, touching), 0, plane)
    assert_array_equal(clear_border(plane, width=width), cleared)


def test_touches_border_refuses_a_negative_frame():
    with pytest.raises(ValueError, match="0 or more pixels, but got -1"):
        touches_border(np.ones((3, 3), int), width=-1)


@SETTINGS
@given(SMALL)
def test_boundaries_are_where_a_neighbor_differs(plane):
    padded = np.pad(plane, 1, mode="edge")
    expected = np.zeros(plane.shape, bool)
    for axis in (0, 1):
        for shift in (-1, 1):
            expected |= np.roll(padded, shift, axis)[1:-1, 1:-1] != plane
    assert_array_equal(boundaries(plane), expected & (plane > 0))


def test_boundaries_take_planes_apart():
    planes = np.zeros((2, 3, 3), int)
    planes[0] = 1
    planes[1, 1, 1] = 1
    assert_array_equal(boundaries(planes), planes * [[[0]], [[1]]] > 0)


def test_boundaries_refuse_a_row():
    with pytest.raises(ValueError, match=r"\(\.\.\., Y, X\), but got \(3,\)"):
        boundaries(np.array([1, 1, 0]))
