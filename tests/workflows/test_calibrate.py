"""Models whose scores are probabilities, from annotated images to results."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from tests.blobs import spot_model

from pancyte.cli.exits import run
from pancyte.data.records import Record, read_manifest, select_split, write_manifest
from pancyte.errors import CheckpointError, InputError, UsageError
from pancyte.io.checkpoint import copy_checkpoint, load_checkpoint, save_checkpoint
from pancyte.io.tables import read_csv, read_json
from pancyte.metrics.calibration import log_losses
from pancyte.ops.calibration import Calibration
from pancyte.ops.familiarity import Familiarity
from pancyte.workflows import calibrate as workflow
from pancyte.workflows.calibrate import calibrate, calibrate_model, calibrate_trained
from pancyte.workflows.calibration import FILES, CalibrateConfig, Calibrated
from pancyte.workflows.calibration_data import find_images
from pancyte.workflows.familiarity import looks_of
from pancyte.workflows.interruption import Interrupted
from pancyte.workflows.models import find_model, load
from pancyte.workflows.truth import find_truth


def small_and_large(generator):
    """Bright discs of two sizes: an image, and true labels of the large ones alone."""
    image = np.zeros((72, 72), np.uint8)
    y, x = np.mgrid[:72, :72]
    truth = np.zeros((72, 72), np.int32)
    for k, (top, left) in enumerate([(18, 18), (18, 54), (54, 18), (54, 54)]):
        is_large = bool(generator.random() < 0.5)
        disc = np.hypot(y - top, x - left) <= (12 if is_large else 5)
        image[disc] = 200
        truth[disc] = k + 1 if is_large else 0
    return image, truth


def data_set(folder: Path, splits: dict[str, int]) -> Path:
    """Write images with labels and return their manifest."""
    generator = np.random.default_rng(0)
    records = []
    for split, count in splits.items():
        for k in range(count):
            image, truth = small_and_large(generator)
            image = np.clip(image + generator.normal(10, 3, image.shape), 0, 255).astype(np.uint8)
            paths = [folder / f"{name}_{split}{k}.tif" for name in ("image", "truth")]
            folder.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(paths[0], image)
            tifffile.imwrite(paths[1], truth.astype(np.uint16))
            records.append(Record(image=paths[0], labels=paths[1], split=split))
    write_manifest(folder / "all.csv", records)
    return folder / "all.csv"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return data_set(tmp_path_factory.mktemp("data"), {"train": 12, "val": 14})


SETTINGS = CalibrateConfig(known_images=12, bins=5, threads=1, device="cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of the bundled model without its calibration."""
    folder = tmp_path_factory.mktemp("plain") / "generalist"
    folder.mkdir()
    checkpoint = load_checkpoint(find_model("generalist"))
    manifest = {k: v for k, v in checkpoint.manifest.items() if k != "calibration"}
    save_checkpoint(folder, replace(checkpoint, manifest=manifest, extras={}), half=True)
    return folder


