from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pancyte.data.synthetic.scene import Scene


def test_diameters_are_about_their_median():
    sizes = Scene(diameter=20.0, spread=0.3).draw_diameters(2000, np.random.default_rng(0))

    assert_allclose(np.median(sizes), 20.0, rtol=0.05)
    assert sizes.max() <= 20.0 * math.exp(0.75) + 1e-9


def test_as_many_circles_as_cover_what_is_asked_for():
    scene = Scene(shape=(300, 200), diameter=20.0, cover=0.3)

    area = scene.count() * math.pi / 4 * 20.0**2
    assert_allclose(area, 0.3 * math.prod(scene.larger), rtol=0.02)
    assert Scene(shape=(300, 200), diameter=20.0, cover=0.0).count(least=3) == 3


def test_the_field_of_view_is_a_diameter_smaller_on_each_side():
    scene = Scene(shape=(30, 40), diameter=10.0)

    assert scene.larger == (50, 60)
    assert np.zeros(scene.larger)[scene.window].shape == (30, 40)


def test_a_field_of_view_cuts_what_lies_at_its_border():
    labels = np.zeros((40, 40), np.int32)
    labels[4:14, 18:28] = 7  # half inside of the field that begins at 10
    labels[20:26, 20:26] = 3
    labels[28:32, 8:11] = 9  # leaves a crumb
    shown = Scene(shape=(20, 20), diameter=10.0).cut(labels)

    expected = np.zeros((20, 20), np.int32)
    expected[:4, 8:18] = 2
    expected[10:16, 10:16] = 1
    assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (15, 90)}, "Expected shape from 16 to inf, but got 15"),
        ({"diameter": 4.0}, "Expected diameter from 5 to 400, but got 4"),
        ({"spread": 0.7}, "Expected spread from 0 to 0.6, but got 0.7"),
        ({"cover": 1.5}, "Expected cover from 0 to 1, but got 1.5"),
    ],
)
def test_settings_out_of_range_are_told(changes, message):
    with pytest.raises(ValueError, match=message):
        Scene(**changes)
