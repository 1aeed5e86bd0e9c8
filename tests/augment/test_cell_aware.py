"""Objects become brighter or lose their boundaries, and keep their ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import SEEDS, frozen, label_planes, voronoi_cells

from pancyte.augment.cell_aware import (
    BoundaryExclusion,
    CellAware,
    change_objects,
    clear_boundaries,
    diversify_cells,
)
from pancyte.types import Sample

SETTINGS = settings(deadline=None, max_examples=20)
ALL = CellAware(ratio=1.0, factor=(0.5, 0.5))


def sample_of(planes, channels=3, valid=None, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-0.2, 1.0, (channels, *planes.shape[1:])).astype(np.float32)
    return Sample(frozen(image), frozen(np.asarray(planes, np.int32)), valid)


def objects_of(sample):
    """The pixels of every object of every class, by brute force."""
    return [plane == label for plane in sample.labels for label in np.unique(plane) if label != 0]


@SETTINGS
@given(label_planes(), SEEDS, st.sampled_from((0.0, 0.1, 0.4, 1.0)), st.integers(1, 4))
def test_the_change_is_that_of_some_objects_with_one_factor(planes, seed, ratio, channels) -> None:
    sample = sample_of(planes, channels, seed=seed)
    cells = CellAware(ratio=ratio, factor=(0.2, 0.7))
    out = diversify_cells(sample, cells, np.random.default_rng(seed))
    assert out.labels is sample.labels
    positive = sample.image > 1e-3
    changed = (out.image != sample.image) & positive
    gains = out.image[changed] / sample.image[changed] - 1
    if changed.any():
        assert gains.min() >= 0.2 - 1e-4
        assert gains.max() <= 0.7 + 1e-4
        assert np.ptp(gains) < 1e-3
    # The pixels are those of a set of objects, the same in all channels.
    objects = objects_of(sample)
    whole = changed.any(axis=0)
    assert_array_equal(changed, whole & positive)
    seen = positive.any(axis=0)
    inside = [mask for mask in objects if not (mask & seen & ~whole).any()]
    union = np.any(inside, axis=0) if inside else np.zeros(whole.shape, bool)
    assert_array_equal(union & seen & whole, whole)


@SETTINGS
@given(SEEDS, st.sampled_from((0.1, 0.4, 0.55, 1.0)))
def test_the_number_of_chosen_objects_is_rounded_down(seed, ratio) -> None:
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 40))
    ids = rng.permutation(10_000)[:number].astype(np.int32) + 1
    planes = np.zeros((2, 1, 40), np.int32)
    planes[rng.integers(0, 2, number), 0, np.arange(number)] = ids
    sample = Sample(np.ones((1, 1, 40), np.float32), planes)
    out = diversify_cells(sample, CellAware(ratio=ratio, factor=(0.5, 0.5)), rng)
    assert (out.image > 1).sum() == np.floor(round(ratio * number, 6))


def test_every_object_is_chosen_equally_often_the_last_one_too() -> None:
    planes = np.array([[[1, 2, 5, 9, 70_000]]], np.int32)
    sample = Sample(np.ones((1, 1, 5), np.float32), planes)
    cells = CellAware(ratio=0.4, factor=(0.5, 0.5))
    times = sum(
        diversify_cells(sample, cells, np.random.default_rng(seed)).image[0, 0] > 1
        for seed in range(600)
    )
    assert_allclose(times / 600, 0.4, atol=0.07)


def test_objects_in_two_classes_are_brightened_once() -> None:
    planes = np.array([[[1, 1, 1, 0]], [[0, 1, 0, 0]]], np.int32)
    sample = Sample(np.ones((2, 1, 4), np.float32), planes)
    out = diversify_cells(sample, ALL, np.random.default_rng(0))
    assert_array_equal(out.image, np.broadcast_to([1.5, 1.5, 1.5, 1.0], (2, 1, 4)))


def test_values_may_exceed_one_and_negative_ones_stay() -> None:
    image = np.array([[[-0.25, 2.0, 0.5]]], np.float32)
    out = diversify_cells(Sample(image, np.ones((1, 1, 3), np.int32)), ALL,
                          np.random.default_rng(0))  # fmt: skip
    assert_array_equal(out.image, [[[-0.25, 3.0, 0.75]]])


def test_patches_are_changed_as_often_and_as_strongly_as_asked_for() -> None:
    sample = Sample(np.ones((1, 4, 4), np.float32), np.ones((1, 4, 4), np.int32))
    cells = CellAware(probability=0.25, ratio=1.0)
    gains = np.array(
        [
            diversify_cells(sample, cells, np.random.default_rng(seed)).image.max() - 1
            for seed in range(600)
        ]
    )
    assert np.mean(gains > 0) == pytest.approx(0.25, abs=0.05)
    assert gains.max() == pytest.approx(0.7, abs=0.03)
    assert gains[gains > 0].mean() == pytest.approx(0.35, abs=0.05)


def brute_force_boundaries(sample, exclusion):
    """Labels without boundaries, one pixel after the other."""
    labels = sample.labels.copy()
    height, width = labels.shape[1:]
    for k, y, x in np.argwhere(sample.labels > 0):
        plane = sample.labels[k]
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        differs = any(
            plane[v, u] != plane[y, x] for v, u in around if 0 <= v < height and 0 <= u < width
        )
        large = (plane == plane[y, x]).sum() >= exclusion.min_size
        reach = exclusion.border
        box = np.pad(np.ones_like(plane, bool) if sample.valid is None else sample.valid[k], reach)[
            y : y + 2 * reach + 1, x : x + 2 * reach + 1
        ]
        if differs and large and box.all():
            labels[k, y, x] = 0
    return labels


@SETTINGS
@given(label_planes(max_side=20), st.sampled_from((0, 5, 40)), st.integers(0, 3), SEEDS)
def test_boundaries_are_those_found_pixel_by_pixel(planes, min_size, border, seed) -> None:
    rng = np.random.default_rng(seed)
    valid = None if seed % 2 else frozen(rng.random(planes.shape) < 0.97)
    sample = sample_of(planes, valid=valid)
    exclusion = BoundaryExclusion(min_size=min_size, border=border)
    out = clear_boundaries(sample, exclusion)
    assert_array_equal(out.labels, brute_force_boundaries(sample, exclusion))
    assert out.labels.dtype == np.int32
    assert out.image is sample.image
    assert out.valid is sample.valid


def test_small_objects_stay_whole_and_large_ones_shrink_by_a_pixel() -> None:
    planes = np.zeros((1, 60, 60), np.int32)
    planes[0, 10:23, 10:25] = 4  # 195 pixels
    planes[0, 30:44, 30:44] = 9  # 196 pixels
    out = clear_boundaries(sample_of(planes), BoundaryExclusion()).labels[0]
    assert (out == 4).sum() == 195
    assert_array_equal(np.argwhere(out == 9).min(axis=0), [31, 31])
    assert (out == 9).sum() == 144


def test_an_object_cut_by_the_image_keeps_its_pixels_there() -> None:
    planes = np.zeros((1, 40, 40), np.int32)
    planes[0, :20, 10:30] = 1
    cut = clear_boundaries(sample_of(planes), BoundaryExclusion()).labels[0]
    assert (cut[0, 10:30] == 1).all()
    assert (cut[1, 10:30] == 1).all()
    assert cut[5, 10] == 0
    assert cut[19, 20] == 0
    # The same where the image ends inside of the patch.
    inside = np.zeros((1, 50, 40), np.int32)
    inside[0, 10:] = planes[0]
    valid = np.ones((1, 50, 40), bool)
    valid[0, :10] = False
    shifted = clear_boundaries(sample_of(inside, valid=valid), BoundaryExclusion()).labels[0]
    assert_array_equal(shifted[10:-2], cut[:-2])


def test_both_changes_come_together_and_none_leaves_the_sample() -> None:
    planes = voronoi_cells((64, 64), 24, np.random.default_rng(0))[None]
    sample = sample_of(planes)
    assert change_objects(sample, np.random.default_rng(0)) is sample
    both = change_objects(
        sample, np.random.default_rng(0), cell_aware=ALL, exclude_boundaries=BoundaryExclusion()
    )
    whole = diversify_cells(sample, ALL, np.random.default_rng(0))
    assert_array_equal(both.image, whole.image)
    assert_array_equal(both.labels, clear_boundaries(sample, BoundaryExclusion()).labels)
    assert (both.labels != sample.labels).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CellAware(ratio=1.5), "ratio in 0 to 1, but got 1.5"),
        (lambda: CellAware(probability=-1.0), "probability in 0 to 1, but got -1.0"),
        (
            lambda: CellAware(factor=(0.7, 0.1)),
            r"factor to be a range of at least 0, but got \(0.7",
        ),
        (lambda: BoundaryExclusion(min_size=-1), "min_size of at least 0, but got -1"),
        (lambda: BoundaryExclusion(border=-2), "border of at least 0, but got -2"),
    ],
)
def test_settings_out_of_range_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
