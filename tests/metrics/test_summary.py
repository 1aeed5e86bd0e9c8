"""Means over images and classes, on counts that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pancyte.metrics.matching import THRESHOLDS, match
from pancyte.metrics.summary import ImageMatching, all_scores, summarize, threshold_mean

EMPTY = np.zeros((1, 8), int)


def row(image, label_class, truth, prediction, thresholds=(0.5,)):
    """A row of objects of one pixel each, given as sets of places."""

    def draw(places):
        plane = np.zeros((1, 8), int)
        plane[0, list(places)] = np.arange(1, len(places) + 1)
        return plane

    return ImageMatching(image, label_class, match(draw(truth), draw(prediction), thresholds))


def two_images_two_classes():
    return [
        row("a", "cell", {0, 1, 2, 3}, {0, 1}),  # tp 2, fn 2
        row("a", "nucleus", {0}, {1}),  # fp 1, fn 1
        row("b", "cell", {0}, {0}),  # tp 1
        row("b", "nucleus", set(), set()),
    ]


def test_micro_sums_all_counts():
    assert_allclose(summarize(two_images_two_classes()).micro["average_precision"], 3 / 7)


def test_per_class_sums_over_images():
    summary = summarize(two_images_two_classes())
    assert list(summary.per_class) == ["cell", "nucleus"]
    assert_allclose(summary.per_class["cell"]["average_precision"], 3 / 5)
    assert_allclose(summary.per_class["nucleus"]["average_precision"], 0)


def test_macro_is_the_mean_over_classes():
    assert_allclose(summarize(two_images_two_classes()).macro["average_precision"], 3 / 10)


def test_image_wise_is_the_mean_over_images_with_classes_together():
    assert_allclose(
        summarize(two_images_two_classes()).image_wise["average_precision"], (2 / 6 + 1) / 2
    )


def test_undefined_images_and_classes_are_left_out_and_counted():
    rows = [
        *two_images_two_classes(),
        row("c", "cell", set(), set()),
        row("c", "mito", set(), set()),
    ]
    summary = summarize(rows)
    assert (summary.num_images, summary.undefined_images, summary.undefined_classes) == (3, 1, 1)
    assert_allclose(summary.macro["f1"], summarize(two_images_two_classes()).macro["f1"])
    assert np.isnan(summary.per_class["mito"]["f1"]).all()


def test_challenge_rule_counts_empty_images_as_zero():
    rows = [row("a", "cell", {0}, {0}), row("b", "cell", set(), set())]
    assert_allclose(summarize(rows).image_wise["f1"], 1.0)
    summary = summarize(rows, empty=0.0)
    assert_allclose(summary.image_wise["f1"], 0.5)
    assert summary.undefined_images == 0


def test_all_images_empty_gives_nan_everywhere_and_no_warning():
    summary = summarize([row("a", "cell", set(), set()), row("b", "cell", set(), set())])
    for group in (summary.micro, summary.macro, summary.image_wise, summary.interval):
        assert all(np.isnan(value).all() for value in group.values())
    assert summary.undefined_images == 2


def test_interval_holds_the_mean_and_can_be_repeated():
    rows = [row(f"{k}", "cell", set(range(8)), set(range(k % 9))) for k in range(30)]
    first, second = summarize(rows), summarize(rows)
    for name, (low, high) in first.interval.items():
        assert np.all(low <= first.image_wise[name])
        assert np.all(high >= first.image_wise[name])
        assert_array_equal(first.interval[name], second.interval[name])
    low, high = first.interval["recall"]
    assert 0.15 < high[0] - low[0] < 0.35  # 4 standard errors of 30 values from 0 to 1


def test_interval_of_one_image_is_undefined():
    summary = summarize([row("a", "cell", {0}, {0}, (0.5, 0.7))])
    assert summary.interval["f1"].shape == (2, 2)
    assert np.isnan(summary.interval["f1"]).all()
    assert summary.interval["aji"].shape == (2,)


def test_all_scores_have_the_shape_of_their_kind():
    values = all_scores(row("a", "cell", {0}, {0}, (0.5, 0.7)).matching)
    assert values["panoptic_quality"].shape == (2,)
    assert values["dice"].shape == values["aji"].shape == ()


def test_threshold_mean_leaves_other_thresholds_out():
    values = np.append(np.linspace(1, 0.1, 10), 100.0)
    assert threshold_mean(values, np.append(THRESHOLDS, 0.3)) == pytest.approx(0.55)


def test_threshold_mean_needs_all_ten():
    with pytest.raises(ValueError, match="ten thresholds 0.5:0.95, but got"):
        threshold_mean(np.ones(2), np.array([0.5, 0.75]))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one matched image"):
        summarize([])


def test_a_class_twice_is_refused():
    with pytest.raises(ValueError, match="'a', 'cell' twice"):
        summarize([row("a", "cell", {0}, {0}), row("a", "cell", {0}, {0})])
