from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import SEEDS

from pancyte.data.synthetic.trenches import Trenches, any_trenches, draw_trenches

LOOKS = st.sampled_from(["phase", "fluorescence"])


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, look=LOOKS, shape=st.tuples(st.integers(160, 384), st.integers(160, 384)))
def test_ids_are_consecutive_and_each_object_is_one_component(seed, look, shape):
    generator = np.random.default_rng(seed)
    device = any_trenches(shape, generator, look=look)

    image, labels = draw_trenches(device, generator)

    assert device.look == look
    assert image.shape == (1, *device.shape)
    assert image.dtype == (np.uint8 if device.bits == 8 else np.uint16)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique([0, *np.unique(labels)]), np.arange(labels.max() + 1))
    for label in np.unique(labels)[1:]:
        assert cc3d.connected_components(labels == label, connectivity=4).max() == 1


def test_half_of_the_images_are_narrow_strips_of_one_trench():
    widths = [
        any_trenches((200, 300), np.random.default_rng(seed), look="phase").shape[1]
        for seed in range(60)
    ]

    strips = [width for width in widths if width < 300]
    assert 20 <= len(strips) <= 40
    assert all(20 <= width <= 50 for width in strips)


def test_cells_of_a_strip_lie_end_to_end_in_its_middle():
    device = Trenches(shape=(210, 24), width=9.0, trench=1.2, aspect=3.0, filled=1.0, gap=0.05)
    for seed in range(5):
        _, labels = draw_trenches(device, np.random.default_rng(seed))
        labels = labels[:160]  # above the channel
        x = np.nonzero(labels)[1]
        assert labels.max() >= 4
        assert abs(x.mean() - 12) < 4
        assert np.ptp(x) < 20
        # One above the other: no row of pixels shows more than the two that meet in it.
        assert max(len(np.unique(row[row > 0])) for row in labels) <= 2


def test_many_trenches_stand_side_by_side():
    device = Trenches(shape=(160, 200), width=8.0, trench=1.2, pitch=3.0, filled=1.0)
    _, labels = draw_trenches(device, np.random.default_rng(0))

    columns = (labels > 0).any(axis=0)
    trenches = np.count_nonzero(np.diff(columns.astype(int)) == 1)
    assert 6 <= trenches <= 9


def test_the_same_seed_gives_the_same_image():
    device = Trenches(look="fluorescence", bits=16)
    first, second, other = (
        draw_trenches(device, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )

    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert ((first[1] > 0) != (other[1] > 0)).mean() > 0.02


def test_an_empty_trench_has_no_cells():
    for seed in range(5):
        device = Trenches(shape=(100, 24), filled=0.0)
        _, labels = draw_trenches(device, np.random.default_rng(seed))
        assert labels[:80].max() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (32, 64)}, "height from 64 to inf, but got 32"),
        ({"shape": (100, 8)}, "width of the image from 12 to inf, but got 8"),
        ({"width": 50.0}, "width from 4 to 30, but got 50.0"),
        ({"aspect": 1.0}, "aspect from 1.2 to 8, but got 1.0"),
        ({"trench": 1.0}, "trench from 1.02 to 2.4, but got 1.0"),
        ({"trench": 1.5, "pitch": 1.5}, "pitch from 1.6 to 20, but got 1.5"),
        ({"filled": 1.5}, "filled from 0 to 1, but got 1.5"),
        ({"gap": -1.0}, "gap from -0.6 to 1, but got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Trenches(**changes)
