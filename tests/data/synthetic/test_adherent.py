from __future__ import annotations

import numpy as np
import pytest

from pancyte.data.synthetic.adherent import (
    AdherentCells,
    BrightCells,
    draw_adherent,
    draw_bright,
)
from pancyte.data.synthetic.optics import CONTRASTS
from pancyte.ops.measure import measure_objects


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("form", ["spread", "spindle", "sheet"])
def test_cells_have_about_the_size_that_is_asked_for(form):
    scene = AdherentCells(shape=(200, 200), diameter=30.0, spread=0.1, cover=0.4, form=form)
    found = np.concatenate(
        [measure_objects(draw_adherent(scene, rng(seed))[1][None])["diameter"] for seed in (0, 1)]
    )

    assert len(found) > 10
    assert 18 < np.median(found) < 40


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_cells_are_seen_in_every_contrast(contrast):
    scene = AdherentCells(shape=(128, 128), diameter=40.0, cover=0.5, contrast=contrast)
    rough = []
    for seed in range(3):
        image, labels = draw_adherent(scene, rng(seed))
        steps = np.abs(np.diff(image[0].astype(float), axis=0))
        rough.append(steps[labels[1:] > 0].mean() / steps[labels[1:] == 0].mean())
    assert np.mean(rough) > 1.1


@pytest.mark.parametrize(
    ("appearance", "channels"), [("quantitative", 1), ("stain", 1), ("stain-and-nuclei", 2)]
)
def test_bright_cells_are_brighter_than_their_background(appearance, channels):
    scene = BrightCells(shape=(128, 128), diameter=30.0, appearance=appearance)
    image, labels = draw_bright(scene, rng(2))

    assert image.shape == (channels, 128, 128)
    for plane in image:
        assert plane[labels > 0].mean() > plane[labels == 0].mean()


@pytest.mark.parametrize("kind", [AdherentCells, BrightCells])
def test_a_setting_out_of_range_is_told(kind):
    with pytest.raises(ValueError, match="Expected spread from 0 to 0.6, but got 1"):
        kind(spread=1.0)
