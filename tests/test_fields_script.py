"""The script of docs/results/fields.md runs, and what it measures is what it says."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile
from tests.scripts import load_script

from pancyte.data.records import Record, write_manifest


@pytest.fixture(scope="module")
def script():
    return load_script("scripts/fields.py")


def rods(*, width: int, length: int) -> np.ndarray:
    labels = np.zeros((3 * (width + 1) + 8, length + 8), np.int32)
    for k in range(3):
        top = 4 + k * (width + 1)
        labels[top : top + width, 4 : 4 + length] = k + 1
    return labels


@pytest.mark.parametrize("field", ["diffusion", "geodesic"])
def test_a_slight_blur_costs_nothing_and_a_strong_one_costs_small_objects(script, field) -> None:
    assert script.blurred_score(rods(width=14, length=40), field, 0.5, seed=0) == 1.0
    assert script.blurred_score(rods(width=6, length=6), field, 12.0, seed=0) < 1.0


def test_shapes_are_scored_by_kind(script, monkeypatch, tmp_path, capsys) -> None:
    labels = rods(width=14, length=40)
    records = []
    for name in ("rods-phase", "negative-well"):
        tifffile.imwrite(tmp_path / f"{name}.tif", labels.astype(np.uint8))
        tifffile.imwrite(
            tmp_path / f"{name}_l.tif", (labels * (name == "rods-phase")).astype(np.uint16)
        )
        records.append(
            Record(
                image=tmp_path / f"{name}.tif",
                labels=tmp_path / f"{name}_l.tif",
                modality=f"generated-{name}",
            )
        )
    write_manifest(tmp_path / "manifest.csv", records)
    monkeypatch.setattr(sys, "argv", ["fields.py", "shapes", str(tmp_path / "manifest.csv")])
    assert script.main() == 0
    table = capsys.readouterr().out.splitlines()
    assert table[2].startswith("| rods | 1 |")
    assert len(table) == 3  # an image without objects has no score


def test_scores_of_runs_and_what_is_missing(script, monkeypatch, tmp_path, capsys) -> None:
    for name, score in (("diffusion_1", "0.8"), ("diffusion_3", "0.6")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(
            f"step,val/f1,val/ap\n100,0.1,0.1\n200,,\n300,{score},0.5\n"
        )
    monkeypatch.setattr(sys, "argv", ["fields.py", "scores", str(tmp_path)])
    assert script.main() == 0
    table = capsys.readouterr().out
    assert "| diffusion, f1 | 0.800 | - | 0.600 | 0.700 |" in table
    assert "| geodesic, ap | - | - | - | - |" in table
