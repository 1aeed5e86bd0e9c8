from __future__ import annotations

from typing import get_args

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, gaussian_gradient_magnitude
from tests.strategies import SEEDS

from pancyte.data.synthetic.arrangements import ARRANGEMENTS
from pancyte.data.synthetic.bacterial_light import LOOKS
from pancyte.data.synthetic.rods import Arrangement, Look, Rods, any_rods, draw_rods
from pancyte.ops.labels import boundaries, clear_border
from pancyte.ops.measure import measure_objects


@st.composite
def cultures(draw):
    return Rods(
        shape=(draw(st.integers(16, 120)), draw(st.integers(16, 120))),
        arrangement=draw(st.sampled_from(sorted(ARRANGEMENTS))),
        look=draw(st.sampled_from(sorted(LOOKS))),
        count=draw(st.integers(1, 15)),
        width=draw(st.floats(4, 20)),
        aspect=draw(st.floats(1, 12)),
        gap=draw(st.floats(-0.2, 0.5)),
        curvature=draw(st.floats(0, 3)),
        bits=draw(st.sampled_from([8, 16])),
    )


@settings(max_examples=25, deadline=None)
@given(culture=cultures(), seed=SEEDS)
def test_ids_are_consecutive_and_each_object_is_one_component(culture, seed):
    image, labels = draw_rods(culture, np.random.default_rng(seed))

    assert image.shape == (1, *culture.shape)
    assert image.dtype == (np.uint8 if culture.bits == 8 else np.uint16)
    assert labels.shape == culture.shape
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique([0, *np.unique(labels)]), np.arange(labels.max() + 1))
    for label in np.unique(labels)[1:]:
        assert cc3d.connected_components(labels == label, connectivity=4).max() == 1
        assert np.count_nonzero(labels == label) >= 12


@settings(max_examples=10, deadline=None)
@given(culture=cultures(), seed=SEEDS)
def test_the_same_seed_gives_the_same_image(culture, seed):
    first, second = (draw_rods(culture, np.random.default_rng(seed)) for _ in range(2))

    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("arrangement", sorted(ARRANGEMENTS))
def test_another_seed_draws_other_cells(arrangement):
    culture = Rods(shape=(120, 130), arrangement=arrangement, count=12)
    first, second = (draw_rods(culture, np.random.default_rng(seed))[1] > 0 for seed in (1, 2))

    assert (first != second).mean() > 0.02


@pytest.mark.parametrize("width", [8.0, 14.0])
def test_whole_cells_have_the_size_asked_for(width):
    culture = Rods(shape=(300, 300), arrangement="scattered", width=width, aspect=4.0, curvature=0)
    _, labels = draw_rods(culture, np.random.default_rng(0))

    whole = clear_border(labels)
    areas = np.bincount(whole.ravel())[1:]
    median = np.median(areas[areas > 0])
    # A capsule of four widths, or a half of a pair; cells that divide are a little thinner.
    assert 2.4 * width**2 < median < 4.2 * width**2


def test_a_colony_is_dense_and_its_cells_touch_but_none_is_lost():
    culture = Rods(shape=(400, 400), count=50, width=9.0, aspect=3.5, gap=-0.05)
    _, labels = draw_rods(culture, np.random.default_rng(3))

    beside = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
    assert np.count_nonzero(beside) > 100
    assert labels.max() >= 50


def test_filaments_are_long():
    culture = Rods(
        shape=(300, 300), arrangement="filaments", count=1, width=6.0, aspect=30.0, curvature=0.3
    )
    diameters = []
    for seed in range(6):
        _, labels = draw_rods(culture, np.random.default_rng(seed))
        if labels.any():
            diameters.append(measure_objects(labels[None])["diameter"].max())

    # A disc of that area is much larger than the filament is wide.
    assert np.median(diameters) > 4 * culture.width


def test_cocci_are_about_round():
    culture = Rods(shape=(200, 200), arrangement="cocci", count=30, width=12.0, gap=0.1)
    for seed in range(4):
        _, labels = draw_rods(culture, np.random.default_rng(seed))
        whole = clear_border(labels)
        areas = np.bincount(whole.ravel())[1:]
        areas = areas[areas > 0]
        assert len(areas) >= 5
        assert 0.6 < np.median(areas) / (np.pi * 36) < 1.8


@pytest.mark.parametrize(
    ("look", "brighter"), [("phase", False), ("negative-phase", True), ("fluorescence", True)]
)
def test_cells_are_darker_or_brighter_than_what_is_around_them(look, brighter):
    for seed in range(4):
        culture = Rods(arrangement="scattered", look=look, count=20, width=12.0)
        image, labels = draw_rods(culture, np.random.default_rng(seed))
        inside, outside = (np.median(image[0][labels > 0]), np.median(image[0][labels == 0]))
        assert (inside > outside) == brighter


def test_bright_field_shows_the_edges_of_cells():
    for seed in range(4):
        culture = Rods(arrangement="scattered", look="bright-field", count=20, width=12.0)
        image, labels = draw_rods(culture, np.random.default_rng(seed))
        steep = gaussian_gradient_magnitude(image[0].astype(float), 1.5)
        rim = distance_transform_edt(~boundaries(labels)) < 4
        assert np.median(steep[rim]) > 1.5 * np.median(steep[~rim & (labels == 0)])


def test_every_arrangement_and_look_has_a_name():
    assert set(get_args(Arrangement)) == set(ARRANGEMENTS)
    assert set(get_args(Look)) == set(LOOKS)


@settings(max_examples=25, deadline=None)
@given(
    seed=SEEDS,
    arrangement=st.sampled_from(sorted(ARRANGEMENTS)),
    look=st.sampled_from(sorted(LOOKS)),
    shape=st.tuples(st.integers(160, 384), st.integers(160, 384)),
)
def test_any_settings_are_valid(seed, arrangement, look, shape):
    generator = np.random.default_rng(seed)

    culture = any_rods(shape, generator, arrangement=arrangement, look=look)

    assert (culture.shape, culture.arrangement, culture.look) == (shape, arrangement, look)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (8, 64)}, "shape from 16 to inf, but got 8"),
        ({"count": 0}, "count from 1 to 1000, but got 0"),
        ({"width": 2.0}, "width from 4 to 40, but got 2.0"),
        ({"aspect": 0.5}, "aspect from 1 to 40, but got 0.5"),
        ({"gap": 0.9}, "gap from -0.2 to 0.5, but got 0.9"),
        ({"curvature": -1.0}, "curvature from 0 to 3, but got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Rods(**changes)
