from __future__ import annotations

import numpy as np
import pytest

from pancyte.data.synthetic.nuclei import HardNuclei, draw_hard_nuclei
from pancyte.data.synthetic.scene import Scene
from pancyte.ops.measure import measure_objects


def draw(seed=0, *, spread=0.2, **changes):
    nuclei = HardNuclei(scene=Scene(shape=(160, 160), diameter=18.0, spread=spread), **changes)
    return draw_hard_nuclei(nuclei, np.random.default_rng(seed))


@pytest.mark.parametrize("place", ["culture", "clusters", "tissue"])
def test_nuclei_are_bright_and_of_the_size_that_is_asked_for(place):
    for seed in range(2):
        image, labels = draw(seed, place=place, spread=0.1)
        assert image[0][labels > 0].mean() > image[0][labels == 0].mean()
        assert 13 < np.median(measure_objects(labels[None])["diameter"]) < 22


def test_dim_images_are_noisy():
    def noise(*, dim):
        found = []
        for seed in range(4):
            image, labels = draw(seed, place="clusters", dim=dim)
            plane = image[0].astype(float)
            steps = np.diff(plane, axis=0)[labels[1:] == 0]
            found.append(1.48 * np.median(np.abs(steps)) / np.ptp(np.percentile(plane, (1, 99))))
        return np.mean(found)

    assert noise(dim=True) > 1.5 * noise(dim=False)
