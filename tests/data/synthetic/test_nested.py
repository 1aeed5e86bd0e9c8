from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import SEEDS

from pancyte.data.synthetic.nested import (
    APPEARANCES,
    CLASSES,
    NestedCells,
    draw_nested_cells,
    nuclei_inside,
)
from pancyte.data.synthetic.outlines import crowd
from pancyte.ops.labels import clear_border, touches_border
from pancyte.ops.measure import measure_objects


@st.composite
def scenes(draw, *, orphans=0.0):
    low = draw(st.floats(0.2, 0.8))
    return NestedCells(
        shape=(draw(st.integers(16, 90)), draw(st.integers(16, 90))),
        diameter=draw(st.floats(12, 60)),
        spread=draw(st.floats(0, 0.6)),
        cover=draw(st.floats(0.01, 0.85)),
        nucleus=(low, draw(st.floats(low, 0.8))),
        orphans=orphans,
        appearance=draw(st.sampled_from(sorted(APPEARANCES))),
    )


@settings(max_examples=20, deadline=None)
@given(scene=scenes(), seed=SEEDS)
def test_nuclei_lie_inside_the_cell_of_their_id(scene, seed):
    _, (nuclei, cells) = draw_nested_cells(scene, np.random.default_rng(seed))

    inside = nuclei > 0
    np.testing.assert_array_equal(nuclei[inside], cells[inside])


@settings(max_examples=20, deadline=None)
@given(scene=scenes(orphans=0.3), seed=SEEDS)
def test_ids_are_consecutive_and_each_object_is_one_component(scene, seed):
    image, labels = draw_nested_cells(scene, np.random.default_rng(seed))

    assert labels.shape == (len(CLASSES), *scene.shape)
    assert labels.dtype == np.int32
    assert image.shape == (2 if scene.appearance == "fluorescence" else 1, *scene.shape)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(np.unique([0, *np.unique(labels)]), np.arange(labels.max() + 1))
    for plane in labels:
        for label in np.unique(plane)[1:]:
            assert cc3d.connected_components(plane == label, connectivity=4).max() == 1


def test_every_whole_cell_has_a_nucleus_and_no_nucleus_is_without_a_cell():
    for seed in range(5):
        _, (nuclei, cells) = draw_nested_cells(NestedCells(), np.random.default_rng(seed))

        whole = set(np.unique(clear_border(cells))) - {0}
        assert len(whole) > 20
        assert whole <= set(np.unique(nuclei))
        assert set(np.unique(nuclei)) <= set(np.unique(cells))


def test_orphans_of_both_kinds_are_as_many_as_asked_for():
    lone_nuclei, lone_cells, total = 0, 0, 0
    for seed in range(8):
        scene = NestedCells(orphans=0.2)
        _, (nuclei, cells) = draw_nested_cells(scene, np.random.default_rng(seed))
        at_border = set(touches_border(cells)) | set(touches_border(nuclei))
        with_nucleus = set(np.unique(nuclei)) - {0} - at_border
        with_cell = set(np.unique(cells)) - {0} - at_border
        lone_nuclei += len(with_nucleus - with_cell)
        lone_cells += len(with_cell - with_nucleus)
        total += len(with_nucleus | with_cell)

    assert total > 200
    # A nucleus whose missing cell would touch the border counts, hence some more of them.
    assert 0.15 < lone_nuclei / total < 0.32
    assert 0.13 < lone_cells / total < 0.27


def test_sizes_are_about_those_asked_for():
    scene = NestedCells(shape=(300, 300), diameter=30.0, cover=0.6, nucleus=(0.5, 0.5))
    _, labels = draw_nested_cells(scene, np.random.default_rng(0))

    whole = np.stack([clear_border(plane) for plane in labels])
    nucleus, cell = (np.median(measure_objects(plane[None])["diameter"]) for plane in whole)
    assert 26 < cell < 34
    assert 0.42 < nucleus / cell < 0.58
    assert 0.5 < (labels[1] > 0).mean() < 0.7


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_nuclei_keep_a_pixel_away_from_the_border_of_their_cell(seed):
    generator = np.random.default_rng(seed)
    cells = crowd((80, 90), diameter=20.0, spread=0.3, cover=0.6, generator=generator)

    nuclei = nuclei_inside(cells, (0.6, 0.8), generator)

    inside = nuclei > 0
    padded = np.pad(cells, 1, mode="edge")
    for axis in (0, 1):
        for step in (-1, 1):
            beside = np.roll(padded, step, axis)[1:-1, 1:-1]
            np.testing.assert_array_equal(beside[inside], nuclei[inside])


@pytest.mark.parametrize("appearance", sorted(APPEARANCES))
def test_the_same_seed_gives_the_same_image(appearance):
    scene = NestedCells(shape=(64, 64), appearance=appearance)
    first, second, other = (
        draw_nested_cells(scene, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )

    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert (first[0] != other[0]).any()


def test_stains_show_what_they_stain():
    image, (nuclei, cells) = draw_nested_cells(NestedCells(), np.random.default_rng(0))

    nuclear, bodies = image
    body = (cells > 0) & (nuclei == 0)
    assert nuclear[nuclei > 0].mean() > 2 * nuclear[body].mean() - 100
    assert bodies[body].mean() > bodies[cells == 0].mean() + 20


def test_phase_contrast_shows_dark_bodies():
    scene = NestedCells(appearance="phase")
    image, (_, cells) = draw_nested_cells(scene, np.random.default_rng(0))

    assert image[0][cells > 0].mean() < 0.9 * image[0][cells == 0].mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (8, 64)}, "shape from 16 to inf, but got 8"),
        ({"diameter": 5.0}, "diameter from 12 to inf, but got 5.0"),
        ({"spread": 0.9}, "spread from 0 to 0.6, but got 0.9"),
        ({"cover": 0.0}, "cover from 0.01 to 0.85, but got 0.0"),
        ({"nucleus": (0.7, 0.5)}, r"nucleus\[0\] from 0.2 to 0.5, but got 0.7"),
        ({"nucleus": (0.5, 0.9)}, r"nucleus\[1\] from 0.5 to 0.8, but got 0.9"),
        ({"orphans": 0.6}, "orphans from 0 to 0.5, but got 0.6"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NestedCells(**changes)
