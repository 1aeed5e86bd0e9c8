from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from pancyte.data.synthetic.negatives import SUBJECTS, Negative, draw_negative


def rng(seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_images_without_objects_have_empty_labels(subject, color):
    for seed in range(12):
        scene = Negative(shape=(50, 67), subject=subject, color=color)
        image, labels = draw_negative(scene, np.random.default_rng(seed))

        assert image.shape == (3 if color else 1, 50, 67)
        assert not labels.any()
        assert labels.shape == (50, 67)


@pytest.mark.parametrize("subject", ["well", "writing", "scenery"])
def test_there_is_more_to_see_than_noise(subject):
    rough = []
    for seed in range(12):
        image, _ = draw_negative(
            Negative(shape=(96, 96), subject=subject), np.random.default_rng(seed)
        )
        plane = image[0].astype(float)
        near = np.abs(np.diff(plane, axis=0)).mean()
        far = np.abs(plane[24:] - plane[:-24]).mean()
        rough.append(far / max(near, 1e-9))
    # Of noise alone, near and far pixels differ alike.
    assert np.median(rough) > 1.3


def test_most_noise_has_no_places():
    rough = []
    for seed in range(12):
        image, _ = draw_negative(
            Negative(shape=(96, 96), subject="noise"), np.random.default_rng(seed)
        )
        plane = image[0].astype(float)
        near = np.abs(plane[4:] - plane[:-4]).mean()
        rough.append(np.abs(plane[24:] - plane[:-24]).mean() / max(near, 1e-9))
    assert 0.8 < np.median(rough) < 1.25


def test_another_seed_writes_other_words():
    def ink(seed):
        image, _ = draw_negative(Negative(shape=(128, 128), subject="writing"), rng(seed))
        plane = image[0].astype(float)
        return np.abs(plane - np.median(plane)) > 0.4 * np.ptp(plane)

    written = [ink(seed) for seed in range(8)]
    both = [np.count_nonzero(a & b) for a, b in combinations(written, 2)]
    either = [np.count_nonzero(a | b) for a, b in combinations(written, 2)]
    assert sum(both) < 0.3 * sum(either)


def test_writing_is_magnified():
    def widest(magnification):
        """Return how many pixels in a row are of ink, on average over images."""
        found = []
        for seed in range(10):
            settings = Negative(shape=(128, 128), subject="writing", magnification=magnification)
            image, _ = draw_negative(settings, np.random.default_rng(seed))
            plane = image[0].astype(float)
            ink = np.abs(plane - np.median(plane)) > 0.4 * np.ptp(plane)
            found.append(np.count_nonzero(ink) / max(1, np.count_nonzero(np.diff(ink, axis=1))))
        return np.mean(found)

    assert widest(6.0) > 2.5 * widest(1.0)


def test_a_setting_out_of_range_is_told():
    with pytest.raises(ValueError, match="Expected shape from 16 to inf, but got 4"):
        Negative(shape=(4, 64))
    with pytest.raises(ValueError, match="Expected magnification from 1 to 8, but got 9"):
        Negative(magnification=9.0)
