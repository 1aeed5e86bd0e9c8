"""The picture of how far scores can be believed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from pancyte.metrics.calibration import reliability_curve
from pancyte.viz.reliability import draw_reliability


@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_curve_of_any_length_is_drawn(tmp_path, count):
    scores = np.random.default_rng(0).random(count)
    draw_reliability(tmp_path / "curve.png", reliability_curve(scores, scores > 0.4), scores)
    with PillowImage.open(io.BytesIO((tmp_path / "curve.png").read_bytes())) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert np.asarray(picture.convert("L")).std() > 5
