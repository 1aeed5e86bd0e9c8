from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from pancyte.data.synthetic.cells import (
    SuspensionCells,
    Yeast,
    debris,
    draw_suspension,
    draw_yeast,
)
from pancyte.data.synthetic.scene import Scene
from pancyte.ops.measure import measure_objects


def rng(seed=0):
    return np.random.default_rng(seed)


def test_suspended_cells_are_round_and_of_the_size_that_is_asked_for():
    scene = Scene(shape=(250, 250), diameter=22.0, spread=0.05, cover=0.2)
    _, labels = draw_suspension(SuspensionCells(scene=scene), rng(1))
    diameters = measure_objects(labels[None])["diameter"]

    assert len(diameters) > 8
    assert 19 < np.median(diameters) < 24


def test_debris_is_small_and_lies_where_it_is_free():
    free = np.ones((200, 200), dtype=bool)
    free[:, :100] = False
    height = np.zeros((200, 200))
    for seed in range(5):
        height += debris((200, 200), 20.0, rng(seed), free=free)

    assert height[:, 100:].any()
    assert not height[:, :98].any()
    # Nothing of it is nearly as wide as a cell.
    assert not binary_erosion(height > 0, iterations=8).any()


@pytest.mark.parametrize("device", ["none", "traps", "walls"])
def test_buds_are_objects_beside_their_mothers(device):
    scene = Scene(shape=(220, 220), diameter=24.0, spread=0.05, cover=0.2)
    yeast = Yeast(scene=scene, device=device)
    found = np.concatenate(
        [measure_objects(draw_yeast(yeast, rng(seed))[1][None])["diameter"] for seed in range(3)]
    )

    assert (found > 20).any()
    assert ((found > 6) & (found < 18)).any()


@pytest.mark.parametrize("device", ["none", "traps", "walls"])
def test_yeast_cover_what_they_shall_in_every_device(device):
    for cover in (0.08, 0.35):
        scene = Scene(shape=(200, 200), diameter=18.0, spread=0.05, cover=cover)
        yeast = Yeast(scene=scene, device=device)
        shares = [(draw_yeast(yeast, rng(seed))[1] > 0).mean() for seed in range(3)]
        assert 0.6 < np.mean(shares) / cover < 1.5


def test_cells_at_the_border_are_cut():
    cells = SuspensionCells(scene=Scene(shape=(100, 100), diameter=30.0, cover=0.6))
    touching = 0
    for seed in range(3):
        _, labels = draw_suspension(cells, rng(seed))
        touching += len(np.unique(np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]])) - 1
    assert touching > 5
