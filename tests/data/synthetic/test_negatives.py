from __future__ import annotations

import numpy as np
import pytest

from pancyte.data.synthetic.negatives import SUBJECTS, Negative, draw_negative


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_images_without_objects_have_empty_labels(subject, color):
    for seed in range(12):
        scene = Negative(shape=(50, 67), subject=subject, color=color)
        image, labels = draw_negative(scene, np.random.default_rng(seed))

        assert image.shape == (3 if color else 1, 50, 67)
        assert not labels.any()
        assert labels.shape == (50, 67)


def test_there_is_something_to_see():
    for seed in range(8):
        scene = Negative(shape=(64, 64), subject="writing")
        image, _ = draw_negative(scene, np.random.default_rng(seed))
        assert image.std() > 0


def test_a_setting_out_of_range_is_told():
    with pytest.raises(ValueError, match="Expected shape from 16 to inf, but got 4"):
        Negative(shape=(4, 64))
