"""Which files belong together."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from pancyte.data.records import Record, write_manifest
from pancyte.errors import InputError
from pancyte.workflows.truth import find_truth, pair_predictions


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.zeros((2, 2), np.uint8))


def names_of(pairs, root):
    return [
        (p.relative_to(root).as_posix(), t.labels.relative_to(root).as_posix()) for p, t in pairs
    ]


def pair(root, predictions="out", truth="truth"):
    found = find_truth(root / truth, split=None)
    pairs = pair_predictions(root / predictions, found, complete=(root / truth).is_dir())
    return names_of(pairs, root)


@pytest.mark.parametrize(
    "name", ["a.tif", "a_mask.tif", "a_masks.TIF", "a_label.tif", "a_labels.tif"]
)
def test_truth_may_have_an_ending(tmp_path, name):
    touch(tmp_path, "out/a_labels.tif", f"truth/{name}")
    assert pair(tmp_path) == [("out/a_labels.tif", f"truth/{name}")]


def test_overlays_and_hidden_files_are_no_labels(tmp_path):
    touch(tmp_path, "out/a_labels.tif", "out/a_overlay.png", "out/.b_labels.tif", "truth/a.tif")
    touch(tmp_path, "truth/errors/a_errors.png", "out/errors/a_errors.png")
    assert pair(tmp_path) == [("out/a_labels.tif", "truth/a.tif")]


def test_folders_tell_equal_names_apart(tmp_path):
    touch(tmp_path, "out/x/a_labels.tif", "out/y/a_labels.tif", "truth/x/a.tif", "truth/y/a.tif")
    assert pair(tmp_path) == [
        ("out/x/a_labels.tif", "truth/x/a.tif"),
        ("out/y/a_labels.tif", "truth/y/a.tif"),
    ]


def test_equal_stems_are_told_apart_by_suffix(tmp_path):
    touch(tmp_path, "out/a.png_labels.tif", "out/a.tif_labels.tif")
    touch(tmp_path, "images/a.png", "images/a.tif", "truth/1.tif", "truth/2.tif")
    records = [
        Record(image=tmp_path / "images/a.tif", labels=tmp_path / "truth/1.tif"),
        Record(image=tmp_path / "images/a.png", labels=tmp_path / "truth/2.tif"),
    ]
    write_manifest(tmp_path / "data.csv", records)
    assert pair(tmp_path, truth="data.csv") == [
        ("out/a.tif_labels.tif", "truth/1.tif"),
        ("out/a.png_labels.tif", "truth/2.tif"),
    ]


@pytest.mark.parametrize(
    "files",
    [("data/images/a.tif", "data/masks/a.tif"), ("data/a.tif", "data/a_mask.tif")],
)
def test_truth_may_be_a_folder_of_images_with_labels(tmp_path, files):
    touch(tmp_path, "out/a_labels.tif", *files)
    assert pair(tmp_path, truth="data") == [("out/a_labels.tif", files[1])]


def test_names_are_below_the_common_folder(tmp_path):
    touch(tmp_path, "truth/x/a.tif", "truth/y/b.tif")
    assert [item.name for item in find_truth(tmp_path / "truth", split=None)] == [
        "x/a.tif",
        "y/b.tif",
    ]


def test_names_of_paths_that_go_up_and_down_hold_no_dots(tmp_path):
    touch(tmp_path, "raw/a.tif", "prep/gray/b.tif")
    paths = [tmp_path / "prep/../raw/a.tif", tmp_path / "prep/gray/b.tif"]
    write_manifest(tmp_path / "prep/data.csv", [Record(image=p, labels=p) for p in paths])
    found = find_truth(tmp_path / "prep/data.csv", split=None)
    assert [item.name for item in found] == ["raw/a.tif", "prep/gray/b.tif"]


def test_two_annotations_of_an_image_are_told_apart(tmp_path):
    touch(tmp_path, "out/a_labels.tif", "a.tif", "alice/a.tif", "bob/a.tif")
    records = [
        Record(image=tmp_path / "a.tif", labels=tmp_path / who / "a.tif")
        for who in ("alice", "bob")
    ]
    write_manifest(tmp_path / "data.csv", records)
    names = [item.name for item in find_truth(tmp_path / "data.csv", split=None)]
    assert names == ["a.tif (alice-a)", "a.tif (bob-a)"]
    assert pair(tmp_path, truth="data.csv") == [
        ("out/a_labels.tif", "alice/a.tif"),
        ("out/a_labels.tif", "bob/a.tif"),
    ]
    write_manifest(tmp_path / "data.csv", [records[0], records[0]])
    with pytest.raises(InputError, match=r"a.tif \(a\): is listed twice with the same labels"):
        find_truth(tmp_path / "data.csv", split=None)


def test_truth_without_prediction_is_named(tmp_path):
    touch(tmp_path, "out/a_labels.tif", "truth/a.tif", "truth/lost.tif")
    with pytest.raises(InputError, match=r"1 of 2 label images have no prediction: \S*lost.tif"):
        pair(tmp_path)


def test_prediction_without_truth_is_named(tmp_path):
    touch(tmp_path, "out/a_labels.tif", "out/spare_labels.tif", "truth/a.tif")
    with pytest.raises(InputError, match=r"1 of 2 predictions have no truth: \S*spare_labels.tif"):
        pair(tmp_path)


def test_a_manifest_may_leave_predictions_out(tmp_path):
    touch(tmp_path, "out/a_labels.tif", "out/spare_labels.tif", "truth/a.tif")
    record = Record(image=tmp_path / "truth/a.tif", labels=tmp_path / "truth/a.tif")
    write_manifest(tmp_path / "data.csv", [record])
    assert pair(tmp_path, truth="data.csv") == [("out/a_labels.tif", "truth/a.tif")]


def test_one_prediction_for_two_truths_is_refused(tmp_path):
    touch(tmp_path, "out/a_labels.tif", "truth/x/a.tif", "truth/y/a.tif")
    with pytest.raises(InputError, match="fits two label images"):
        pair(tmp_path)


def test_two_predictions_for_one_truth_are_refused(tmp_path):
    touch(tmp_path, "out/a.tif", "out/a.png", "truth/a.tif")
    with pytest.raises(InputError, match="several predictions fit"):
        pair(tmp_path)


def test_left_over_images_of_a_data_folder_are_named(tmp_path):
    touch(tmp_path, "data/images/a.tif", "data/images/lost.tif", "data/masks/a.tif")
    with pytest.raises(InputError, match="lost"):
        find_truth(tmp_path / "data", split=None)


def test_missing_and_empty_folders_are_said(tmp_path):
    with pytest.raises(InputError, match="no such file or folder of truth"):
        find_truth(tmp_path / "nothing", split=None)
    with pytest.raises(InputError, match="expected label images, but found none"):
        find_truth(tmp_path, split=None)


def test_a_manifest_without_labels_is_refused(tmp_path):
    touch(tmp_path, "a.tif")
    write_manifest(tmp_path / "data.csv", [Record(image=tmp_path / "a.tif")])
    with pytest.raises(InputError, match="no image has labels"):
        find_truth(tmp_path / "data.csv", split=None)
