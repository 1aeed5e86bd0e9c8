"""Types and numbering of ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from tests.strategies import labels

from pancyte.ops.ids import MAX_ID, as_labels, bounding_boxes, compact_ids, map_ids

SETTINGS = settings(deadline=None, max_examples=30)


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_as_labels_keeps_every_integer_type(dtype):
    result = as_labels(np.array([[0, 1], [1, 0]], dtype=dtype))
    assert result.dtype == np.int32
    assert_array_equal(result, [[0, 1], [1, 0]])


def test_as_labels_does_not_copy_what_fits():
    plane = np.ones((3, 4), np.int32)
    assert as_labels(plane) is plane


@pytest.mark.parametrize("shape", [(0,), (0, 4), (2, 0, 3)])
def test_as_labels_takes_arrays_without_pixels(shape):
    assert as_labels(np.zeros(shape, np.int64)).shape == shape


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_as_labels_refuses_ids_that_do_not_fit(dtype):
    with pytest.raises(ValueError, match="up to 2147483647, but got 2147483648"):
        as_labels(np.array([MAX_ID + 1], dtype=dtype))


def test_as_labels_refuses_negative_ids():
    with pytest.raises(ValueError, match="from 0 upward, but got -1"):
        as_labels(np.array([3, -1]))


def test_as_labels_refuses_floats():
    with pytest.raises(TypeError, match="integer type, but got float64"):
        as_labels(np.array([1.0]))


@SETTINGS
@given(labels())
def test_compact_ids_keeps_the_partition_and_the_order(plane):
    compact, ids = compact_ids(plane)
    assert compact.dtype == ids.dtype == np.int32
    assert_array_equal(ids[compact], plane)
    assert_array_equal(ids, np.union1d([0], plane))
    assert_array_equal(np.union1d([0], compact), np.arange(len(ids)))


@SETTINGS
@given(labels())
def test_compact_ids_is_idempotent(plane):
    compact, _ = compact_ids(plane)
    assert_array_equal(compact_ids(compact)[0], compact)


def test_compact_ids_of_the_largest_id_needs_no_table_of_it():
    compact, ids = compact_ids(np.array([[MAX_ID, 0], [5, MAX_ID]]))
    assert_array_equal(compact, [[2, 0], [1, 2]])
    assert_array_equal(ids, [0, 5, MAX_ID])


def test_compact_ids_does_not_wrap_at_65536():
    plane = np.arange(300 * 300).reshape(300, 300) * 2
    compact, _ = compact_ids(plane)
    assert_array_equal(compact, plane // 2)


@SETTINGS
@given(labels())
def test_bounding_boxes_hold_exactly_their_object(plane):
    compact, ids = compact_ids(plane)
    boxes = bounding_boxes(compact, len(ids) - 1)
    for label, (y0, x0, y1, x1) in list(enumerate(boxes, start=1))[:50]:
        rows, columns = np.nonzero(compact == label)
        assert (y0, y1) == (rows.min(), rows.max() + 1)
        assert (x0, x1) == (columns.min(), columns.max() + 1)


def test_bounding_boxes_of_absent_ids_are_zero():
    assert_array_equal(bounding_boxes(np.array([[0, 2]], np.int32), 3)[[0, 2]], np.zeros((2, 4)))


def test_map_ids_replaces_by_table():
    plane = np.array([[2, 0, 1]], np.int32)
    assert_array_equal(map_ids(plane, np.array([0, 9, 4], np.int32)), [[4, 0, 9]])
