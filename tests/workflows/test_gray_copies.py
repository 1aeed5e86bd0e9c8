"""Gray copies of color images."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image as PillowImage

from pancyte.data.record_files import read_pixels
from pancyte.data.records import Record, read_manifest
from pancyte.errors import UsageError
from pancyte.workflows.gray_copies import write_gray_copies
from pancyte.workflows.prepare import PrepareConfig, prepare


def make_images(folder):
    """Write a color, a gray, and a gray-as-color image, and labels that fit all of them."""
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 255, (16, 18)).astype(np.uint8)
    color = rng.integers(0, 255, (16, 18, 3)).astype(np.uint8)
    arrays = {"color": color, "gray": gray, "same": np.stack([gray] * 3, axis=-1)}
    for name, array in arrays.items():
        for kind, values in (("images", array), ("masks", (gray > 99).astype(np.uint8))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(values).save(folder / kind / f"{name}.png")
    return arrays


def test_prepare_lists_gray_copies_in_place_of_color_images(tmp_path) -> None:
    arrays = make_images(tmp_path / "data")
    out = tmp_path / "gray.csv"
    config = PrepareConfig(gray=tmp_path / "gray", val=1)
    report = prepare(tmp_path / "data", out, config=config)
    assert (tmp_path / "gray" / "color.png").is_file()
    records = {r.image.stem: r for r in read_manifest(out)}
    assert {name: r.image.parent.name for name, r in records.items()} == {
        "color": "gray",
        "gray": "images",
        "same": "images",
    }
    pixels = read_pixels(records["color"])
    assert pixels.shape == (1, 16, 18)
    assert_array_equal(pixels[0], np.round(arrays["color"].mean(axis=-1)))
    assert sorted(r.split for r in report.records) == ["train", "train", "val"]
    with pytest.raises(UsageError, match=r"color.png: exists already. .* for the gray copies"):
        prepare(tmp_path / "data", tmp_path / "again.csv", config=config)
    prepare(tmp_path / "data", out, config=config, overwrite=True)


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(0, 60_000, np.uint16), (0.0, 1.0, np.float32), (-3, 9, np.float32)]
)
def test_values_of_any_range_keep_their_order_and_proportions(tmp_path, low, high, dtype) -> None:
    pixels = np.random.default_rng(1).uniform(low, high, (2, 9, 11)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    (made,) = write_gray_copies([Record(image=path)], tmp_path / "gray")
    gray, mean = read_pixels(made)[0], pixels.astype(np.float64).mean(axis=0)
    slope, start = np.polyfit(mean.ravel(), gray.ravel(), 1)
    assert slope > 0
    assert_allclose(slope * mean + start, gray, atol=1.0)
    assert gray.max() > 255


def test_folders_and_clashing_names_are_kept_apart(tmp_path) -> None:
    pixels = np.random.default_rng(2).integers(0, 9, (6, 6, 3)).astype(np.uint8)
    records = []
    for name in ("x/a.png", "y/a.png", "y/a.bmp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        PillowImage.fromarray(pixels).save(path)
        records.append(Record(image=path, spacing=(0.5, 0.5)))
    made = write_gray_copies(records, tmp_path / "gray")
    assert [r.image.relative_to(tmp_path / "gray").as_posix() for r in made] == [
        "x/a.png",
        "y/a.png.png",
        "y/a.bmp.png",
    ]
    assert {r.spacing for r in made} == {(0.5, 0.5)}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_copy_never_replaces_what_copies_are_made_of(tmp_path, kind, overwrite) -> None:
    make_images(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.glob("*/*.png")}
    config = PrepareConfig(gray=tmp_path / "images" / ".." / kind)
    with pytest.raises(UsageError, match=r"color.png: the gray copy of .* would replace an image"):
        prepare(tmp_path, tmp_path / "out.csv", config=config, overwrite=overwrite)
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*.png")} == files


def test_files_of_the_name_of_a_gray_image_are_in_nobodys_way(tmp_path) -> None:
    make_images(tmp_path)
    (tmp_path / "gray").mkdir()
    (tmp_path / "gray" / "same.png").write_bytes(b"mine")
    prepare(tmp_path, tmp_path / "out.csv", config=PrepareConfig(gray=tmp_path / "gray"))
    assert (tmp_path / "gray" / "same.png").read_bytes() == b"mine"


def test_no_images_are_no_copies(tmp_path) -> None:
    assert write_gray_copies([], tmp_path / "gray") == ()
