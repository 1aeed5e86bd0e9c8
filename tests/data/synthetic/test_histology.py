from __future__ import annotations

import numpy as np
import pytest

from pancyte.data.synthetic.histology import Histology, draw_histology
from pancyte.data.synthetic.scene import Scene
from pancyte.ops.measure import measure_objects


@pytest.mark.parametrize("epithelium", [0.0, 0.5, 1.0])
def test_nuclei_are_darker_and_bluer_than_what_is_between(epithelium):
    scene = Histology(scene=Scene(shape=(150, 160), diameter=20.0), epithelium=epithelium)
    for seed in range(2):
        image, labels = draw_histology(scene, np.random.default_rng(seed))
        inside, outside = (image[:, where].mean(axis=1) for where in (labels > 0, labels == 0))

        assert image.shape == (3, 150, 160)
        assert image.dtype == np.uint8
        assert inside.sum() < outside.sum()
        # Hematoxylin takes the red, eosin does not.
        assert inside[2] / inside[0] > outside[2] / outside[0]


def test_epithelium_is_covered_as_asked_for_and_stroma_by_fewer_and_smaller_nuclei():
    def drawn(epithelium):
        """Return the mean cover and the median diameter of a few images."""
        scene = Scene(shape=(200, 200), diameter=18.0, spread=0.15, cover=0.2)
        settings = Histology(scene=scene, epithelium=epithelium)
        labels = [draw_histology(settings, np.random.default_rng(seed))[1] for seed in range(4)]
        sizes = np.concatenate([measure_objects(plane[None])["diameter"] for plane in labels])
        return np.mean([plane > 0 for plane in labels]), np.median(sizes)

    cover, diameter = drawn(1.0)
    of_stroma, smaller = drawn(0.0)

    assert 0.14 < cover < 0.28
    assert 13 < diameter < 20
    assert 0.25 < of_stroma / cover < 0.6
    assert 0.5 < smaller / diameter < 0.9


def test_a_camera_without_colors_gives_one_channel():
    image, labels = draw_histology(
        Histology(scene=Scene(shape=(64, 64), diameter=15.0), gray=True), np.random.default_rng(1)
    )

    assert image.shape == (1, 64, 64)
    assert image[0][labels > 0].mean() < image[0][labels == 0].mean()


def test_a_setting_out_of_range_is_told():
    with pytest.raises(ValueError, match="Expected epithelium from 0 to 1, but got 3"):
        Histology(epithelium=3.0)