@pytest.fixture(scope="module")
def calibrated(plain, manifest, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "calibrated"
    return out, calibrate(plain, manifest, out, replace(SETTINGS, min_objects=20))


def test_scores_of_the_bundled_model_are_probabilities():
    model = load("generalist", device="cpu")
    assert model.calibration is not None
    assert model.calibration.images >= 10
    assert model.calibration.error <= 0.05
    assert model.familiarity is not None


def test_a_calibration_learns_which_objects_are_right(manifest):
    # Small spots are never annotated, so that their score should be low.
    truth = find_truth(manifest, split="val")
    found = calibrate_model(spot_model(), truth, (), SETTINGS)
    assert found.calibration.objects == len(found.scores) >= 50
    assert found.calibration.images == 14
    assert found.scores[found.correct].min() > found.scores[~found.correct].max()
    assert found.num_true == found.correct.sum()
    assert found.familiarity is None  # the network has no encoder


def test_the_model_is_the_same_with_its_calibration(plain, calibrated, manifest):
    out, found = calibrated
    before = load_checkpoint(plain)
    after = load_checkpoint(out)
    assert before.weights.keys() == after.weights.keys()
    for name, array in before.weights.items():
        np.testing.assert_array_equal(after.weights[name], array)
    assert {k: v for k, v in before.manifest.items() if not k.startswith("weights")} == {
        k: v for k, v in after.manifest.items() if not k.startswith(("weights", "calibration"))
    }
    without, model = load(plain, device="cpu"), load(out, device="cpu")
    assert without.calibration is None
    assert model.calibration == found.calibration
    assert model.familiarity.limit == found.familiarity.limit
    image = tifffile.imread(manifest.parent / "image_val0.tif")
    one, two = without.segment(image), model.segment(image)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert not np.array_equal(one.objects["score"], two.objects["score"])


def test_a_calibration_writes_what_it_measured(calibrated):
    out, found = calibrated
    summary = read_json(out / "calibration.json")
    assert summary["objects"] == len(found.scores)
    assert summary["model"]["name"] == "generalist"
    assert len(summary["model"]["weights_sha256"]) == 64
    assert len({image["sha256"] for image in summary["predicted"]}) == 14
    assert summary["predicted"][0].keys() == {"file", "sha256", "labels_sha256"}
    assert len({image["sha256"] for image in summary["known"]}) == 12
    assert summary["known"][0].keys() == {"file", "sha256"}
    assert "commit" in summary["environment"]
    assert summary["expected_calibration_error"] == pytest.approx(found.error)
    assert found.calibration.error == pytest.approx(found.error, abs=1e-4)
    curve = read_csv(out / "reliability.csv")
    assert sum(map(int, curve["objects"])) == len(found.scores)
    choices = read_csv(out / "min_score.csv")
    assert float(choices["kept"][0]) == 1.0
    assert (out / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert found.text().startswith(f"{len(found.scores)} objects of 14 images")


def test_a_choice_that_leaves_nothing_has_no_precision():
    calibration = Calibration(intercept=0.0, weights={}, limits={}, objects=2, images=2)
    scores, correct = np.array([0.3, 0.6]), np.array([False, True])
    found = Calibrated(calibration, None, scores, correct, num_true=2, bins=5)
    choices = found.choices()
    assert choices["precision"][:7] == [0.5] * 4 + [1.0] * 3
    assert np.isnan(choices["precision"][7:]).all()
    assert choices["recall"][7:] == choices["f1"][7:] == choices["kept"][7:] == [0.0] * 3
    assert "     0.90    0%        nan   0.000  0.000" in found.text()
    without = replace(found, num_true=0, correct=np.zeros(2, bool)).choices()
    assert np.isnan(without["recall"]).all()
    assert without["f1"][0] == 0.0
    assert np.isnan(without["f1"][9])


def test_as_many_threads_as_are_asked_for_and_afterwards_as_before(
    plain, manifest, tmp_path, monkeypatch
):
    before, seen = torch.get_num_threads(), []

    def look(*_, **__):
        seen.append(torch.get_num_threads())
        raise InputError("enough")

    monkeypatch.setattr(workflow, "calibrate_model", look)
    with pytest.raises(InputError, match="enough"):
        calibrate(plain, manifest, tmp_path, replace(SETTINGS, threads=before + 1))
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_each_image_counts_as_one_where_the_penalty_is_chosen(monkeypatch):
    generator = np.random.default_rng(0)

    def image(number, count, share):
        right = generator.random(count) < share
        features = {"foreground": right + generator.normal(0, 1, count)}
        group, classes = str(number), np.repeat("object", count)
        return workflow._Seen(group, features, classes, right, int(right.sum()), None)

    seen = [image(k, 2000 if k == 0 else 8, 0.6) for k in range(6)]
    groups = []

    def spy(scores, correct, of):
        groups.append(of)
        return log_losses(scores, correct, of)

    monkeypatch.setattr(workflow, "log_losses", spy)
    workflow._fit(seen, replace(SETTINGS, folds=3))
    for found in groups:
        np.testing.assert_array_equal(np.unique(found, return_counts=True)[1], [2000] + [8] * 5)
    assert len(groups) == 5


def test_images_of_the_kind_it_was_calibrated_on_are_known(calibrated, manifest):
    model = load(calibrated[0], device="cpu")
    for path in sorted(manifest.parent.glob("image_val*.tif"))[:3]:
        image = tifffile.imread(path)
        looks = looks_of(model, image[None], model.segment(image).scale)
        assert model.familiarity.distance(looks) <= 1.001 * model.familiarity.limit


def test_the_command_calibrates_and_predict_filters(manifest, tmp_path, capsys):
    out = tmp_path / "model"
    arguments = ["models", "calibrate", "generalist", str(manifest), "-o", str(out)]
    for text in ("min_objects=20", "known_split=none", "min_score=0.6", "folds=3"):
        arguments += ["--set", text]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert "expected calibration error of images left out in turn" in said
    assert "not told apart" not in said  # what the model told before, it tells
    assert run(arguments) == 2
    assert "would overwrite" in capsys.readouterr().err
    image = manifest.parent / "image_val0.tif"
    scores = []
    for name, extra in (("own", []), ("all", ["--set", "min_score=0"])):
        where = tmp_path / name
        assert run(["predict", str(image), "-o", str(where), "--model", str(out), *extra]) == 0
        scores.append([float(score) for score in read_csv(where / "objects.csv")["score"]])
    assert scores[0] == [score for score in scores[1] if score >= 0.6]
    assert len(scores[0]) < len(scores[1])


def test_parts_without_annotation_are_not_judged():
    model = spot_model()
    image, truth = small_and_large(np.random.default_rng(3))
    found = model.segment(image)
    valid = np.ones((1, *truth.shape), bool)
    valid[0, :, 36:] = False
    correct, judged = workflow._judge(found, truth[None], valid)
    is_left = found.objects["centroid-1"] < 36
    np.testing.assert_array_equal(judged, is_left)
    whole, _ = workflow._judge(found, truth[None], None)
    np.testing.assert_array_equal(correct[is_left], whole[is_left])
    np.testing.assert_array_equal(whole, found.objects["diameter"] > 15)


def test_too_few_objects_are_said(manifest):
    truth = find_truth(manifest, split="val")[:3]
    message = r"found 12 objects in 3 images, but a calibration needs at least 50 in two images"
    with pytest.raises(UsageError, match=message):
        calibrate_model(spot_model(), truth, (), SETTINGS)


def test_a_task_that_does_not_tell_what_is_needed_is_refused(manifest, monkeypatch):
    monkeypatch.setattr(workflow, "has_evidence", lambda objects: False)
    with pytest.raises(InputError, match="spots does not tell foreground and flow_error"):
        calibrate_model(spot_model(), find_truth(manifest, split="val"), (), SETTINGS)


def test_a_split_that_is_missing_is_said(manifest, tmp_path, caplog):
    with pytest.raises(UsageError, match=r"no image is of split 'dev'; the splits there are"):
        calibrate("generalist", manifest, tmp_path, replace(SETTINGS, split="dev"))
    with caplog.at_level(logging.WARNING):
        truth, known = find_images(manifest, replace(SETTINGS, known_split="nowhere"))
    assert len(truth) == 14
    assert known == ()
    assert "No images of the training are looked at: " in caplog.text
    assert "no image is of split 'nowhere'; the splits there are train, val." in caplog.text


def test_images_without_objects_are_chosen_apart_also_from_a_second_manifest(manifest, tmp_path):
    generator = np.random.default_rng(0)
    records = []
    for number in range(8):
        paths = tmp_path / f"{number}.tif", tmp_path / f"{number}_labels.tif"
        tifffile.imwrite(paths[0], generator.integers(0, 255, (32, 32), dtype=np.uint8))
        tifffile.imwrite(paths[1], np.full((32, 32), number // 6, np.uint16))
        records.append(Record(image=paths[0], labels=paths[1], split="train", modality="more"))
    write_manifest(tmp_path / "more.csv", records)
    config = replace(SETTINGS, also_known=tmp_path / "more.csv", known_images=12, known_empty=4)
    _, known = find_images(manifest, config)

    empty = [record for record in known if not tifffile.imread(record.labels).any()]
    # Both kinds are chosen evenly from the modalities: that of the manifest, which has both, and
    # that of the other, which has two with objects.
    assert len(known) == 16
    assert known[12:] == tuple(empty)
    assert {record.image.name for record in empty if record.modality == "more"} == {
        "0.tif",
        "3.tif",
    }
    assert {"6.tif", "7.tif"} < {record.image.name for record in known[:12]}
    _, own = find_images(manifest, replace(config, also_known=None))
    assert "more" not in {record.modality for record in own}
    # Data without splits hold no image of the training; what is named beside them does.
    plain = tmp_path / "plain.csv"
    write_manifest(plain, [replace(record, split=None) for record in records])
    truth, known = find_images(plain, config)
    assert len(truth) == 8
    assert {record.image.name for record in known} >= {"6.tif", "7.tif"}


def test_a_folder_without_splits_is_predicted_as_a_whole(tmp_path, caplog):
    for number in range(3):
        image, truth = small_and_large(np.random.default_rng(number))
        tifffile.imwrite(tmp_path / f"{number}.tif", image)
        tifffile.imwrite(tmp_path / f"{number}_labels.tif", truth.astype(np.uint16))
    with caplog.at_level(logging.WARNING):
        truth, known = find_images(tmp_path, SETTINGS)
    assert len(truth) == 3
    assert known == ()
    assert "names no splits: all that is in it is predicted (3 images)" in caplog.text
    with pytest.raises(UsageError, match=r"no image there has a split. Leave the split out to ta"):
        find_images(tmp_path, replace(SETTINGS, split="test"))


def test_a_folder_of_images_and_masks_is_enough(tmp_path, monkeypatch, capsys):
    known = Familiarity(np.zeros(3), np.eye(3)[:1], np.ones(1), 1.0, 10.0)
    model = replace(spot_model(), familiarity=known)
    monkeypatch.setattr(workflow, "load_model", lambda _: model)
    for number in range(14):
        image, truth = small_and_large(np.random.default_rng(number))
        for kind, pixels in (("images", image), ("masks", truth.astype(np.uint16))):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / "data" / kind / f"{number}.tif", pixels)
    data, out = tmp_path / "data", tmp_path / "out"
    assert run(["models", "calibrate", "generalist", str(data), "-o", str(out)]) == 0
    said, err = capsys.readouterr()
    assert "names no splits: all that is in it is predicted (14 images)" in err
    assert "not told apart" not in said + err
    assert load(out, device="cpu").calibration.objects == 14 * 4
    # No image of the training was there; what is known of them stays.
    assert load(out, device="cpu").familiarity.limit == known.limit


def test_results_are_not_overwritten(tmp_path, manifest):
    (tmp_path / FILES[0]).write_text("mine")
    with pytest.raises(UsageError, match=r"would overwrite reliability\.png"):
        calibrate("generalist", manifest, tmp_path, SETTINGS)
    assert (tmp_path / FILES[0]).read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "Expected folds of at least 2, but got 1"),
        ({"known_images": 5}, "Expected known_images of at least 10, but got 5"),
        ({"min_score": 2.0}, "Expected min_score to lie in 0 to 1, but got 2"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CalibrateConfig(**changes)


def test_a_damaged_calibration_is_said(calibrated, tmp_path):
    checkpoint = load_checkpoint(calibrated[0])
    table = {**checkpoint.manifest["calibration"], "min_score": 7.0}
    save_checkpoint(
        tmp_path, replace(checkpoint, manifest={**checkpoint.manifest, "calibration": table})
    )
    with pytest.raises(CheckpointError, match=r"calibration: .*min_score to lie in 0 to 1.*damag"):
        load(tmp_path)


def trained(plain, manifest, tmp_path, caplog, monkeypatch):
    """Calibrate a copy of a model as at the end of a training."""
    settings = CalibrateConfig(min_objects=20)
    monkeypatch.setattr(workflow, "CalibrateConfig", lambda: settings)
    folder = tmp_path / "best"
    copy_checkpoint(plain, folder)
    records = {name: select_split(read_manifest(manifest), name) for name in ("train", "val")}
    reported = []
    with caplog.at_level(logging.INFO, logger="pancyte"):
        calibrate_trained(
            load(folder, device="cpu"), folder, tmp_path / "calibration", records,
            report=lambda *values: reported.append(values),
        )  # fmt: skip
    return folder, reported


def test_a_trained_model_is_calibrated_on_its_validation(
    plain, manifest, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(workflow, "_ENOUGH_TRUE", 10)
    folder, reported = trained(plain, manifest, tmp_path, caplog, monkeypatch)
    assert len(reported) == 14
    assert load(folder, device="cpu").calibration.images == 14
    assert "Scores are probabilities now, with an expected calibration error of" in caplog.text
    assert "By these the best model was chosen too" in caplog.text
    assert (tmp_path / "calibration" / "reliability.png").is_file()
    assert {path.name for path in folder.iterdir()} == {"model.toml", "weights.safetensors"}


def test_a_trained_model_with_few_objects_in_its_validation_stays(
    plain, manifest, tmp_path, caplog, monkeypatch
):
    folder, reported = trained(plain, manifest, tmp_path, caplog, monkeypatch)
    assert reported == []
    assert load(folder, device="cpu").calibration is None
    assert "takes 200 objects in the validation, and it has " in caplog.text


@pytest.mark.parametrize(
    "case",
    [
        (InputError("image.tif: is damaged"), "are no probabilities: image.tif: is damaged"),
        (np.linalg.LinAlgError("singular"), "The calibration failed, which the model does without"),
    ],
)
def test_a_calibration_that_fails_leaves_the_trained_model(
    plain, manifest, tmp_path, caplog, monkeypatch, case
):
    error, message = case

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(workflow, "_ENOUGH_TRUE", 10)
    monkeypatch.setattr(workflow, "calibrate_model", fail)
    folder, _ = trained(plain, manifest, tmp_path, caplog, monkeypatch)
    assert load(folder, device="cpu").calibration is None
    assert message in caplog.text


def test_who_stops_a_training_stops_its_calibration(plain, manifest, tmp_path, caplog, monkeypatch):
    def stop(*_, **__):
        raise Interrupted

    monkeypatch.setattr(workflow, "_ENOUGH_TRUE", 10)
    monkeypatch.setattr(workflow, "calibrate_model", stop)
    with pytest.raises(Interrupted):
        trained(plain, manifest, tmp_path, caplog, monkeypatch)
