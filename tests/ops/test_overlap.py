"""Sparse overlap counts against a dense table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import label_pairs

from pancyte.ops.overlap import overlap_table

SETTINGS = settings(deadline=None, max_examples=50)


@SETTINGS
@given(label_pairs())
def test_overlap_table_equals_a_dense_table(pair):
    table = overlap_table(*pair)
    true_ids, rows = np.unique(np.append(pair[0], 0), return_inverse=True)
    found_ids, columns = np.unique(np.append(pair[1], 0), return_inverse=True)
    dense = np.zeros((len(true_ids), len(found_ids)), int)
    np.add.at(dense, (rows[:-1], columns[:-1]), 1)
    assert_array_equal(table.truth_ids, true_ids[1:])
    assert_array_equal(table.prediction_ids, found_ids[1:])
    assert_array_equal(table.truth_areas, dense.sum(1)[1:])
    assert_array_equal(table.prediction_areas, dense.sum(0)[1:])
    index = np.nonzero(dense[1:, 1:])
    assert_array_equal((table.truth_index, table.prediction_index), index)
    assert_array_equal(table.counts, dense[1:, 1:][index])


@SETTINGS
@given(label_pairs())
def test_swapping_the_arrays_transposes_the_table(pair):
    one, other = overlap_table(*pair), overlap_table(*reversed(pair))
    order = np.lexsort((one.truth_index, one.prediction_index))
    assert_array_equal(one.counts[order], other.counts)
    assert_allclose(one.iou[order], other.iou)


@pytest.mark.parametrize("shape", [(0,), (0, 7), (3, 4)])
def test_empty_in_empty_out(shape):
    table = overlap_table(np.zeros(shape, int), np.zeros(shape, np.uint8))
    assert len(table.truth_ids) == len(table.prediction_ids) == len(table.counts) == 0
    assert len(table.iou) == 0


def test_hash_grows_with_the_pairs_and_ids_do_not_wrap():
    first = np.arange(1, 200_001).reshape(400, 500)
    second = first[::-1] + 2_000_000_000
    table = overlap_table(first, second)
    assert len(table.counts) == 200_000
    assert_array_equal(table.truth_ids, np.arange(1, 200_001))
    assert table.prediction_ids.max() == 2_000_200_000
    assert_array_equal(table.iou, 1)


def test_strided_and_read_only_arrays_work():
    plane = np.repeat(np.arange(6), 4).reshape(6, 4)
    plane.setflags(write=False)
    table = overlap_table(plane[::2, ::-1], plane[::2])
    assert_array_equal(table.counts, [4, 4])


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"one shape, but got \(2, 3\), \(3, 2\)"):
        overlap_table(np.ones((2, 3), int), np.ones((3, 2), int))
