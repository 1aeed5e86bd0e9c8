from __future__ import annotations

import numpy as np
import pytest

from pancyte.metrics.errors import FALSE, MISSED, TRUE
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


def test_picture_of_an_image_narrower_than_its_legend() -> None:
    labels = np.ones((20, 5), np.int32)
    assert error_picture(None, labels, labels).shape[1] > 5


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"same size, but got \(4, 5\) and \(4, 4\)"):
        error_picture(np.zeros((1, 4, 5)), np.zeros((4, 4), int), np.zeros((4, 4), int))
