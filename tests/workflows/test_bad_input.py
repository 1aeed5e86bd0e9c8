"""What bad input gets from the command line: a right result or one sentence, never a traceback."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from tests.blobs import spots, write_spots

from pancyte.cli.exits import run
from pancyte.io.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from pancyte.io.label_files import read_labels
from pancyte.io.tables import read_json
from pancyte.nn.architectures import Compact
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.workflows.models import save_model

CLASSES = ("object", "nucleus")


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch) -> None:
    monkeypatch.setattr("pancyte.workflows.predict.warm_up", lambda: 0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a small model."""
    return write_model(tmp_path_factory.mktemp("models") / "small")


def write_model(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    torch.manual_seed(0)
    task = FlowTask(
        classes=classes,
        architecture=Compact(decoder_channels=(4, 4, 4, 4, 4)),
        preprocessing=Preprocessing(diameter=None),
    )
    save_model(folder, task, task.network(), name=folder.name, provenance={})
    return folder


def damaged(trained: Path, folder: Path, damage: Callable[[Path], object]) -> Path:
    shutil.copytree(trained, folder)
    damage(folder)
    return folder


def with_text(old: str, new: str, *, count: int = -1) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "model.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, count), encoding="utf-8")

    return change


def with_weight(value: float) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        checkpoint = load_checkpoint(folder)
        weights = {name: array.copy() for name, array in checkpoint.weights.items()}
        weights["head.bias"][1] = value
        save_checkpoint(folder, Checkpoint(checkpoint.manifest, weights))

    return change


def flip_a_bit(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def cut_short(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, r"weights.safetensors: SHA-256 is .* expects .* Copy the folder again"),
        (cut_short, r"weights.safetensors: SHA-256 is "),
        (with_text("format_version = 1", "format_version = 2"), "version 2, .* Update pancyte"),
        (
            with_text("format_version = 1", "format_version = 0"),
            "version 0, but the first is 1",
        ),
        (with_text('"nucleus"', '"cell"', count=1), r"names the classes .*'cell'.* its task has"),
        (with_text('    "nucleus",\n', ""), "weights do not belong to the task: 2 of .* head.bias"),
        (
            lambda folder: (folder / "weights.safetensors").unlink(),
            "weights.safetensors is missing",
        ),
        (lambda folder: (folder / "model.toml").unlink(), r"holds no model\.toml"),
        (lambda folder: (folder / "model.toml").write_text(""), "is not the manifest"),
        (with_weight(np.nan), "1 of .* weights hold NaN or infinity, such as head.bias"),
        (with_weight(-np.inf), "1 of .* weights hold NaN or infinity, such as head.bias"),
    ],
)
def test_a_damaged_model_is_one_sentence(trained, tmp_path, capsys, damage, message):
    folder = damaged(trained, tmp_path / "model", damage)
    image = write_spots(tmp_path / "a.tif")
    arguments = ["predict", str(image), "-o", str(tmp_path / "out"), "--model", str(folder)]
    assert run(arguments) == 3
    err = capsys.readouterr().err
    assert re.search(message, err)
    assert err.count("\n") == 1
    assert err.startswith("Error: ")
    assert not (tmp_path / "out").exists()


def test_models_of_other_classes_do_not_predict_together(trained, tmp_path, capsys):
    other = write_model(tmp_path / "other", ("nucleus", "object"))
    image = write_spots(tmp_path / "a.tif")
    arguments = ["predict", str(image), "-o", str(tmp_path / "out")]
    assert run([*arguments, "--model", str(trained), "--model", str(other)]) == 2
    assert (
        "small and other cannot predict together: their classes differ" in capsys.readouterr().err
    )


def planes(count: int) -> np.ndarray:
    return np.stack([spots((48, 64))] * count)


GOOD = {
    "two_channels": planes(2),
    "three_by_three": np.arange(9, dtype=np.uint8).reshape(3, 3),
    "one_pixel": np.full((1, 1), 7, np.uint8),
    "one_pixel_of_three_axes": np.full((1, 1, 1), 7, np.uint8),
    "one_row": np.arange(5000, dtype=np.uint16)[None],
    "one_column": np.arange(5000, dtype=np.uint16)[:, None],
    "constant": np.full((48, 64), 65535, np.uint16),
    "some_nan": np.where(np.eye(64) > 0, np.nan, spots((64, 64))).astype(np.float32),
}
BAD = {
    "five_channels": (planes(5), r"1 to 3 channels, but got 5\. .*--channels 0,2"),
    "seven_channels": (planes(7), "1 to 3 channels, but got 7"),
    "all_nan": (np.full((48, 64), np.nan, np.float32), "channel 0 holds no finite pixel"),
    "all_infinite": (np.full((48, 64), np.inf, np.float32), "channel 0 holds no finite pixel"),
    "complex": (np.ones((48, 64), np.complex64), "complex64 pixels. Save real numbers"),
}


