from __future__ import annotations

import numpy as np
import pytest

from pancyte.data.synthetic.membranes import Membranes, draw_membranes
from pancyte.data.synthetic.scene import Scene
from pancyte.ops.labels import boundaries
from pancyte.ops.measure import measure_objects


def draw(seed=0, *, spread=0.2, cover=1.0, **changes):
    scene = Scene(shape=(120, 130), diameter=24.0, spread=spread, cover=cover)
    settings = Membranes(scene=scene, **changes)
    return draw_membranes(settings, np.random.default_rng(seed))


def test_cells_fill_the_plane():
    _, labels = draw()
    assert np.count_nonzero(labels) > 0.9 * labels.size


def test_cells_fill_a_part_of_the_image():
    shares = [np.count_nonzero(draw(seed, cover=0.5)[1]) / (120 * 130) for seed in range(4)]
    assert 0.2 < np.mean(shares) < 0.8


def test_cells_have_the_size_that_is_asked_for():
    _, labels = draw(3, spread=0.1)
    assert 18 < np.median(measure_objects(labels[None])["diameter"]) < 30


@pytest.mark.parametrize(("appearance", "brighter"), [("bright", True), ("dark", False)])
def test_walls_are_bright_or_dark(appearance, brighter):
    for seed in range(3):
        image, labels = draw(seed, appearance=appearance)
        walls = boundaries(labels)
        between = image[0][walls].mean() > image[0][~walls & (labels > 0)].mean()
        assert between == brighter


def test_nuclei_have_a_channel_of_their_own():
    assert draw(appearance="stained")[0].shape == (2, 120, 130)
