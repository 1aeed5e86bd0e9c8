from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as PillowImage
from tests.blobs import spot_model, spots, write_spots

from pancyte.cli.exits import run
from pancyte.errors import ConfigError, InputError, PartialError, ResourceError, UsageError
from pancyte.inference import passes
from pancyte.inference.tiles import TiledMaps, Tiling
from pancyte.io.label_files import read_labels
from pancyte.io.tables import read_csv, read_json
from pancyte.ops.calibration import Calibration
from pancyte.workflows import predict as module
from pancyte.workflows.predict import PredictConfig, predict


@pytest.fixture(autouse=True)
def model(monkeypatch):
    """Bright spots are the objects, whatever model is asked for; returns how it was asked for."""
    asked = []

    def load(name, **options):
        asked.append((name, options))
        return spot_model()

    monkeypatch.setattr(module, "load", load)
    monkeypatch.setattr(module, "warm_up", lambda: 0.0)
    return asked


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_predict_writes_labels_overlay_table_and_record(tmp_path: Path) -> None:
    image = write_spots(tmp_path / "in/day 1/cells.tif")
    out = predict(tmp_path / "in", tmp_path / "out")
    assert sorted(content(out)) == [
        "day 1/cells_labels.tif",
        "day 1/cells_overlay.png",
        "images.csv",
        "objects.csv",
        "run.json",
    ]
    labels = read_labels(out / "day 1/cells_labels.tif")
    assert np.array_equal(labels.labels[0] > 0, spots() > 0)
    assert labels.labels.max() == 20
    assert labels.classes == ("object",)
    with PillowImage.open(out / "day 1/cells_overlay.png") as overlay:
        assert overlay.size == (128 * 4, 96 * 4)
    table = read_csv(out / "objects.csv")
    assert table["file"] == ["day 1/cells.tif"] * 20
    assert table["label"] == [str(i) for i in range(1, 21)]
    assert set(table["class"]) == {"object"}
    record = read_json(out / "run.json")
    assert record["status"] == "complete"
    assert record["model"]["name"] == "spots"
    (entry,) = record["images"]
    assert entry["file"] == "day 1/cells.tif"
    assert entry["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert entry["labels"] == "day 1/cells_labels.tif"
    assert entry["num_objects"] == 20
    assert entry["scale"] == 1.0
    assert entry["seconds"] > 0


def test_the_table_has_the_promised_columns(tmp_path: Path) -> None:
    write_spots(tmp_path / "in/a.tif")
    table = read_csv(predict(tmp_path / "in", tmp_path / "out") / "objects.csv")
    assert list(table) == [
        "file", "class", "label", "score", "foreground", "flow_error", "area", "centroid-0",
        "centroid-1", "bbox-0", "bbox-1", "bbox-2", "bbox-3", "diameter", "intensity_mean-0",
        "touches_border",
    ]  # fmt: skip
    inside = int((spots() > 0).sum())
    assert sum(map(float, table["area"])) == inside
    assert set(table["intensity_mean-0"]) == {"200"}
    assert set(table["touches_border"]) == {"false"}
    assert all(0.9 < float(score) <= 1 for score in table["score"])


def test_columns_are_united_over_images_and_micrometre_only_where_known(tmp_path: Path) -> None:
    write_spots(tmp_path / "in/gray.tif")
    color = np.repeat(spots()[..., None], 3, axis=-1)
    resolution = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        tmp_path / "in/rgb.ome.tif", np.moveaxis(color, -1, 0), photometric="minisblack",
        metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm",
                  "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}, **resolution,
    )  # fmt: skip
    out = predict(tmp_path / "in", tmp_path / "out")
    table = read_csv(out / "objects.csv")
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    gray = [row for row in rows if row["file"] == "gray.tif"]
    rgb = [row for row in rows if row["file"] == "rgb.ome.tif"]
    assert {row["intensity_mean-2"] for row in gray} == {""}
    assert {row["intensity_mean-2"] for row in rgb} == {"200"}
    assert {row["area_um2"] for row in gray} == {""}
    assert all(float(row["area_um2"]) == float(row["area"]) / 4 for row in rgb)
    assert read_labels(out / "rgb.ome_labels.tif").spacing == (0.5, 0.5)


