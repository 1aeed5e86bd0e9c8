"""The numbers that ``pancyte prepare`` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from pancyte.cli.exits import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(4):
            pixels = np.full((8, 8), 1 + number, np.uint8)
            PillowImage.fromarray(pixels).save(tmp_path / kind / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--val", "1"], "3 train, 1 val"),
        (["--val", "2", "--test", "1"], "1 train, 2 val, 1 test"),
        (["--val", "0.5"], "2 train, 2 val"),
    ],
)
def test_a_number_of_images_or_a_share(
    folder: Path, options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prepare", str(folder), "-o", str(folder / "all.csv"), *options]) == 0
    assert f"4 images: {expected}" in capsys.readouterr().out


def test_what_is_no_number_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prepare", str(folder), "-o", str(folder / "all.csv"), "--val", "few"]) == 2
    assert "such as 5, or a share, such as 0.1, but got 'few'" in capsys.readouterr().err
