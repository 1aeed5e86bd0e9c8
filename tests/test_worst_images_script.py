from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from tests.scripts import load_script


@pytest.fixture
def script():
    return load_script("scripts/worst_images.py")


def test_the_worst_ten_come_in_order_with_their_pictures(
    script, monkeypatch, tmp_path, capsys
) -> None:
    lines = ["image,threshold,tp,fp,fn,f1"]
    folder = tmp_path / script.PICTURES / "a"
    folder.mkdir(parents=True)
    for k in range(12):
        lines += [f"a/im{k}.png,0.5,{k},1,2,{k / 20}", f"a/im{k}.png,0.9,0,1,2,0"]
        PillowImage.fromarray(np.full((9, 5, 3), k, np.uint8)).save(folder / f"im{k}_errors.png")
    lines.append("a/none.png,0.5,0,0,0,nan")
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    sheet = tmp_path / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["worst_images.py", str(tmp_path), str(sheet)])

    assert script.main() == 0

    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[2].strip() for row in rows] == [f"a/im{k}" for k in range(10)]
    assert "| 0.05 | 1 | 1 | 2 |" in rows[1]
    with PillowImage.open(sheet) as picture:
        assert picture.size == (5 * (script.SIDE + 4) + 4, 2 * (script.SIDE + 4) + 4)


def test_a_missing_picture_is_said(script, tmp_path) -> None:
    with pytest.raises(SystemExit, match="im3_errors.png: no such picture"):
        script.picture_of(tmp_path, Path("a/im3.png"))
