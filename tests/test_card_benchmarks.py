"""The benchmarks that the model card is made by measure what they say, with a model that is right.

It finds what is bright, whatever it was trained for: spots in any size, and none in the dark.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from tests.blobs import spot_model, spots
from tests.scripts import load_script

from pancyte.data.records import Record, write_manifest
from pancyte.io.tables import read_csv
from pancyte.ops.calibration import Calibration
from pancyte.ops.labels import split_components

PIXELS = spots(radius=10)[None]
TRUTH = split_components(PIXELS > 0)[0]


@pytest.fixture
def main(monkeypatch):
    """Run a script's main function with the model of spots and these arguments."""

    def run(script, *arguments):
        monkeypatch.setattr(script, "load", lambda name: spot_model())
        monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
        return script.main()

    return run


def manifest(folder, *images, split="val"):
    """Write images with the labels of their bright parts as fluorescence of a split."""
    records = []
    for k, pixels in enumerate(images):
        paths = folder / f"{k}.tif", folder / f"{k}_labels.tif"
        tifffile.imwrite(paths[0], pixels)
        labels = split_components(pixels[None] > 0)[0]
        tifffile.imwrite(paths[1], labels.astype(np.uint16))
        records.append(
            Record(image=paths[0], labels=paths[1], split=split, modality="fluorescence")
        )
    write_manifest(folder / "manifest.csv", records)
    return folder / "manifest.csv"


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_scales_finds_all_objects_at_each_size_that_counts(factor) -> None:
    scales = load_script("benchmarks/scales.py")
    result = scales.measure(spot_model(diameter=20.0), PIXELS, TRUTH, factor, told=True)
    assert result.f1 == 1.0
    assert result.relative_size == pytest.approx(1.0, abs=0.05)
    assert result.megapixels == pytest.approx(TRUTH.size * factor**2 / 1e6, rel=0.02)
    assert not result.warned


def test_scales_leaves_out_where_little_counts(monkeypatch) -> None:
    scales = load_script("benchmarks/scales.py")
    model = spot_model()
    assert scales.measure(model, PIXELS, TRUTH, 0.25, told=False) is None  # 5 pixels
    assert scales.measure(model, PIXELS, np.zeros_like(TRUTH), 1.0, told=False) is None
    monkeypatch.setattr(scales, "MOST_PIXELS", TRUTH.size)
    assert scales.measure(model, PIXELS, TRUTH, 1.0, told=False).f1 == 1.0
    assert scales.measure(model, PIXELS, TRUTH, 2.0, told=False) is None


def test_scales_tells_how_far_each_size_falls_behind_the_best(capsys) -> None:
    scales = load_script("benchmarks/scales.py")
    rows = [
        [scales.Result(f1, size, 2.0, 0.5, warned=False) if f1 else None for f1, size in row]
        for row in ([(0.9, 1.0), (0.7, 3.0)], [(0.6, 1.2), (0.8, 0.9)], [(0.5, 1.0), (0, 0)])
    ]
    scales.summarize(rows)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "| mean | | 0.667 | 0.750 |"
    assert printed[1] == "| mean below the image's best | | 0.067 | 0.100 |"
    assert printed[3] == "Within a factor of 1.5: 80%; of 2: 80%; 4.00 CPU s a megapixel"


def test_scales_prints_a_row_for_each_image(main, tmp_path, capsys) -> None:
    images = PIXELS[0], np.zeros((64, 64), np.uint8)
    arguments = "--manifest", manifest(tmp_path, *images), "--factors", 0.25, 1
    assert main(load_script("benchmarks/scales.py"), *arguments) == 0
    printed = capsys.readouterr().out
    assert "| fluorescence 0 | 20 | - | 1.00 (1.00) |" in printed
    assert "| fluorescence 1 | - | - | - |" in printed
    assert "| mean | | - | 1.000 |" in printed


@pytest.mark.parametrize("split", ["val", "dev"])
def test_scales_without_objects_is_one_sentence(main, tmp_path, capsys, split) -> None:
    path = manifest(tmp_path, np.zeros((64, 64), np.uint8))
    assert main(load_script("benchmarks/scales.py"), "--manifest", path, "--split", split) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"None of the {int(split == 'val')} images has objects of 7 pixels")
    assert said.count("\n") == 1


def test_no_objects_counts_by_kind_and_apart_what_came_without_a_warning() -> None:
    no_objects = load_script("benchmarks/no_objects.py")
    dark = np.zeros((1, 250, 400), np.uint8)
    bright = spots((250, 400))[None]
    table = no_objects.measure(spot_model(), [("well", dark), ("noise", bright), ("well", dark)])
    count = int(split_components(bright > 0).max())
    assert table["kind"] == ["well", "noise", "all"]
    assert table["images"] == [2, 1, 3]
    assert table["megapixels"] == [0.2, 0.1, 0.3]
    assert table["objects"] == [0, count, count]
    assert table["per_mp"] == [0.0, 10.0 * count, round(count / 0.3, 1)]
    assert table["outside"] == [0, 0, 0]
    assert table["warned"] == [2, 0, 2]  # that nothing was found
    assert table["unwarned_per_mp"] == [0.0, 10.0 * count, round(count / 0.3, 2)]


