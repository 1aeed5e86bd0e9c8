"""Means per object against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import consecutive, label_volumes, labels

from pancyte.ops.object_means import mean_per_object, mean_squared_difference


@given(array=st.one_of(labels(max_side=16), label_volumes(max_side=6)), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_means_are_those_of_the_pixels_of_each_object(array, seed):
    rng = np.random.default_rng(seed)
    array = consecutive(array)
    num_objects = int(array.max(initial=0))
    first, second = rng.normal(size=(2, array.ndim, *array.shape)).astype(np.float32)
    errors = mean_squared_difference(array, first, second, num_objects)
    means = mean_per_object(array, first[0], num_objects)
    assert errors.shape == means.shape == (num_objects,)
    for label in range(1, num_objects + 1):
        inside = array == label
        expected = ((first - second)[:, inside] ** 2).sum(axis=0).mean()
        assert errors[label - 1] == pytest.approx(expected, rel=1e-4)
        assert means[label - 1] == pytest.approx(first[0][inside].mean(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("label", [3, 900, -1])
def test_a_label_that_is_none_of_the_objects_is_refused(label):
    labels = np.array([[1, 0, label]], np.int32)
    field = np.ones((2, 1, 3), np.float32)
    message = f"Expected labels of 0 to 2, the number of objects, but got {label}"
    with pytest.raises(ValueError, match=message):
        mean_per_object(labels, field[0], 2)
    with pytest.raises(ValueError, match=message):
        mean_squared_difference(labels, field, field, 2)


def test_values_of_another_shape_are_refused():
    labels = np.ones((4, 5), np.int32)
    field = np.ones((2, 4, 5), np.float32)
    with pytest.raises(ValueError, match=r"of the shape of labels .*\(4, 5\), but got \(4, 4\)"):
        mean_per_object(labels, field[0, :, :4], 1)
    with pytest.raises(ValueError, match=r"\(4, 5\), but got \(4, 5\) and \(3, 5\)"):
        mean_squared_difference(labels, field, field[:, :3], 1)


def test_an_absent_id_has_mean_zero():
    assert mean_per_object(np.zeros((2, 2), np.int32), np.ones((2, 2), np.float32), 1)[0] == 0
