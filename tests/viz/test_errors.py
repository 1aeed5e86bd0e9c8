from __future__ import annotations

import numpy as np
import pytest

from pancyte.metrics.errors import FALSE, MISSED, TRUE, error_map
from pancyte.viz.errors import COLORS, error_picture


def squares(*corners: tuple[int, int], side: int = 8) -> np.ndarray:
    labels = np.zeros((30, 420), np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_contours_are_colored_by_what_became_of_the_object() -> None:
    picture = error_picture(None, squares((2, 2), (2, 40)), squares((2, 2), (2, 80)))
    assert tuple(picture[2, 2]) == COLORS[TRUE]
    assert tuple(picture[2, 40]) == COLORS[MISSED]
    assert tuple(picture[2, 80]) == COLORS[FALSE]
    assert not picture[20, 200].any()


def test_areas_are_tinted_on_the_image() -> None:
    pixels = np.zeros((3, 30, 420), np.float32)
    pixels[:, 0, 0] = 1
    picture = error_picture(pixels, squares((2, 2)), squares((2, 2)))
    assert 0 < picture[6, 6, 1] < COLORS[TRUE][1]
    assert picture[6, 6].argmax() == np.argmax(COLORS[TRUE])


def test_legend_lies_below_the_magnified_picture() -> None:
    large = error_picture(None, squares(), squares(), magnification=3)
    assert large.shape[1] == 3 * 420
    assert large.shape[0] > 90
    assert not large[:90].any()
    assert large[90:].max() > 200  # letters


def test_a_thinned_out_picture_counts_all_objects_and_matches_them_by_all_pixels() -> None:
    truth, found = squares((2, 2), (2, 41), (21, 9)), squares((2, 2), (2, 40), (21, 9))
    found[21:29, 9:17] = 0
    found[21, 9] = 3  # lies between the pixels that are shown
    pixels = np.random.default_rng(0).random((1, 30, 420))
    whole = error_map(truth, found)
    thin = error_map(truth, found, step=2)
    assert (thin.tp, thin.fp, thin.fn) == (whole.tp, whole.fp, whole.fn) == (2, 1, 1)
    assert np.array_equal(thin.codes, whole.codes[::2, ::2])
    assert np.array_equal(thin.matched_truth, whole.matched_truth[::2, ::2])
    assert np.array_equal(thin.matched_prediction, whole.matched_prediction[::2, ::2])
    picture = error_picture(pixels, truth, found, step=2)
    assert tuple(picture[1, 1]) == COLORS[TRUE]  # contours are drawn after it
    assert tuple(picture[1, 4]) == COLORS[TRUE]
    assert tuple(picture[11, 6]) == COLORS[MISSED]


def test_picture_of_an_image_narrower_than_its_legend() -> None:
    labels = np.ones((20, 5), np.int32)
    assert error_picture(None, labels, labels).shape[1] > 5


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"same size, but got \(4, 5\) and \(4, 4\)"):
        error_picture(np.zeros((1, 4, 5)), np.zeros((4, 4), int), np.zeros((4, 4), int))
