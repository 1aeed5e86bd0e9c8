"""Measurements of objects, one object at a time by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import label_planes

from pancyte.ops.measure import measure_objects

BASIC = [
    "class", "label", "area", "centroid-0", "centroid-1", "bbox-0", "bbox-1", "bbox-2", "bbox-3",
    "diameter", "touches_border",
]  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(label_planes())
def test_every_object_is_measured_as_defined(labels):
    rng = np.random.default_rng(0)
    pixels = rng.random((2, *labels.shape[1:]), dtype=np.float32)
    table = measure_objects(labels, pixels)
    expected = [(k, i) for k, plane in enumerate(labels) for i in np.unique(plane[plane > 0])]
    assert list(zip(table["class"], table["label"], strict=True)) == expected
    for row, (k, i) in list(enumerate(expected))[:30]:
        inside = labels[k] == i
        rows, columns = np.nonzero(inside)
        assert table["area"][row] == inside.sum()
        assert_allclose(table["centroid-0"][row], rows.mean())
        assert_allclose(table["centroid-1"][row], columns.mean())
        box = [table[f"bbox-{side}"][row] for side in range(4)]
        assert box == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert_allclose(np.pi * table["diameter"][row] ** 2 / 4, inside.sum())
        assert_allclose(table["intensity_mean-1"][row], pixels[1][inside].mean(), rtol=1e-5)
        edge = box[0] == 0 or box[1] == 0 or box[2] == labels.shape[1] or box[3] == labels.shape[2]
        assert table["touches_border"][row] == edge


def test_columns_without_image_and_spacing():
    assert list(measure_objects(np.ones((1, 3, 3), int))) == BASIC


def test_empty_labels_give_all_columns_without_rows():
    table = measure_objects(np.zeros((2, 4, 4), int), np.zeros((3, 4, 4), np.float32), (0.5, 0.5))
    assert len(table) == len(BASIC) + 3 + 4
    assert all(len(column) == 0 for column in table.values())


def test_micrometre_columns_use_both_spacings():
    labels = np.zeros((1, 6, 6), int)
    labels[0, 2:4, 1:5] = 7
    table = measure_objects(labels, spacing=(0.5, 2.0))
    assert_allclose(table["area_um2"], 8.0)
    assert_allclose(table["diameter_um"], 2 * np.sqrt(8 / np.pi))
    assert_allclose(table["centroid-0_um"], 2.5 * 0.5)
    assert_allclose(table["centroid-1_um"], 2.5 * 2.0)


def test_large_ids_keep_their_value():
    table = measure_objects(np.array([[[2_000_000_000, 70_000]]]))
    assert_array_equal(table["label"], [70_000, 2_000_000_000])


def test_shape_of_labels_is_checked():
    with pytest.raises(ValueError, match=r"shape \(K, Y, X\) with at least one class"):
        measure_objects(np.ones((4, 4), int))


def test_shape_of_pixels_is_checked():
    with pytest.raises(ValueError, match=r"as the labels \(1, 4, 4\), but got \(1, 4, 5\)"):
        measure_objects(np.ones((1, 4, 4), int), np.ones((1, 4, 5), np.float32))


def test_spacing_is_checked():
    with pytest.raises(ValueError, match="a spacing for y and x"):
        measure_objects(np.ones((1, 4, 4), int), spacing=(1.0, 1.0, 1.0))


def test_bands_measure_what_the_whole_measures(monkeypatch):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, (2, 40, 30)).astype(np.int32) * 1000
    pixels = generator.normal(size=(2, 40, 30)).astype(np.float32)
    whole = measure_objects(labels, pixels, (0.5, 2.0))

    monkeypatch.setattr("pancyte.ops.measure._BAND", 7)
    in_bands = measure_objects(labels, pixels, (0.5, 2.0))

    assert set(in_bands) == set(whole)
    for name, column in whole.items():
        np.testing.assert_allclose(in_bands[name], column, rtol=1e-12, err_msg=name)
