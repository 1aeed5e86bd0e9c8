"""The numbers that ``pancyte prepare`` takes."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import click
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


@pytest.fixture
def further_command(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Add ``prepare colors MANIFEST``, and return the arguments that it was run with."""
    seen: list[str] = []

    @click.command("colors")
    @click.argument("manifest")
    @click.option("--count")
    def colors(manifest: str, count: str) -> None:
        seen.extend([manifest, count])

    made = types.ModuleType("colors_command")
    made.colors = colors  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "colors_command", made)
    commands = sys.modules["pancyte.cli.prepare"].SUBCOMMANDS
    monkeypatch.setitem(commands, "colors", ("colors_command:colors", "Name the colors."))
    return seen


def test_a_further_command_is_found_by_its_name(
    further_command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prepare", "colors", "all.csv", "--count", "4"]) == 0
    assert further_command == ["all.csv", "4"]
    assert run(["prepare", "--help"]) == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["colors", "Name", "the", "colors."] in listed
    assert run(["prepare", "colors", "--help"]) == 0
    assert "Usage: pancyte prepare colors" in capsys.readouterr().out


def test_a_folder_of_the_name_of_a_further_command_is_given_as_a_path(
    further_command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rename(folder.parent / "colors")
    monkeypatch.chdir(folder.parent)
    assert run(["prepare", "./colors", "-o", "all.csv"]) == 0
    assert not further_command
    assert Path("all.csv").is_file()


def test_several_folders_are_joined(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(folder / "all.csv")
    assert run(["prepare", str(folder), str(folder), "-o", out, "--val", "1"]) == 0
    assert "listed twice and taken once: 4" in capsys.readouterr().out
    assert run(["prepare", "-o", out]) == 2
    assert "SOURCE" in capsys.readouterr().err