def write(path: Path, array: np.ndarray) -> Path:
    options: dict[str, object] = {"photometric": "minisblack"} if array.dtype.kind != "c" else {}
    if array.ndim == 3 and len(array) > 1:
        options["metadata"] = {"axes": "CYX"}
    tifffile.imwrite(path, array, **options)
    return path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if "one_" in name and "pixel" not in name
        else name
        for name in GOOD
    ],
)
def test_an_odd_image_gives_labels_of_its_size(name, trained, tmp_path):
    image = write(tmp_path / f"{name}.tif", GOOD[name])
    out = tmp_path / "out"
    assert run(["predict", str(image), "-o", str(out), "--model", str(trained)]) == 0
    labels = read_labels(out / f"{name}_labels.tif").labels
    assert labels.shape == (2, *GOOD[name].shape[-2:])
    (entry,) = read_json(out / "run.json")["images"]
    assert entry["num_objects"] == sum(len(np.unique(plane[plane > 0])) for plane in labels)
    if name in {"one_pixel", "three_by_three"}:
        assert entry["num_objects"] == 0


@pytest.mark.parametrize("name", BAD)
def test_an_image_that_cannot_be_segmented_is_one_sentence(name, trained, tmp_path, capsys):
    array, message = BAD[name]
    image = write(tmp_path / f"{name}.tif", array)
    arguments = ["predict", str(image), "-o", str(tmp_path / "out"), "--model", str(trained)]
    assert run(arguments) == 3
    err = capsys.readouterr().err
    assert re.search(f"{name}.tif: .*{message}", err)
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_what_is_bad_in_a_folder_does_not_stop_the_rest(trained, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("constant", "one_pixel"):
        write(folder / f"{name}.tif", GOOD[name])
    for name, (array, _) in BAD.items():
        write(folder / f"{name}.tif", array)
    (folder / "empty.tif").write_bytes(b"")
    out = tmp_path / "out"
    assert run(["predict", str(folder), "-o", str(out), "--model", str(trained)]) == 5
    err = capsys.readouterr().err
    assert "6 of 8 images could not be segmented" in err
    assert re.search(r"empty.tif: is empty \(0 bytes\)", err)
    assert sorted(path.name for path in out.glob("*_labels.tif")) == [
        "constant_labels.tif",
        "one_pixel_labels.tif",
    ]


def test_chosen_channels_of_many_are_segmented(trained, tmp_path):
    image = write(tmp_path / "a.tif", planes(7))
    arguments = ["predict", str(image), "-o", str(tmp_path / "out"), "--model", str(trained)]
    assert run([*arguments, "--channels", "0,6"]) == 0
    assert read_json(tmp_path / "out/run.json")["images"][0]["shape"] == [2, 48, 64]


def test_an_image_larger_than_memory_is_one_sentence(trained, tmp_path, capsys, monkeypatch):
    """A header that claims 300 megapixels, of which the file holds few."""
    path = tmp_path / "large.tif"
    tile = zlib.compress(bytes(256 * 256))
    tifffile.imwrite(
        path,
        (tile for _ in range(67 * 69)),
        shape=(17000, 17600),
        dtype=np.uint8,
        tile=(256, 256),
        compression="zlib",
    )
    monkeypatch.setattr("pancyte.io.raster.available_memory", lambda: 10**9)
    arguments = ["predict", str(path), "-o", str(tmp_path / "out"), "--model", str(trained)]
    assert run(arguments) == 3
    message = r"shape \(17000, 17600\), which take 598 MB of memory, but 500 MB may be used"
    assert re.search(message, capsys.readouterr().err)


def test_an_image_whose_labels_are_larger_than_memory_is_one_sentence(
    trained, tmp_path, capsys, monkeypatch
):
    image = write_spots(tmp_path / "a.tif")
    monkeypatch.setattr("pancyte.inference.inputs.available_memory", lambda: 10**5)
    arguments = ["predict", str(image), "-o", str(tmp_path / "out"), "--model", str(trained)]
    assert run(arguments) == 3
    message = "a.tif: the labels of 96 x 128 pixels take 196608 bytes of memory, but 100000 bytes"
    assert message in capsys.readouterr().err
