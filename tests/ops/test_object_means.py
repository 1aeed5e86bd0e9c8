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


def test_an_absent_id_has_mean_zero():
    assert mean_per_object(np.zeros((2, 2), np.int32), np.ones((2, 2), np.float32), 1)[0] == 0
