"""Pictures on a sheet stay where and what they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pancyte.viz.contact_sheet import contact_sheet, thumbnail


def test_pictures_lie_in_reading_order_on_white() -> None:
    pictures = [np.full((10, 8, 3), 20 * k, np.uint8) for k in range(5)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape == (3 * 14 + 4, 2 * 12 + 4, 3)
    for k in range(5):
        y, x = 4 + k // 2 * 14, 4 + k % 2 * 12
        assert_array_equal(sheet[y : y + 10, x : x + 8], pictures[k])
    assert (sheet[:4] == 255).all()
    assert (sheet[-14:-4, 16:] == 255).all()  # the sixth place is empty


def test_few_pictures_make_a_narrow_sheet() -> None:
    assert contact_sheet([np.zeros((8, 8, 3), np.uint8)] * 2, columns=6).shape == (16, 28, 3)


@pytest.mark.parametrize("shape", [(1, 30, 500), (3, 64, 64), (2, 400, 300), (1, 1, 1)])
def test_thumbnails_of_any_image_have_one_size(shape) -> None:
    pixels = np.random.default_rng(0).random(shape)
    picture = thumbnail(pixels, side=64)
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)


def test_a_thumbnail_shows_the_middle() -> None:
    image = np.zeros((1, 900, 900))
    image[0, 440:460, 440:460] = 1.0
    picture = thumbnail(image, side=100)[..., 0]
    assert picture[50, 50] > 200
    assert picture[:40].max() < 50


def test_no_picture_and_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])
    with pytest.raises(ValueError, match="all of one size"):
        contact_sheet([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)])
