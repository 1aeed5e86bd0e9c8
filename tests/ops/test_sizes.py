import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tests.strategies import labels

from pancyte.ops.labels import touches_border
from pancyte.ops.sizes import BACKGROUND, CUT, UNKNOWN, WHOLE, cell_middles, size_targets


@given(labels(), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_size_targets_give_each_cell_the_diameter_of_its_object(plane, stride):
    sizes, kinds = size_targets(plane, reference=30.0, stride=stride)

    rows, columns = (cell_middles(length, stride) for length in plane.shape)
    at_border = set(touches_border(plane).tolist())
    assert sizes.shape == kinds.shape == tuple(-(-side // stride) for side in plane.shape)
    for place in np.ndindex(sizes.shape):
        label = plane[rows[place[0]], columns[place[1]]]
        if label == 0:
            assert (sizes[place], kinds[place]) == (0.0, BACKGROUND)
        else:
            diameter = np.sqrt(4 / np.pi * (plane == label).sum())
            assert sizes[place] == pytest.approx(np.log2(diameter / 30.0), abs=1e-5)
            assert kinds[place] == (CUT if int(label) in at_border else WHOLE)


@given(labels())
@settings(max_examples=20, deadline=None)
def test_size_targets_do_not_depend_on_the_ids(plane):
    renamed = np.where(plane > 0, 2**31 - plane.astype(np.int64), 0)

    for one, other in zip(
        size_targets(plane, reference=30.0), size_targets(renamed, reference=30.0), strict=True
    ):
        assert_array_equal(one, other)


def test_size_targets_grow_by_one_where_the_image_is_twice_as_large():
    plane = np.zeros((64, 64), np.int32)
    plane[20:40, 24:44] = 3

    small, _ = size_targets(plane, reference=30.0)
    large, _ = size_targets(np.kron(plane, np.ones((2, 2), np.int32)), reference=30.0)

    assert large.max() == pytest.approx(small.min() + 1.0)


def test_size_targets_do_not_trust_an_object_beside_the_unknown():
    plane = np.zeros((16, 32), np.int32)
    plane[4:12, 4:12] = 1
    plane[4:12, 20:28] = 2
    valid = np.ones(plane.shape, dtype=np.bool_)
    valid[:, 28:] = False

    _, kinds = size_targets(plane, valid, reference=30.0)

    assert kinds[2].tolist() == [BACKGROUND, WHOLE, WHOLE, *[BACKGROUND] * 2, CUT, CUT, UNKNOWN]


def test_size_targets_of_an_image_of_one_pixel():
    sizes, kinds = size_targets(np.ones((1, 1), np.int32), reference=1.0)

    assert sizes[0, 0] == pytest.approx(np.log2(np.sqrt(4 / np.pi)))
    assert kinds[0, 0] == CUT


@given(st.integers(1, 40), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_cell_middles_lie_in_their_cells(length, stride):
    middles = cell_middles(length, stride)

    assert_array_equal(middles // stride, np.arange(-(-length // stride)))
    assert middles[-1] < length
