"""``evaluate`` on small files: what is paired, scored and written, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as PillowImage
from tests.blobs import spot_model, spots

from pancyte.data.records import Record, write_manifest
from pancyte.errors import InputError, UsageError
from pancyte.inference.blocks import Blocks
from pancyte.inference.tiles import Tiling
from pancyte.io.label_files import write_labels
from pancyte.metrics.errors import TRUE
from pancyte.ops.labels import split_components
from pancyte.tasks.flow import FlowTask
from pancyte.types import ObjectTable, Segmentation
from pancyte.viz.errors import COLORS
from pancyte.workflows import error_pictures, evaluation, models, pictures
from pancyte.workflows import predict as predicting
from pancyte.workflows.evaluate import evaluate
from pancyte.workflows.evaluation import EvaluateConfig


def plane(*boxes, shape=(24, 30)):
    """One object for each box y0, x0, y1, x1."""
    labels = np.zeros(shape, np.int32)
    for k, (y0, x0, y1, x1) in enumerate(boxes, start=1):
        labels[y0:y1, x0:x1] = k
    return labels


TWO = plane((4, 4, 10, 10), (12, 12, 20, 20))
ONE = plane((4, 4, 10, 10))
NONE = plane()


def write_prediction(folder, name, *planes, classes=("object",)):
    write_labels(folder / f"{name}_labels.tif", np.stack(planes), classes)


def write_truth(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, labels.astype(np.uint16))
    return path


@pytest.fixture
def folders(tmp_path):
    """Three images: one found whole, one by half, one empty in both."""
    predictions, truth = tmp_path / "out", tmp_path / "truth"
    for name, found, true in (("a", TWO, TWO), ("b", ONE, TWO), ("c", NONE, NONE)):
        write_prediction(predictions, name, found)
        write_truth(truth / f"{name}_mask.tif", true)
    return predictions, truth


def test_scores_of_two_folders(folders):
    summary = evaluate(*folders).summary
    assert summary.num_images == 3
    assert summary.undefined_images == 1
    assert summary.image_wise["average_precision"][0] == pytest.approx((1 + 0.5) / 2)
    assert summary.micro["average_precision"][0] == pytest.approx(3 / 4)
    assert list(summary.per_class) == ["object"]


def test_scores_are_written_and_read_back(folders, tmp_path):
    result = evaluate(*folders, tmp_path / "scores")
    with (tmp_path / "scores" / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 10
    assert rows[10]["image"] == "b_mask.tif"
    assert [rows[10][name] for name in ("class", "threshold", "tp", "fp", "fn", "recall")] == [
        "object", "0.5", "1", "0", "1", "0.5",
    ]  # fmt: skip
    assert rows[20]["f1"] == "nan"
    document = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert document["thresholds"] == result.summary.thresholds.tolist()
    assert document["image_wise"]["average_precision"][0] == 0.75
    assert document["image_wise"]["mean_0.5_0.95"]["average_precision"] == 0.75
    assert document["undefined_images"] == 1
    assert document["per_class"]["object"]["dice"] == document["micro"]["dice"]
    low, high = document["image_wise"]["interval_95"]["f1"]
    assert low[0] <= document["image_wise"]["f1"][0] <= high[0]


def test_existing_scores_are_not_overwritten_unless_told(folders, tmp_path):
    evaluate(*folders, tmp_path)
    before = (tmp_path / "scores.csv").read_bytes()
    with pytest.raises(
        UsageError, match=r"would overwrite scores.csv, summary.csv, scores.json and 3 more"
    ):
        evaluate(*folders, tmp_path)
    assert (tmp_path / "scores.csv").read_bytes() == before
    evaluate(*folders, tmp_path, overwrite=True)


def test_without_a_folder_nothing_is_written(folders, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    evaluate(*folders)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_split_of_a_folder_is_scored_alone(tmp_path):
    for split, found in (("train", ONE), ("val", TWO)):
        write_prediction(tmp_path / "out" / split / "images", "a", found)
        write_truth(tmp_path / "truth" / split / "images" / "a.tif", TWO)
        write_truth(tmp_path / "truth" / split / "masks" / "a.tif", TWO)
    config = EvaluateConfig(split="val")
    summary = evaluate(tmp_path / "out", tmp_path / "truth", config=config).summary
    assert summary.num_images == 1
    assert summary.micro["f1"][0] == 1.0


def test_summary_is_a_table_of_groups_and_thresholds(folders, tmp_path):
    result = evaluate(*folders, tmp_path / "scores")
    with (tmp_path / "scores" / "summary.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    groups = ["mean over images", "all objects", "mean over classes", "class object"]
    assert [row["group"] for row in rows[::10]] == groups
    assert float(rows[10]["recall"]) == result.summary.micro["recall"][0]


def test_errors_are_drawn_for_each_image(folders, tmp_path):
    evaluate(*folders, tmp_path / "scores")
    pictures = sorted(path.name for path in (tmp_path / "scores" / "errors").iterdir())
    assert pictures == [f"{name}_mask_errors.png" for name in "abc"]
    evaluate(*folders, tmp_path / "plain", EvaluateConfig(pictures=False))
    assert not (tmp_path / "plain" / "errors").exists()


def test_errors_are_drawn_on_the_image_for_each_class(tmp_path):
    (tmp_path / "truth" / "images").mkdir(parents=True)
    ramp = np.tile(np.arange(30, dtype=np.uint8), (24, 1))
    tifffile.imwrite(tmp_path / "truth" / "images" / "a.tif", ramp)
    classes = ("nucleus", "cell")
    write_labels(tmp_path / "truth" / "masks" / "a.tif", np.stack([ONE, NONE]), classes)
    write_prediction(tmp_path / "out" / "images", "a", ONE, NONE, classes=classes)
    evaluate(tmp_path / "out", tmp_path / "truth", tmp_path / "scores")
    folder = tmp_path / "scores" / "errors"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["a_cell_errors.png", "a_nucleus_errors.png"]
    with PillowImage.open(folder / "a_cell_errors.png") as picture:
        drawn = np.asarray(picture)
    assert drawn[0, 0].tolist() != drawn[0, 8 * 29].tolist()  # the ramp, magnified 8 times


def test_pictures_of_classes_that_no_file_can_be_named_like(tmp_path):
    classes = ("CD3/CD4", "CD3 CD4", "cell")
    write_labels(tmp_path / "truth" / "a.tif", np.stack([ONE, NONE, TWO]), classes)
    write_prediction(tmp_path / "out", "a", ONE, NONE, TWO, classes=classes)
    evaluate(tmp_path / "out", tmp_path / "truth", tmp_path / "scores")
    names = sorted(path.name for path in (tmp_path / "scores" / "errors").iterdir())
    assert names == ["a_CD3-CD4-2_errors.png", "a_CD3-CD4_errors.png", "a_cell_errors.png"]


def test_pictures_of_one_name_are_refused_and_not_drawn_over_each_other(tmp_path):
    for name, classes in (("a", ("b_c", "d")), ("a_b", ("c", "d"))):
        write_labels(tmp_path / "truth" / f"{name}.tif", np.stack([ONE, ONE]), classes)
        write_prediction(tmp_path / "out", name, ONE, ONE, classes=classes)
    with pytest.raises(UsageError, match=r"a_b_c_errors.png: would be the picture of two images"):
        evaluate(tmp_path / "out", tmp_path / "truth", tmp_path / "scores")
    config = EvaluateConfig(pictures=False)
    assert evaluate(tmp_path / "out", tmp_path / "truth", tmp_path / "plain", config).rows


def test_names_that_differ_in_case_alone_are_refused_before_anything_is_drawn(tmp_path):
    for name in ("a", "A"):
        write_truth(tmp_path / "truth" / f"{name}.tif", ONE)
        write_prediction(tmp_path / "out", name, ONE)
    folders = tmp_path / "out", tmp_path / "truth"
    if len(list(folders[1].iterdir())) == 1:
        pytest.skip("the file system does not tell case")
    for _ in range(2):
        with pytest.raises(
            UsageError, match=r"a\S*_errors.png: would be the picture of two images"
        ):
            evaluate(*folders, tmp_path / "scores")
    assert not list(tmp_path.glob("scores/**/*.png"))


def test_scores_beside_predictions_or_truth_can_be_made_again(folders):
    for folder in folders:
        for _ in range(2):
            result = evaluate(*folders, folder, overwrite=True)
            assert result.summary.num_images == 3


def test_pictures_of_large_images_are_thinned_out(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST_PICTURE", 24 * 30 // 4)
    monkeypatch.setattr(error_pictures, "readable_magnification", lambda shape: 1)
    evaluate(*folders, tmp_path / "scores")
    with PillowImage.open(tmp_path / "scores/errors/a_mask_errors.png") as picture:
        assert np.asarray(picture)[15, 0].tolist() != np.asarray(picture)[5, 10].tolist()
        assert tuple(np.asarray(picture)[2, 2]) == COLORS[TRUE]


def test_an_image_that_cannot_be_read_is_drawn_on_black(tmp_path, caplog):
    (tmp_path / "truth" / "images").mkdir(parents=True)
    (tmp_path / "truth" / "images" / "a.png").write_bytes(b"no image")
    write_labels(tmp_path / "truth" / "masks" / "a.tif", TWO[None], ("object",))
    write_prediction(tmp_path / "out" / "images", "a", TWO)
    evaluate(tmp_path / "out", tmp_path / "truth", tmp_path / "scores")
    assert "The picture of the errors is drawn on black" in caplog.text
    assert (tmp_path / "scores" / "errors" / "a_errors.png").exists()


def test_huge_images_are_matched_whole_but_in_blocks_for_the_challenge(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "_HUGE", 24 * 30)
    monkeypatch.setattr(evaluation, "_BLOCK", 15)
    on_seam = plane((4, 12, 10, 20))  # 3 of 8 columns lie left of the seam at 15
    write_prediction(tmp_path / "out", "a", on_seam)
    write_truth(tmp_path / "truth" / "a.tif", on_seam)
    folders = tmp_path / "out", tmp_path / "truth"
    whole = evaluate(*folders).rows[0].matching
    assert (whole.tp[0], whole.fp[0], whole.fn[0]) == (1, 0, 0)
    cut = evaluate(*folders, config=EvaluateConfig(block=15)).rows[0].matching
    assert (cut.tp[0], cut.fp[0], cut.fn[0]) == (2, 0, 0)
    challenge = evaluate(*folders, config=EvaluateConfig(protocol="neurips22")).rows[0].matching
    assert (challenge.tp[0], challenge.fp[0], challenge.fn[0]) == (0, 0, 0)


def test_blocks_only_cut_images_of_25_megapixels():
    config = EvaluateConfig(protocol="neurips22")
    assert config.block_side((4999, 5000)) is None
    assert config.block_side((5000, 5000)) == 2000
    assert EvaluateConfig().block_side((9000, 9000)) is None
    assert EvaluateConfig(block=512).block_side((9000, 9000)) == 512
    with pytest.raises(ValueError, match="block to be at least 1 pixel, but got 0"):
        EvaluateConfig(block=0)


def test_table_for_the_terminal(folders):
    text = evaluate(*folders).text()
    assert "3 images, 1 without any object left out of the mean" in text
    assert "0.833" in text  # mean F1 of 1 and 2 / 3
    assert "95 % interval" in text


def test_other_thresholds_are_added_to_the_ten(folders):
    result = evaluate(*folders, config=EvaluateConfig(thresholds=(0.3, 0.5)))
    assert result.summary.thresholds[0] == 0.3
    assert len(result.summary.thresholds) == 11


def test_report_is_called_for_each_image(folders):
    seen = []
    evaluate(*folders, report=lambda *arguments: seen.append(arguments))
    assert seen == [(1, 3, "a_mask.tif"), (2, 3, "b_mask.tif"), (3, 3, "c_mask.tif")]


def test_challenge_protocol_removes_the_border_and_scores_empty_as_zero(tmp_path):
    at_edge = plane((0, 0, 5, 5), (12, 12, 20, 20))
    two_away = plane((2, 2, 7, 7), (12, 12, 20, 20))
    for name, found, true in (("a", two_away, at_edge), ("b", NONE, at_edge * (at_edge == 1))):
        write_prediction(tmp_path / "out", name, found)
        write_truth(tmp_path / "truth" / f"{name}.tif", true)
    folders = tmp_path / "out", tmp_path / "truth"
    challenge = evaluate(*folders, config=EvaluateConfig(protocol="neurips22"))
    assert challenge.rows[0].matching.fn[0] == 0
    assert challenge.rows[0].matching.fp[0] == 1
    assert challenge.summary.undefined_images == 0
    assert challenge.summary.image_wise["f1"][0] == pytest.approx((2 / 3 + 0) / 2)
    only_border = evaluate(*folders, config=EvaluateConfig(remove_border=2))
    assert only_border.summary.image_wise["f1"][0] == pytest.approx(2 / 3)
    assert evaluate(*folders).rows[0].matching.fn[0] == 1


def test_classes_are_matched_by_name(tmp_path):
    write_prediction(tmp_path / "out", "a", ONE, TWO, classes=("nucleus", "cell"))
    write_labels(tmp_path / "truth" / "a.tif", np.stack([TWO, TWO]), ("cell", "nucleus"))
    summary = evaluate(tmp_path / "out", tmp_path / "truth").summary
    assert summary.per_class["nucleus"]["recall"][0] == 0.5
    assert summary.per_class["cell"]["recall"][0] == 1
    assert summary.macro["recall"][0] == 0.75
    assert "class nucleus" in evaluate(tmp_path / "out", tmp_path / "truth").text()


def test_plain_label_images_are_predictions_too(tmp_path):
    write_truth(tmp_path / "mine" / "a.tif", ONE)
    write_truth(tmp_path / "truth" / "a.tif", TWO)
    result = evaluate(tmp_path / "mine" / "a.tif", tmp_path / "truth" / "a.tif")
    assert result.rows[0].label_class == "object"
    assert result.summary.micro["recall"][0] == 0.5


def test_manifest_with_split_annotated_classes_and_valid_mask(tmp_path):
    valid = plane((0, 0, 11, 30))
    both = np.stack([TWO, TWO])
    write_labels(tmp_path / "labels" / "a.tif", both, ("cell", "nucleus"))
    write_truth(tmp_path / "valid.tif", valid)
    for name in ("a", "b"):
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", np.ones(TWO.shape, np.uint8))
        write_prediction(tmp_path / "out", f"images/{name}", ONE, NONE, classes=("cell", "nucleus"))
    records = [
        Record(
            image=tmp_path / "images" / "a.tif",
            labels=tmp_path / "labels" / "a.tif",
            split="test",
            annotated=("cell",),
            valid=tmp_path / "valid.tif",
        ),
        Record(image=tmp_path / "images" / "b.tif", split="train"),
    ]
    write_manifest(tmp_path / "data.csv", records)
    manifest = tmp_path / "data.csv"
    result = evaluate(tmp_path / "out", manifest, config=EvaluateConfig(split="test"))
    assert [(row.image, row.label_class) for row in result.rows] == [("a.tif", "cell")]
    assert result.summary.micro["f1"][0] == 1  # the object outside of valid does not count
    with pytest.raises(UsageError, match="no image is of split 'dev'; the splits there are test"):
        evaluate(tmp_path / "out", manifest, config=EvaluateConfig(split="dev"))


@dataclass(frozen=True)
class EchoModel:
    """Finds the labels that the pixels of an image are."""

    task: FlowTask = field(default_factory=FlowTask)
    tiling: Tiling = field(default_factory=Tiling)
    flips: int = 1
    blocks: Blocks = field(default_factory=Blocks)
    name: str = "echo"
    classes: tuple[str, ...] = ("object",)

    def segment(self, image, *, diameter, spacing, min_score, on_tile):
        if len(image.pixels) > 3:
            raise UsageError("the image: Expected an image of 1 to 3 channels")
        labels = image.pixels.astype(np.int32)
        count = int(labels.max())
        columns = {
            "class": np.repeat(self.classes, count),
            "label": np.arange(1, count + 1, dtype=np.int32),
            "score": np.ones(count, np.float32),
            "area": np.bincount(labels.ravel(), minlength=count + 1)[1:],
        }
        warnings = () if diameter is None else (f"was told {diameter}",)
        return Segmentation(labels, ObjectTable(columns), self.classes, warnings=warnings)


@pytest.fixture
def echo_model(monkeypatch):
    monkeypatch.setattr(models, "find_model", lambda name: Path("echo"))
    monkeypatch.setattr(predicting, "load", lambda *_, **__: EchoModel())


def test_a_model_segments_the_images_of_a_folder(tmp_path, echo_model):
    for name, found, true in (("a", TWO, TWO), ("b", ONE, TWO)):
        write_truth(tmp_path / "images" / f"{name}.tif", found)
        write_truth(tmp_path / "masks" / f"{name}.tif", true)
    result = evaluate("echo", tmp_path)
    assert result.summary.image_wise["average_precision"][0] == 0.75
    assert [row.image for row in result.rows] == ["a.tif", "b.tif"]


def test_two_annotations_of_an_image_are_both_scored(tmp_path, echo_model):
    write_truth(tmp_path / "a.tif", TWO)
    records = []
    for name, labels in (("alice", TWO), ("bob", ONE)):
        path = write_truth(tmp_path / name / "a.tif", labels)
        records.append(Record(image=tmp_path / "a.tif", labels=path))
    write_manifest(tmp_path / "data.csv", records)
    result = evaluate("echo", tmp_path / "data.csv", tmp_path / "scores")
    assert [row.image for row in result.rows] == ["a.tif (alice-a)", "a.tif (bob-a)"]
    assert result.summary.image_wise["average_precision"][0] == 0.75
    assert len(list((tmp_path / "scores/errors").iterdir())) == 2


def write_folders_of_classes(folder):
    write_truth(folder / "images" / "a.tif", ONE)
    write_truth(folder / "masks" / "cell" / "a.tif", TWO)
    write_truth(folder / "masks" / "nucleus" / "a.tif", ONE)


def test_a_model_is_scored_on_a_folder_for_each_class(tmp_path, monkeypatch):
    write_folders_of_classes(tmp_path)
    task = FlowTask(classes=("nucleus", "cell"))

    class Both(EchoModel):
        def segment(self, image, **_):
            labels = np.stack([image.pixels[0].astype(np.int32)] * 2)
            columns = {
                "class": np.array(task.classes), "label": np.array([1, 1], np.int32),
                "score": np.ones(2, np.float32), "area": np.full(2, 36),
            }  # fmt: skip
            return Segmentation(labels, ObjectTable(columns), task.classes)

    monkeypatch.setattr(models, "find_model", lambda name: Path("echo"))
    monkeypatch.setattr(predicting, "load", lambda *_, **__: Both(task, classes=task.classes))
    result = evaluate("echo", tmp_path, config=EvaluateConfig(classes=("cell", "nucleus")))
    assert [(row.image, row.label_class) for row in result.rows] == [
        ("a.tif", "nucleus"),
        ("a.tif", "cell"),
    ]
    assert result.summary.per_class["nucleus"]["average_precision"][0] == 1
    assert result.summary.per_class["cell"]["average_precision"][0] == 0.5


def test_predictions_are_scored_on_a_folder_for_each_class(tmp_path):
    write_folders_of_classes(tmp_path / "lab")
    write_prediction(tmp_path / "out", "a", ONE, TWO, classes=("nucleus", "cell"))
    config = EvaluateConfig(classes=("cell", "nucleus"))
    assert evaluate(tmp_path / "out", tmp_path / "lab", config=config).summary.micro["f1"][0] == 1
    with pytest.raises(InputError, match=r"Where these folders hold a class each, .*classes=\["):
        evaluate(tmp_path / "out", tmp_path / "lab" / "masks")
    with pytest.raises(InputError, match="masks: its label files lie in the folders cell, nucleus"):
        evaluate(tmp_path / "out", tmp_path / "lab")


def test_labels_in_a_folder_of_their_own_are_found(tmp_path):
    write_truth(tmp_path / "lab" / "images" / "a.tif", ONE)
    write_truth(tmp_path / "lab" / "masks" / "draft" / "a.tif", NONE)
    write_truth(tmp_path / "lab" / "masks" / "final" / "a.tif", TWO)
    write_prediction(tmp_path / "out", "a", TWO)
    config = EvaluateConfig(masks_subdir="final")
    assert evaluate(tmp_path / "out", tmp_path / "lab", config=config).summary.micro["f1"][0] == 1
    write_manifest(
        tmp_path / "data.csv", [Record(image=tmp_path / "a.tif", labels=tmp_path / "a.tif")]
    )
    with pytest.raises(UsageError, match="how a folder is laid out, but this is no folder"):
        evaluate(tmp_path / "out", tmp_path / "data.csv", config=config)


def test_a_folder_with_a_model_is_a_model(tmp_path, echo_model):
    write_truth(tmp_path / "images" / "a.tif", ONE)
    write_truth(tmp_path / "masks" / "a.tif", ONE)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.toml").touch()
    assert evaluate(tmp_path / "model", tmp_path).summary.micro["f1"][0] == 1


def write_four_channels(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.zeros((4, 24, 30), np.uint8)
    planes[0] = TWO
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "CYX"})


def test_an_image_that_a_model_cannot_segment_is_named(tmp_path, echo_model):
    write_four_channels(tmp_path / "images" / "a.tif")
    write_truth(tmp_path / "masks" / "a.tif", TWO)
    with pytest.raises(
        UsageError, match=r"^\S*images/a\.tif: Expected an image of 1 to 3 channels"
    ):
        evaluate("echo", tmp_path)


def test_a_model_is_scored_with_the_settings_of_a_prediction(tmp_path, echo_model, caplog):
    write_four_channels(tmp_path / "images" / "a.tif")
    write_truth(tmp_path / "masks" / "a.tif", TWO)
    before = torch.get_num_threads()
    settings = {"channels": "0", "diameter": 9.0, "threads": before + 1}
    seen = []
    config = EvaluateConfig(predict=settings)
    result = evaluate(
        "echo", tmp_path, config=config, report=lambda *_: seen.append(torch.get_num_threads())
    )
    assert seen == [before + 1]
    assert torch.get_num_threads() == before  # whoever called this goes on as before
    assert result.summary.micro["f1"][0] == 1
    assert "a.tif: was told 9.0" in caplog.text
    assert result.document()["settings"]["predict"] == settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"diametre": 3}, "predict: unknown key 'diametre'.*did you mean 'diameter'"),
        ({"model": "x"}, "predict.model 'x': the model is the first argument"),
    ],
)
def test_wrong_settings_of_the_model_are_named(tmp_path, echo_model, settings, message):
    write_truth(tmp_path / "images" / "a.tif", TWO)
    write_truth(tmp_path / "masks" / "a.tif", TWO)
    with pytest.raises(UsageError, match=message):
        evaluate("echo", tmp_path, config=EvaluateConfig(predict=settings))


def test_a_model_that_is_loaded_is_scored_with_the_settings_too(tmp_path):
    image = spots(radius=10)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", image)
    write_truth(tmp_path / "masks" / "a.tif", split_components(image[None] > 0)[0])
    model = dataclasses.replace(spot_model(), flips=4)
    before, threads, flips = torch.get_num_threads(), [], []

    class Spying(type(model)):
        def segment(self, *arguments, **options):
            threads.append(torch.get_num_threads())
            flips.append(self.flips)
            return super().segment(*arguments, **options)

    model = Spying(**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)})
    found = {
        name: evaluate(model, tmp_path, config=EvaluateConfig(predict=settings)).summary.micro
        for name, settings in {
            "own": {},
            "decoding": {"decoding": {"min_size": 100_000}},
            "flips": {"flips": 1, "threads": before + 1},
        }.items()
    }
    assert found["own"]["recall"][0] == 1
    assert found["decoding"]["recall"][0] == 0
    assert flips == [4, 4, 1]
    assert threads == [before, before, before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (EvaluateConfig(device="cpu"), "device"),
        (EvaluateConfig(predict={"device": "cpu"}), "predict.device"),
        (EvaluateConfig(predict={"precision": "bfloat16"}), "predict.precision"),
        (EvaluateConfig(predict={"model": "x"}), "predict.model"),
    ],
)
def test_what_a_loaded_model_has_decided_is_refused(tmp_path, config, name):
    write_truth(tmp_path / "images" / "a.tif", TWO)
    write_truth(tmp_path / "masks" / "a.tif", TWO)
    with pytest.raises(UsageError, match=f"^{name}: the model spots is loaded already"):
        evaluate(spot_model(), tmp_path, config=config)


def test_a_model_without_images_is_refused(tmp_path, echo_model):
    write_truth(tmp_path / "a.tif", TWO)
    with pytest.raises(UsageError, match="a model needs the image of these labels"):
        evaluate("echo", tmp_path)


def test_a_path_that_is_neither_predictions_nor_model_is_refused(tmp_path):
    write_truth(tmp_path / "a.tif", TWO)
    with pytest.raises(UsageError, match="no such file or folder of predictions"):
        evaluate(tmp_path / "nothing", tmp_path)


def test_sizes_that_differ_are_refused_with_both_shapes(tmp_path):
    write_prediction(tmp_path / "out", "a", ONE)
    write_truth(tmp_path / "truth" / "a.tif", plane(shape=(24, 31)))
    with pytest.raises(InputError, match=r"\(24, 31\), but got \(24, 30\)"):
        evaluate(tmp_path / "out", tmp_path / "truth")


def test_numbers_of_classes_that_differ_are_refused(tmp_path):
    write_prediction(tmp_path / "out", "a", ONE)
    write_labels(tmp_path / "truth" / "a.tif", np.stack([TWO, TWO]), ("cell", "nucleus"))
    with pytest.raises(InputError, match="one label plane for each of the classes"):
        evaluate(tmp_path / "out", tmp_path / "truth")


def test_predictions_without_class_names_need_as_many_planes(tmp_path):
    tifffile.imwrite(
        Path(tmp_path / "a_labels.tif"), np.stack([ONE] * 3).astype(np.uint16),
        metadata={"axes": "CYX"}, imagej=True,
    )  # fmt: skip
    write_labels(tmp_path / "truth" / "a.tif", np.stack([TWO, TWO]), ("cell", "nucleus"))
    with pytest.raises(InputError, match=r"\('cell', 'nucleus'\), but got 3"):
        evaluate(tmp_path / "a_labels.tif", tmp_path / "truth")


def test_a_manifest_of_unannotated_classes_has_nothing_to_score(tmp_path):
    write_prediction(tmp_path / "out", "a", ONE)
    write_truth(tmp_path / "a.tif", ONE)
    write_truth(tmp_path / "nowhere.tif", NONE)
    record = Record(
        image=tmp_path / "a.tif", labels=tmp_path / "a.tif", valid=tmp_path / "nowhere.tif"
    )
    write_manifest(tmp_path / "data.csv", [record])
    with pytest.raises(InputError, match="nothing to score"):
        evaluate(tmp_path / "out", tmp_path / "data.csv")


@pytest.mark.parametrize("thresholds", [(0.0,), (0.5, 1.5)])
def test_thresholds_out_of_range_are_refused(thresholds):
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        EvaluateConfig(thresholds=thresholds)


def test_a_negative_border_is_refused():
    with pytest.raises(ValueError, match="0 or more pixels, but got -1"):
        EvaluateConfig(remove_border=-1)