def test_a_second_run_names_what_it_would_overwrite_and_stops(tmp_path: Path, capsys) -> None:
    write_spots(tmp_path / "in/a.tif")
    arguments = ["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert run(arguments) == 0
    before = content(tmp_path / "out")
    capsys.readouterr()
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert "would overwrite 5 files" in err
    assert "a_labels.tif" in err
    assert "--overwrite" in err
    assert content(tmp_path / "out") == before
    write_spots(tmp_path / "in/a.tif", brightness=100)
    assert run([*arguments, "--overwrite"]) == 0
    assert content(tmp_path / "out")["objects.csv"] != before["objects.csv"]


def test_labels_drawn_by_hand_are_never_overwritten(tmp_path: Path, capsys) -> None:
    """Annotations may lie beside their images under the very names of results."""
    write_spots(tmp_path / "a.tif")
    write_spots(tmp_path / "b.tif")
    by_hand = write_spots(tmp_path / "a_labels.tif", brightness=7)
    before = content(tmp_path)
    arguments = ["predict", str(tmp_path), "-o", str(tmp_path)]
    for options in ([], ["--overwrite"]):
        assert run([*arguments, *options]) == 2
        err = capsys.readouterr().err
        assert "would overwrite 1 file that no prediction wrote" in err
        assert "a_labels.tif" in err
        assert content(tmp_path) == before
    assert run(["predict", str(tmp_path / "b.tif"), "-o", str(tmp_path)]) == 0
    assert run([*arguments, "--overwrite"]) == 2
    assert content(tmp_path)[by_hand.name] == before[by_hand.name]


def test_results_of_earlier_runs_can_be_overwritten_whatever_ran_between(
    tmp_path: Path, monkeypatch
) -> None:
    images = [write_spots(tmp_path / f"in/{name}.tif") for name in "ab"]
    out = tmp_path / "out"
    predict(images, out)
    predict(images[1], out, overwrite=True)
    predict(images[0], out, overwrite=True)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    third = write_spots(tmp_path / "c.tif")
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_png", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict(third, out, overwrite=True)
    assert "c_labels.tif" in read_json(out / "run.json")["written"]
    predict(third, out, overwrite=True)
    predict(images, out, overwrite=True)


def test_results_inside_the_folder_of_images_are_not_read_again(tmp_path: Path) -> None:
    write_spots(tmp_path / "a.tif")
    predict(tmp_path, tmp_path / "out")
    predict(tmp_path, tmp_path / "out", overwrite=True)
    predict(tmp_path, tmp_path, overwrite=False)
    assert [e["file"] for e in read_json(tmp_path / "run.json")["images"]] == ["a.tif"]


def test_a_large_image_is_seen_to_move(tmp_path: Path) -> None:
    for name in "ab":
        write_spots(tmp_path / f"in/{name}.tif", shape=(96, 256))
    seen = []
    config = PredictConfig(tiling=Tiling(tile=128, overlap=32))
    predict(tmp_path / "in", tmp_path / "out", config, report=lambda *call: seen.append(call))
    assert [call[0] for call in seen] == sorted(call[0] for call in seen)
    tiles = [call for call in seen if "tile" in call[2]]
    assert tiles[0] == (0, 2, "a.tif: tile 1 of 3")
    assert tiles[-1] == (1, 2, "b.tif: tile 3 of 3")


def test_the_last_line_says_where_the_results_are(tmp_path: Path, capsys) -> None:
    write_spots(tmp_path / "in/a.tif")
    assert run(["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert out == f"The results are in {tmp_path / 'out'}\n"
    assert err.startswith("[1/1] a.tif: 20 objects")
    assert err.endswith("Found 20 objects in 1 image\n")


def test_one_bad_file_is_reported_at_the_end_and_does_not_stop_the_others(
    tmp_path: Path, capsys
) -> None:
    write_spots(tmp_path / "in/a.tif")
    (tmp_path / "in/b.tif").write_bytes((tmp_path / "in/a.tif").read_bytes()[:200])
    write_spots(tmp_path / "in/c.tif")
    (tmp_path / "in/d.png").write_bytes(b"not a picture")
    assert run(["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 5
    err = capsys.readouterr().err
    assert "2 of 4 images could not be segmented; the results of the others are in" in err
    assert "b.tif" in err.split("could not be")[1]
    assert "d.png" in err.split("could not be")[1]
    assert "Traceback" not in err
    record = read_json(tmp_path / "out/run.json")
    assert record["status"] == "partial"
    assert [failure["file"] for failure in record["failures"]] == ["b.tif", "d.png"]
    assert [entry["file"] for entry in record["images"]] == ["a.tif", "c.tif"]
    assert not list((tmp_path / "out").glob("b*"))


def test_all_files_bad_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"The image could not be segmented:\n  .*a\.tif"):
        predict(tmp_path / "in", tmp_path / "out")
    with pytest.raises(PartialError, match="1 of 2 images"):
        predict([tmp_path / "in", write_spots(tmp_path / "b.tif")], tmp_path / "out 2")
    (tmp_path / "in/b.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"None of 2 images could be segmented:\n  .*a\.tif"):
        predict(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stack_gets_one_sentence(tmp_path: Path) -> None:
    stack = np.zeros((5, *spots().shape), np.uint8)
    stack[2] = spots()
    tifffile.imwrite(tmp_path / "z.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    advice = r"z\.tif: is a stack of 5 slices .* give --axes CYX --channels 2 .*save each slice"
    with pytest.raises(InputError, match=advice):
        predict(tmp_path / "z.tif", tmp_path / "out")
    # What it says works.
    out = predict(tmp_path / "z.tif", tmp_path / "out", PredictConfig(axes="CYX", channels="2"))
    np.testing.assert_array_equal(
        read_labels(out / "z_labels.tif").labels, spot_model().segment(spots()).labels
    )


def test_non_finite_pixels_are_counted_and_warned_about_once(tmp_path: Path, caplog) -> None:
    pixels = spots().astype(np.float32)
    pixels[0, :3] = [np.nan, np.inf, -np.inf]
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with caplog.at_level(logging.WARNING, "pancyte"):
        predict(tmp_path / "a.tif", tmp_path / "out")
    messages = [r.getMessage() for r in caplog.records if "NaN" in r.getMessage()]
    assert messages == [
        "a.tif: 3 pixels were NaN or infinite; the median of their channel took their place"
    ]
    (entry,) = read_json(tmp_path / "out/run.json")["images"]
    assert entry["replaced_pixels"] == 3
    assert entry["num_objects"] == 20


@pytest.mark.parametrize("value", [0, 1, 65535])
def test_a_constant_image_has_no_objects(tmp_path: Path, value: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((40, 50), value, np.uint16))
    out = predict(tmp_path / "a.tif", tmp_path / "out")
    assert not read_labels(out / "a_labels.tif").labels.any()
    assert read_csv(out / "objects.csv")["label"] == []
    (note,) = read_csv(out / "images.csv")["note"]
    assert note.startswith("No objects were found: all pixels of the image are equal.")


def test_what_a_killed_prediction_left_half_written_is_removed(tmp_path: Path) -> None:
    write_spots(tmp_path / "in/b/a.tif")
    write_spots(tmp_path / "in/a.tif")
    left = [tmp_path / "out/.pancyte-0.partial", tmp_path / "out/b/.pancyte-1.partial"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    predict(tmp_path / "in", tmp_path / "out")
    assert not any(path.exists() for path in left)


def test_interruption_keeps_what_is_finished_and_nothing_half(tmp_path: Path, monkeypatch) -> None:
    for name in "abc":
        write_spots(tmp_path / f"in/{name}.tif")
    real = module.write_png

    def interrupted(path: Path, picture: np.ndarray) -> None:
        if path.name.startswith("b"):
            raise KeyboardInterrupt
        real(path, picture)

    monkeypatch.setattr(module, "write_png", interrupted)
    assert run(["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 130
    record = read_json(tmp_path / "out/run.json")
    assert record["status"] == "interrupted"
    assert [entry["file"] for entry in record["images"]] == ["a.tif"]
    assert set(read_csv(tmp_path / "out/objects.csv")["file"]) == {"a.tif"}
    assert not list((tmp_path / "out").glob("c*"))
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("full", ["_labels.tif", "_overlay.png", "objects.csv", "run.json"])
def test_a_full_disk_leaves_every_old_file_as_it_was(tmp_path: Path, monkeypatch, full) -> None:
    write_spots(tmp_path / "in/a.tif")
    out = predict(tmp_path / "in", tmp_path / "out")
    before = content(out)
    write_spots(tmp_path / "in/a.tif", radius=5)
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if str(target).endswith(full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    assert run(["predict", str(tmp_path / "in"), "-o", str(out), "--overwrite"]) == 4
    after = content(out)
    assert after.keys() == before.keys()
    (name,) = [name for name in before if name.endswith(full)]
    assert after[name] == before[name]


def test_a_full_disk_is_an_error_of_resources(tmp_path: Path, monkeypatch) -> None:
    write_spots(tmp_path / "in/a.tif")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pancyte.io.files.os.fsync", fail)
    with pytest.raises(ResourceError, match=r"a_labels\.tif: not written, because the disk is"):
        predict(tmp_path / "in", tmp_path / "out")


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    image = write_spots(tmp_path / "a.tif")
    with pytest.raises(UsageError, match=r"a\.tif: expected a folder to write to, but it is a fil"):
        predict(image, image)
    assert np.array_equal(tifffile.imread(image), spots())


def test_a_folder_that_cannot_be_made_is_refused_before_a_model_is_loaded(
    tmp_path: Path, model, capsys
) -> None:
    image = write_spots(tmp_path / "a.tif")
    assert run(["predict", str(image), "-o", str(tmp_path / "a.tif/out")]) == 2
    said = f"Error: {image}: expected a folder to write to, but it is a file. Name another.\n"
    assert capsys.readouterr().err == said
    assert model == []


# Each option changes something: none is accepted and ignored.


def record_with(tmp_path: Path, *options: str, image: Path | None = None) -> dict:
    image = image or write_spots(tmp_path / "a.tif")
    arguments = ["predict", str(image), "-o", str(tmp_path / "out"), "--overwrite", *options]
    assert run(arguments) == 0
    return read_json(tmp_path / "out/run.json")


def test_option_model_is_used(tmp_path: Path, model) -> None:
    assert record_with(tmp_path, "--model", "x")["settings"]["model"] == "x"
    assert model[-1][0] == "x"


def test_option_device_and_precision_is_used(tmp_path: Path, model) -> None:
    record_with(tmp_path, "--set", "device=cpu", "--set", "precision=float32")
    assert model[-1][1] == {"device": "cpu", "precision": "float32"}


def test_option_diameter_is_used(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "load", lambda *_, **__: spot_model(diameter=16.0))
    assert record_with(tmp_path, "--diameter", "32")["images"][0]["scale"] == 0.5
    assert record_with(tmp_path, "--diameter", "8")["images"][0]["scale"] == 2.0


def test_option_axes_is_used(tmp_path: Path, capsys) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.stack([spots()] * 2), photometric="minisblack")
    image = tmp_path / "m.tif"
    assert run(["predict", str(image), "-o", str(tmp_path / "out")]) == 3
    assert "Give --axes" in capsys.readouterr().err
    assert record_with(tmp_path, "--axes", "CYX", image=image)["images"][0]["axes"] == "CYX"


def test_option_channels_is_used(tmp_path: Path) -> None:
    planes = np.stack([np.zeros_like(spots()), spots(), np.full_like(spots(), 255)])
    tifffile.imwrite(tmp_path / "c.tif", planes, imagej=True, metadata={"axes": "CYX"})
    record = record_with(tmp_path, "--channels", "1", image=tmp_path / "c.tif")
    assert record["num_objects"] == 20
    assert record["images"][0]["shape"] == [1, 96, 128]


def test_option_spacing_is_used(tmp_path: Path) -> None:
    record = record_with(tmp_path, "--set", "spacing=[0.5, 0.25]")
    assert record["images"][0]["spacing"] == [0.5, 0.25]
    table = read_csv(tmp_path / "out/objects.csv")
    assert float(table["area_um2"][0]) == float(table["area"][0]) / 8


def test_option_min_score_is_used(tmp_path: Path) -> None:
    assert record_with(tmp_path)["num_objects"] == 20
    assert record_with(tmp_path, "--set", "min_score=1")["num_objects"] == 0
    assert not read_labels(tmp_path / "out/a_labels.tif").labels.any()


def test_option_threads_is_used(tmp_path: Path, monkeypatch) -> None:
    seen = []
    before = torch.get_num_threads()
    monkeypatch.setattr(
        "pancyte.workflows.predict.warm_up", lambda: seen.append(torch.get_num_threads())
    )
    assert record_with(tmp_path, "--set", "threads=1")["threads"] == 1
    assert seen == [1]
    assert torch.get_num_threads() == before


def test_a_prediction_leaves_the_random_numbers_of_its_host_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()
    predict(write_spots(tmp_path / "a.tif"), tmp_path / "out")
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert random.getstate() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("diameter", [8, 16, 32])
def test_option_min_area_is_used(tmp_path: Path, monkeypatch, diameter: int) -> None:
    """In pixels of the image, at whatever scale the network saw it."""
    pixels = spots()
    pixels[:26] = 0
    pixels[2:12, 2:12] = 200
    tifffile.imwrite(tmp_path / "m.tif", pixels)
    monkeypatch.setattr(module, "load", lambda *_, **__: spot_model(diameter=16.0))
    options = ["--diameter", str(diameter), "--set"]
    record = record_with(tmp_path, *options, "min_area=60", image=tmp_path / "m.tif")
    assert record["num_objects"] == 16
    record = record_with(tmp_path, *options, "min_area=150", image=tmp_path / "m.tif")
    assert record["num_objects"] == 15
    table = read_csv(tmp_path / "out/objects.csv")
    assert all(float(area) >= 150 for area in table["area"])
    assert table["label"] == [str(i) for i in range(1, 16)]
    labels = read_labels(tmp_path / "out/m_labels.tif").labels
    assert np.bincount(labels.ravel())[1:].tolist() == [int(area) for area in table["area"]]
    assert not labels[0, :20].any()


def test_option_tiling_is_used(tmp_path: Path, monkeypatch) -> None:
    seen = []

    class Spied(TiledMaps):
        def __init__(self, *args, tiling, **options):
            seen.append(tiling)
            super().__init__(*args, tiling=tiling, **options)

    monkeypatch.setattr(passes, "TiledMaps", Spied)
    record = record_with(tmp_path, "--set", "tiling.tile=64", "--set", "tiling.overlap=32")
    assert record["settings"]["tiling"] == {"tile": 64, "overlap": 32, "batch": 1}
    assert set(seen) == {Tiling(tile=64, overlap=32)}


def test_option_decoding_is_used(tmp_path: Path) -> None:
    record = record_with(tmp_path, "--set", "decoding.min_size=500")
    assert record["num_objects"] == 0
    assert record["model"]["task"]["decoding"]["min_size"] == 500


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("diametre=3", r"unknown key 'diametre' \(did you mean 'diameter'\?\)"),
        ("decoding.min_sise=3", r"min_sise' \(did you mean 'min_size'\?\)"),
        ("decoding.min_size=big", "min_size: expected a whole number"),
        ("min_score=2", "Expected min_score to lie in 0 to 1, but got 2"),
        ("min_area=-1", "Expected min_area to be 0 or more pixels, but got -1"),
        ("diameter=-1", "Expected diameter to be a positive number of pixels, but got -1"),
        ("axes=QQ", "Expected axes of the letters TCZYXS, such as CYX or YXC, but got 'QQ'"),
        ("tiling.tile=100", "Expected tile to be a multiple of 32, but got 100"),
        ("precision=float8", "precision"),
        ("nothing", "expected key=value"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, capsys, override: str, message: str) -> None:
    image = write_spots(tmp_path / "a.tif")
    assert run(["predict", str(image), "-o", str(tmp_path / "out"), "--set", override]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert not (tmp_path / "out").exists()


def test_config_refuses_values_out_of_range() -> None:
    with pytest.raises(ValueError, match="Expected min_score to lie in 0 to 1, but got -0.1"):
        PredictConfig(min_score=-0.1)
    with pytest.raises(ConfigError, match="unknown key"):
        module.load_model(PredictConfig(decoding={"no": 1}))


def test_settings_do_not_leak_into_the_next_call(tmp_path: Path) -> None:
    image = write_spots(tmp_path / "a.tif")
    first = predict(image, tmp_path / "1")
    predict(image, tmp_path / "2", PredictConfig(decoding={"min_size": 500}, min_score=0.5))
    third = predict(image, tmp_path / "3")
    assert (first / "objects.csv").read_bytes() == (third / "objects.csv").read_bytes()
    assert json.loads((third / "run.json").read_text())["settings"]["min_score"] == "none"


def test_a_result_that_cannot_be_written_ends_the_run_and_blames_no_image(
    tmp_path: Path, capsys
) -> None:
    write_spots(tmp_path / "in/a.tif")
    predict(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out/a_overlay.png").unlink()
    (tmp_path / "out/a_overlay.png").mkdir()
    arguments = ["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--overwrite"]
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert "a_overlay.png: is a folder" in err
    assert "could not be segmented" not in err
    assert "Results of 0 of 1 image are in" in err


# Which results are written.


def names(folder: Path) -> list[str]:
    return sorted(content(folder))


@pytest.mark.parametrize("tile", [512, 32])
def test_only_masks_writes_label_images_and_the_record(tmp_path: Path, tile: int) -> None:
    write_spots(tmp_path / "in/day 1/a.tif")
    options = ["--only-masks", "--set", f"tiling.tile={tile}", "--set", "tiling.overlap=0"]
    arguments = ["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert run([*arguments, *options]) == 0
    assert names(tmp_path / "out") == ["day 1/a_labels.tif", "run.json"]
    record = read_json(tmp_path / "out/run.json")
    assert record["written"] == names(tmp_path / "out")
    assert "overlay" not in record["images"][0]
    assert run([*arguments, *options, "--overwrite"]) == 0


def test_no_save_masks_writes_everything_else(tmp_path: Path) -> None:
    write_spots(tmp_path / "in/a.tif")
    arguments = ["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--no-save-masks"]
    assert run(arguments) == 0
    assert names(tmp_path / "out") == ["a_overlay.png", "images.csv", "objects.csv", "run.json"]
    assert "labels" not in read_json(tmp_path / "out/run.json")["images"][0]
    assert len(read_csv(tmp_path / "out/objects.csv")["label"]) == 20


def test_tables_alone_make_no_folders(tmp_path: Path) -> None:
    write_spots(tmp_path / "in/day 1/a.tif")
    config = PredictConfig(save_masks=False, save_pictures=False)
    out = predict(tmp_path / "in", tmp_path / "out", config)
    assert names(out) == ["images.csv", "objects.csv", "run.json"]
    assert not (out / "day 1").exists()


def test_nothing_but_masks_and_no_masks_is_refused(tmp_path: Path, capsys) -> None:
    image = write_spots(tmp_path / "a.tif")
    arguments = ["predict", str(image), "-o", str(tmp_path / "out")]
    assert run([*arguments, "--only-masks", "--no-save-masks"]) == 2
    assert "leave nothing to write" in capsys.readouterr().err


def test_every_image_is_listed_also_without_objects(tmp_path: Path) -> None:
    write_spots(tmp_path / "in/a.tif")
    tifffile.imwrite(tmp_path / "in/b.tif", np.zeros((40, 50), np.uint8))
    (tmp_path / "in/c.tif").write_bytes(b"II*\0")
    with pytest.raises(PartialError):
        predict(tmp_path / "in", tmp_path / "out")
    table = read_csv(tmp_path / "out/images.csv")
    assert table["file"] == ["a.tif", "b.tif", "c.tif"]
    assert table["status"] == ["done", "done", "failed"]
    assert table["num_objects"] == ["20", "0", ""]
    assert float(table["median_diameter"][0]) == pytest.approx(16, abs=1)
    assert "c.tif" in table["note"][2]


def test_files_that_are_no_images_are_said(tmp_path: Path, caplog) -> None:
    write_spots(tmp_path / "in/a.tif")
    (tmp_path / "in/notes.docx").touch()
    (tmp_path / "in/.hidden").touch()
    with caplog.at_level(logging.INFO, "pancyte"):
        out = predict(tmp_path / "in", tmp_path / "out")
    assert any("Left out 1 file that is no image: " in r.getMessage() for r in caplog.records)
    (skipped,) = read_json(out / "run.json")["skipped"]
    assert skipped.endswith("notes.docx")
    (tmp_path / "in/more.docx").touch()
    with caplog.at_level(logging.INFO, "pancyte"):
        predict(tmp_path / "in", tmp_path / "out", overwrite=True)
    assert any("Left out 2 files that are no images: " in r.getMessage() for r in caplog.records)
    (tmp_path / "in/more.docx").unlink()
    predict(tmp_path / "in", tmp_path / "in")
    assert len(read_json(predict(tmp_path / "in", tmp_path / "2") / "run.json")["skipped"]) == 1


# Manifests.


def write_manifest_of_spots(folder: Path) -> Path:
    for name in "abc":
        write_spots(folder / f"images/{name}.tif")
    manifest = folder / "all.csv"
    manifest.write_text(
        "image,split,spacing\nimages/a.tif,train,\nimages/b.tif,test,0.5 0.5\nimages/c.tif,test,\n"
    )
    return manifest


def test_a_split_of_a_manifest_is_predicted(tmp_path: Path) -> None:
    manifest = write_manifest_of_spots(tmp_path)
    arguments = ["predict", str(manifest), "-o", str(tmp_path / "out"), "--set", "split=test"]
    assert run(arguments) == 0
    images = read_json(tmp_path / "out/run.json")["images"]
    assert [(entry["file"], entry["spacing"]) for entry in images] == [
        ("b.tif", [0.5, 0.5]), ("c.tif", None),
    ]  # fmt: skip
    out = predict(manifest, tmp_path / "all")
    assert [e["file"] for e in read_json(out / "run.json")["images"]] == ["a.tif", "b.tif", "c.tif"]


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    manifest = write_manifest_of_spots(tmp_path)
    with pytest.raises(UsageError, match=r"no image is of split 'val'.* 'test', 'train'\."):
        predict(manifest, tmp_path / "out", PredictConfig(split="val"))
    with pytest.raises(UsageError, match=r"split 'val': only a manifest \(\.csv\) has splits"):
        predict(tmp_path / "images", tmp_path / "out", PredictConfig(split="val"))


# Going on.


def interrupt_at(monkeypatch, name: str, error: type[BaseException] = KeyboardInterrupt) -> None:
    real = module.write_png

    def interrupted(path: Path, picture: np.ndarray) -> None:
        if path.name.startswith(name):
            raise error
        real(path, picture)

    monkeypatch.setattr(module, "write_png", interrupted)


def test_the_same_command_goes_on_and_gives_what_one_run_gives(tmp_path: Path, monkeypatch) -> None:
    for name in "abc":
        write_spots(tmp_path / f"in/{name}.tif", radius=5 + ord(name) % 3)
    expected = predict(tmp_path / "in", tmp_path / "whole")
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_at(patch, "b")
        with pytest.raises(KeyboardInterrupt):
            predict(tmp_path / "in", out)
    seen = []
    predict(tmp_path / "in", out, report=lambda *call: seen.append(call[2]))
    assert [line.split(":")[0] for line in seen if "objects" in line] == ["b.tif", "c.tif"]
    assert content(out).keys() == content(expected).keys()
    for name in ("objects.csv", "a_labels.tif", "c_labels.tif"):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    record = read_json(out / "run.json")
    assert record["status"] == "complete"
    assert record["num_objects"] == read_json(expected / "run.json")["num_objects"]
    with pytest.raises(UsageError, match="would overwrite"):
        predict(tmp_path / "in", out)


def test_a_prediction_that_was_killed_goes_on(tmp_path: Path, monkeypatch) -> None:
    """Killed without a chance to write: what was said before the first result is what is known."""
    for name in "ab":
        write_spots(tmp_path / f"in/{name}.tif")
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_at(patch, "b")
        write = module.Results.write

        def not_in_the_end(self, folder: Path, *, status: str) -> None:
            if status == "running":
                write(self, folder, status=status)

        patch.setattr(module.Results, "write", not_in_the_end)
        with pytest.raises(KeyboardInterrupt):
            predict(tmp_path / "in", out)
    assert read_json(out / "run.json")["status"] == "running"
    assert (out / "b_labels.tif").exists()
    predict(tmp_path / "in", out)
    assert set(read_csv(out / "objects.csv")["file"]) == {"a.tif", "b.tif"}


def test_failed_images_are_tried_again(tmp_path: Path) -> None:
    write_spots(tmp_path / "in/a.tif")
    (tmp_path / "in/b.tif").write_bytes(b"II*\0")
    with pytest.raises(PartialError):
        predict(tmp_path / "in", tmp_path / "out")
    write_spots(tmp_path / "in/b.tif")
    out = predict(tmp_path / "in", tmp_path / "out")
    assert read_csv(out / "images.csv")["status"] == ["done", "done"]


def test_other_settings_images_or_pixels_do_not_go_on(tmp_path: Path, monkeypatch) -> None:
    for name in "ab":
        write_spots(tmp_path / f"in/{name}.tif")
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_at(patch, "b")
        with pytest.raises(KeyboardInterrupt):
            predict(tmp_path / "in", out)
    with pytest.raises(UsageError, match="would overwrite"):
        predict(tmp_path / "in", out, PredictConfig(min_score=0.5))
    with pytest.raises(UsageError, match="would overwrite"):
        predict(tmp_path / "in/b.tif", out)
    write_spots(tmp_path / "in/a.tif", radius=5)
    seen = []
    predict(tmp_path / "in", out, report=lambda *call: seen.append(call[2]))
    assert sum("objects" in line for line in seen) == 2


def test_a_model_that_was_calibrated_anew_does_not_go_on(tmp_path: Path, monkeypatch) -> None:
    for name in "ab":
        write_spots(tmp_path / f"in/{name}.tif")
    out = tmp_path / "out"
    now = Calibration(intercept=2.0, weights={}, limits={}, min_score=0.3)

    monkeypatch.setattr(module, "load", lambda *_, **__: replace(spot_model(), calibration=now))
    with monkeypatch.context() as patch:
        interrupt_at(patch, "b")
        with pytest.raises(KeyboardInterrupt):
            predict(tmp_path / "in", out)
    model = read_json(out / "run.json")["model"]
    assert model["min_score"] == 0.3
    assert model["calibration"]["intercept"] == 2.0
    now = replace(now, intercept=3.0)
    with pytest.raises(UsageError, match="would overwrite"):
        predict(tmp_path / "in", out)
    predict(tmp_path / "in", out, overwrite=True)
    assert len(set(read_csv(out / "objects.csv")["score"])) == 1
    assert record_with(tmp_path, "--set", "min_score=0.1")["model"]["min_score"] == 0.1


def test_objects_that_are_all_too_small_are_said(tmp_path: Path) -> None:
    image = record_with(tmp_path, "--set", "min_area=1e6")["images"][0]
    assert image["num_objects"] == 0
    assert image["warnings"] == ["All 20 objects found were left out by min_area 1e+06."]


def test_flips_blocks_and_models_reach_the_model(tmp_path: Path, model) -> None:
    chosen = ["--set", "flips=8", "--set", "blocks.size=64", "--model", "x", "--model", "y"]
    record = record_with(tmp_path, *chosen)
    assert model[-1][0] == ("x", "y")
    assert record["settings"]["flips"] == 8
    assert record["settings"]["model"] == ["x", "y"]
    loaded = module.load_model(PredictConfig(flips=("identity", "flip_x")))
    assert loaded.flips == ("identity", "flip_x")


def test_wrong_flips_are_named(tmp_path: Path, capsys) -> None:
    image = write_spots(tmp_path / "a.tif")
    arguments = ["predict", str(image), "-o", str(tmp_path / "out"), "--set"]
    for value in ("flips=2", 'flips=["flip_z"]'):
        assert run([*arguments, value]) == 2
        assert "flips" in capsys.readouterr().err
    with pytest.raises(ValueError, match="model to name at least one model, but got none"):
        PredictConfig(model=())
