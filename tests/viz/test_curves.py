from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pancyte.viz.curves import draw_curves


def colors(path: Path) -> int:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))


def test_draw_curves_shows_losses_and_scores(tmp_path: Path) -> None:
    rows = [
        {"step": step, "loss/total": 1 / step, "loss/bce": 0.5 / step, "val/f1": step / 10}
        for step in (1, 2, 3)
    ]
    draw_curves(tmp_path / "curve.png", rows)
    draw_curves(tmp_path / "empty.png", [])
    # Lines in colors of their own, beside the gray of the axes.
    assert colors(tmp_path / "curve.png") > colors(tmp_path / "empty.png") + 50


def test_draw_curves_takes_a_column_with_gaps(tmp_path: Path) -> None:
    rows = [{"step": 1, "loss/total": 1.0}, {"step": 2, "loss/total": 0.5, "val/f1/phase": 0.1}]
    draw_curves(tmp_path / "curve.png", rows)
    assert colors(tmp_path / "curve.png") > 50


def test_draw_curves_shows_single_classes_and_the_test(tmp_path: Path) -> None:
    rows = [{"step": 1, "val/f1": 0.1}, {"step": 2, "val/f1": 0.5}]
    draw_curves(tmp_path / "plain.png", rows)
    rows[1] |= {"val/f1/cell": 0.4, "val/f1/modality/phase": 0.3, "test/f1": 0.45, "val/own": 7.0}
    draw_curves(tmp_path / "more.png", rows)
    assert colors(tmp_path / "more.png") > colors(tmp_path / "plain.png")
