from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.strategies import SEEDS

from pancyte.data.synthetic.devices import draw_traps, draw_walls, outside, pair
from pancyte.data.synthetic.scene import Scene
from pancyte.data.synthetic.territory import Blob


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(max_examples=30)
@given(turn=st.floats(0, math.pi), tilt=st.floats(-0.9, 0.9), apart=st.floats(5, 60))
def test_the_pillars_of_a_pair_stand_side_by_side(turn, tilt, apart):
    first, second = pair((50.0, 40.0), Blob((0, 0), 12.0, 2.0, turn), apart=apart, tilt=tilt)

    across = np.subtract(second.center, first.center)
    # The length of a blob has the direction (sin turn, cos turn) along y and x.
    assert abs(across @ [math.sin(turn), math.cos(turn)]) < 1e-9 * apart
    assert_allclose(np.linalg.norm(across), apart)
    assert_allclose(np.add(first.center, second.center) / 2, (50, 40))
    assert_allclose((first.turn + second.turn) / 2, turn, atol=1e-9)
    assert_allclose(second.turn - first.turn, 2 * tilt, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, cover=st.floats(0.02, 0.6))
def test_cells_lie_outside_of_the_pillars_and_apart(seed, cover):
    scene = Scene(shape=(120, 140), diameter=16.0, cover=cover)
    device, points = draw_traps(scene, rng(seed))

    assert device.shape == scene.larger
    assert (device == 1).any()
    assert (device[tuple(points.astype(int).T)] == 0).all()
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert (apart[~np.eye(len(points), dtype=bool)] > 0.75 * 16).all()


def test_traps_hold_as_many_cells_as_cover_what_they_shall():
    for cover in (0.05, 0.2, 0.4):
        scene = Scene(shape=(200, 200), diameter=16.0, cover=cover)
        counts = [len(draw_traps(scene, rng(seed))[1]) for seed in range(5)]
        assert 0.75 < np.mean(counts) / scene.count() < 1.25


def test_walls_are_long_and_leave_room():
    for seed in range(5):
        walls = draw_walls((150, 160), 14.0, rng(seed))
        assert walls.min() == 0
        assert walls.max() == 1
        assert 0.02 < (walls > 0).mean() < 0.5


def test_what_lies_in_the_solid_is_left_out():
    device = np.zeros((40, 40))
    device[:, :20] = 1.0
    blobs = [Blob((20.0, x), 10.0) for x in (5.0, 21.0, 30.0, 45.0)]

    assert outside(blobs, device) == blobs[2:]
    assert outside(blobs, np.zeros((40, 40))) == blobs
