import numpy as np

from pancyte.workflows import pictures
from pancyte.workflows.pictures import draw_contours


def test_small_images_are_magnified_and_large_ones_thinned_out(monkeypatch):
    labels = np.zeros((1, 60, 90), np.int32)
    labels[0, 10:50, 20:80] = 1

    assert draw_contours(labels.astype(np.float32), labels).shape == (360, 540, 3)

    monkeypatch.setattr(pictures, "LARGEST_PICTURE", 60 * 90 // 4)
    monkeypatch.setattr(pictures, "readable_magnification", lambda shape: 1)
    assert draw_contours(labels.astype(np.float32), labels).shape == (30, 45, 3)
