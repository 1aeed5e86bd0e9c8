from __future__ import annotations

import math

import numpy as np
import pytest

from pancyte.data.synthetic.nuclei import HardNuclei, chromosomes, draw_hard_nuclei
from pancyte.data.synthetic.scene import Scene
from pancyte.data.synthetic.territory import compete
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


@pytest.mark.parametrize("place", ["clusters", "tissue"])
def test_all_nuclei_are_labelled_and_no_ghost_is(place):
    scene = Scene(shape=(200, 200), diameter=16.0, spread=0.05, cover=0.12)
    nuclei = HardNuclei(scene=scene, place=place)
    found = [draw_hard_nuclei(nuclei, np.random.default_rng(seed))[1].max() for seed in range(4)]

    # Those that the border cuts are seen with less than half of them, and count as one.
    height, width = np.array(scene.shape) + scene.diameter
    expected = scene.count() * height * width / math.prod(scene.larger)
    assert 0.75 < np.mean(found) / expected < 1.2


def test_the_halves_of_a_division_are_two_objects_side_by_side():
    counts = []
    for seed in range(20):
        turn = 0.3 * seed
        plates = chromosomes((30.0, 30.0), 30.0, turn, np.random.default_rng(seed))
        drawn = compete((60, 60), plates, np.random.default_rng(seed))

        counts.append(len(plates))
        assert len(np.unique(drawn.labels)) == 1 + len(plates)
        if len(plates) == 2:
            across = np.subtract(plates[1].center, plates[0].center)
            assert abs(across @ [math.sin(turn), math.cos(turn)]) < 1e-9
            assert 9 <= np.linalg.norm(across) / 2 <= 15
    assert set(counts) == {1, 2}
