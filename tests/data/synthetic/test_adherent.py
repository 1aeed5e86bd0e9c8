from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pancyte.data.synthetic.adherent import (
    AdherentCells,
    QuantitativeCells,
    StainedCells,
    draw_adherent,
    draw_quantitative,
    draw_stained,
)
from pancyte.data.synthetic.optics import CONTRASTS
from pancyte.data.synthetic.scene import Scene
from pancyte.ops.measure import measure_objects


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("form", ["spread", "spindle", "sheet"])
def test_cells_have_about_the_size_that_is_asked_for(form):
    scene = Scene(shape=(200, 200), diameter=30.0, spread=0.1, cover=0.4)
    cells = AdherentCells(scene=scene, form=form)
    found = np.concatenate(
        [measure_objects(draw_adherent(cells, rng(seed))[1][None])["diameter"] for seed in (0, 1)]
    )

    assert len(found) > 10
    assert 18 < np.median(found) < 40


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_cells_are_seen_in_every_contrast(contrast):
    scene = Scene(shape=(128, 128), diameter=40.0, cover=0.5)
    cells = AdherentCells(scene=scene, contrast=contrast)
    rough = []
    for seed in range(3):
        image, labels = draw_adherent(cells, rng(seed))
        steps = np.abs(np.diff(image[0].astype(float), axis=0))
        rough.append(steps[labels[1:] > 0].mean() / steps[labels[1:] == 0].mean())
    assert np.mean(rough) > 1.1


@pytest.mark.parametrize(
    ("draw", "settings", "channels"),
    [
        (draw_quantitative, QuantitativeCells(), 1),
        (draw_stained, StainedCells(), 1),
        (draw_stained, StainedCells(nuclei=True), 2),
    ],
    ids=["quantitative", "stain", "stain-and-nuclei"],
)
def test_bright_cells_are_brighter_than_their_background(draw, settings, channels):
    cells = replace(settings, scene=Scene(shape=(128, 128), diameter=30.0))
    image, labels = draw(cells, rng(2))

    assert image.shape == (channels, 128, 128)
    for plane in image:
        assert plane[labels > 0].mean() > plane[labels == 0].mean()
