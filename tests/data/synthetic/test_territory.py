from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import SEEDS

from pancyte.data.synthetic.territory import (
    Blob,
    compete,
    draw_bend,
    lattice,
    smooth_noise,
    sprinkle,
    without_slivers,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(max_examples=20, deadline=None)
@given(diameter=st.floats(8, 40), aspect=st.floats(1, 3), turn=st.floats(0, 3), seed=SEEDS)
def test_a_blob_has_the_area_of_its_diameter(diameter, aspect, turn, seed):
    blob = Blob((60.0, 60.0), diameter, aspect, turn, roughness=0.0)
    drawn = compete((120, 120), [blob], rng(seed))

    assert_allclose(np.count_nonzero(drawn.labels), math.pi / 4 * diameter**2, rtol=0.12)


def test_neighbors_part_in_the_middle_and_levels_rise_to_the_rim():
    blobs = [Blob((20.0, 18.0), 24.0, roughness=0.0), Blob((20.0, 34.0), 24.0, roughness=0.0)]
    drawn = compete((40, 52), blobs, rng())

    assert (drawn.labels[20, 7:26] == 1).all()
    assert (drawn.labels[20, 27:46] == 2).all()
    assert drawn.level[20, 18] == 0
    assert (np.diff(drawn.level[20, 18:26]) > 0).all()
    assert drawn.wall[20, 18] > drawn.wall[20, 24] >= 0
    assert (drawn.level[drawn.labels == 0] == 1).all()


def test_a_blob_beyond_the_scene_is_not_drawn():
    drawn = compete((20, 20), [Blob((-50.0, 90.0), 10.0)], rng())
    assert not drawn.labels.any()


def test_nothing_competes_for_nothing():
    drawn = compete((9, 7), [], rng())
    assert not drawn.labels.any()
    assert drawn.wall.shape == (9, 7)


def test_what_neighbors_leave_of_a_blob_is_taken_away():
    labels = np.zeros((20, 20), np.int32)
    labels[2:4, 2:4] = 1
    labels[5:15, 5:15] = 2
    kept = without_slivers(labels, [Blob((3.0, 3.0), 10.0), Blob((10.0, 10.0), 10.0)])

    assert_array_equal(kept, np.where(labels == 2, 2, 0))


@settings(max_examples=20, deadline=None)
@given(distance=st.floats(3, 20), grouped=st.floats(0, 1), seed=SEEDS)
def test_points_keep_their_distance(distance, grouped, seed):
    points = sprinkle((60, 90), 30, distance=distance, grouped=grouped, generator=rng(seed))

    assert 1 <= len(points) <= 30
    assert (points >= 0).all()
    assert (points < (60, 90)).all()
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert (apart[~np.eye(len(points), dtype=bool)] >= distance - 1e-9).all()


def test_a_lattice_covers_the_shape():
    points = lattice((50, 70), 10.0, jitter=0.0, generator=rng())
    grid = np.stack(np.mgrid[:50, :70], axis=-1).reshape(-1, 1, 2)

    assert np.linalg.norm(grid - points, axis=2).min(axis=1).max() < 6.0


@settings(max_examples=20, deadline=None)
@given(grain=st.floats(0.7, 60), seed=SEEDS)
def test_noise_has_its_shape_and_is_smooth(grain, seed):
    noise = smooth_noise((70, 50), grain, rng(seed))

    assert noise.shape == (70, 50)
    assert 0 < np.abs(np.diff(noise, axis=0)).mean() < 2.5 / grain


@settings(max_examples=20, deadline=None)
@given(grain=st.floats(0.7, 8), seed=SEEDS)
def test_noise_of_small_grains_is_normalized(grain, seed):
    noise = smooth_noise((256, 256), grain, rng(seed))

    assert abs(noise.mean()) < 0.01 * grain
    assert_allclose(noise.std(), 1.0, atol=0.03 + 0.01 * grain)


@pytest.mark.parametrize("grain", [30.0, 100.0])
def test_windows_of_coarse_noise_differ_as_those_of_a_large_field(grain):
    windows = np.array([smooth_noise((64, 64), grain, rng(seed)) for seed in range(60)])
    means = windows.mean(axis=(1, 2))

    assert abs(means.mean()) < 0.3
    assert means.std() > 0.3
    assert 0.1 < windows.std(axis=(1, 2)).mean() < 0.95
    assert 0.7 < np.sqrt((windows**2).mean()) < 1.1


@pytest.mark.parametrize("grain", [1.0, 4.0, 12.0])
def test_a_bend_has_the_height_that_is_asked_for(grain):
    along = draw_bend((300, 300), grain=grain, height=3.0, generator=rng())
    for axis in along:
        assert_allclose(axis.std(), 3.0, rtol=0.15)
    assert (along[0] != along[1]).any()