def test_no_objects_counts_images_that_are_said_to_be_outside() -> None:
    no_objects = load_script("benchmarks/no_objects.py")
    # A mean score of 0.27: most objects are wrong by the model's own estimate.
    model = replace(spot_model(), calibration=Calibration(intercept=-1.0, weights={}, limits={}))
    cases = [("well", np.zeros((1, 96, 128), np.uint8)), *[("noise", PIXELS)] * 2]
    table = no_objects.measure(model, cases)
    assert table["kind"] == ["well", "noise", "all"]
    assert table["outside"] == [0, 2, 2]
    assert table["warned"] == [1, 2, 3]
    assert table["unwarned_per_mp"] == [0.0, 0.0, 0.0]


def test_no_objects_prints_and_writes_its_table(main, monkeypatch, tmp_path, capsys) -> None:
    no_objects = load_script("benchmarks/no_objects.py")
    monkeypatch.setattr(no_objects, "SIDE", 64)
    monkeypatch.setattr(no_objects, "photographs", lambda: [("photograph", PIXELS)])
    assert main(no_objects, "--images", 1, "--csv", tmp_path / "table.csv") == 0
    kinds = ["photograph", *no_objects.SUBJECTS, "all"]
    printed = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[0] for line in printed] == [f"| {kind}" for kind in kinds]
    written = read_csv(tmp_path / "table.csv")
    assert written["kind"] == kinds
    assert written["images"] == ["1"] * 5 + ["5"]
    assert sum(map(int, written["objects"][:-1])) == int(written["objects"][-1]) >= TRUTH.max()


def test_photographs_come_in_color_and_gray() -> None:
    shown = list(load_script("benchmarks/no_objects.py").photographs())
    assert [kind for kind, _ in shown] == ["photograph", "gray photograph"] * 3
    assert [len(pixels) for _, pixels in shown] == [3, 1] * 3
    for (_, color), (_, gray) in zip(shown[::2], shown[1::2], strict=True):
        np.testing.assert_allclose(gray[0], color.mean(axis=0), atol=0.5)


def test_presentations_are_the_same_image() -> None:
    invariance = load_script("benchmarks/invariance.py")
    gray = np.random.default_rng(0).integers(0, 256, (12, 15)).astype(np.uint8)
    gray[0, :2] = 0, 255
    truth = np.zeros(gray.shape, np.int32)
    truth[3:9, 3:9] = 1
    shown = invariance.presentations(gray, truth)
    for name, image in shown.items():
        assert image.shape == ((3 if name in {"red", "third"} else 1), *gray.shape)
    for name in ("gray", "16 bits", "float"):
        np.testing.assert_array_equal(invariance.as_gray(shown[name]), gray)
    np.testing.assert_array_equal(invariance.as_gray(shown["inverted"]), 255 - gray)
    for name, place in (("red", 0), ("third", 2)):
        np.testing.assert_array_equal(shown[name][place], gray)
        assert shown[name].astype(int).sum() == gray.sum(dtype=int)
    assert len(np.unique(shown["dim"])) <= 27
    cut = shown["saturated"][0]
    assert 0 < (cut < gray)[truth > 0].mean() <= 0.12  # of 36 pixels
    assert (cut[gray < cut.max()] == gray[gray < cut.max()]).all()


def test_invariance_of_a_model_that_sees_what_is_bright() -> None:
    invariance = load_script("benchmarks/invariance.py")
    pairs = invariance.scores(invariance.compare(spot_model(), PIXELS, TRUTH))
    names = {name for pair in pairs for name in pair}
    assert len(pairs) == len(names) * (len(names) - 1) // 2
    assert names == {*invariance.presentations(PIXELS[0], TRUTH), invariance.TRUTH}
    for pair, score in pairs.items():
        # Of the inverted image, the background is the one object.
        assert score == (0.0 if "inverted" in pair else 1.0), pair


def test_invariance_prints_and_writes_means_over_images(main, tmp_path, capsys) -> None:
    path = manifest(tmp_path, PIXELS[0], spots(radius=6))
    invariance = load_script("benchmarks/invariance.py")
    assert main(invariance, path, "--images", 2, "--csv", tmp_path / "table.csv") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 images\n")
    assert "| gray |  | 0.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |" in printed
    assert "between any two: mean 0.750, lowest 0.000 (gray and inverted)" in printed
    assert len(read_csv(tmp_path / "table.csv")["f1"]) == 9 * 8 // 2


@pytest.mark.parametrize("split", ["val", "dev"])
def test_invariance_without_objects_is_one_sentence(main, tmp_path, capsys, split) -> None:
    path = manifest(tmp_path, np.zeros((64, 64), np.uint8))
    assert main(load_script("benchmarks/invariance.py"), path, "--splits", split) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        f"No objects to compare in {int(split == 'val')} images of fluorescence in the splits"
    )
    assert said.count("\n") == 1
