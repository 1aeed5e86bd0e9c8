"""Pairing by name, in every layout, and what is said about files that are left over."""

from __future__ import annotations

import pytest

from pancyte.data.folders import pair_folder, read_sources
from pancyte.data.records import DataSource
from pancyte.errors import InputError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs(folder, **options):
    pairing = pair_folder(folder, **options)
    pairing.check_complete()
    return {
        r.image.relative_to(folder).as_posix(): r.labels.relative_to(folder).as_posix()
        for r in pairing.records
    }


@pytest.mark.parametrize("labels", ["masks", "labels", "Masks"])
def test_two_folders_are_paired_by_stem_whatever_the_order(tmp_path, labels) -> None:
    touch(tmp_path, "images/img2.tif", "images/img10.TIF", "images/.hidden.tif", "images/notes.txt")
    touch(tmp_path, f"{labels}/img10.png", f"{labels}/img2_mask.png")
    assert pairs(tmp_path) == {
        "images/img2.tif": f"{labels}/img2_mask.png",
        "images/img10.TIF": f"{labels}/img10.png",
    }


@pytest.mark.parametrize("ending", ["_mask", "_masks", "_label", "_labels", "_seg", "_cp_masks"])
def test_files_side_by_side_are_paired_by_their_endings(tmp_path, ending) -> None:
    touch(tmp_path, "x_image.tif", "y.png", f"x{ending}.tif", f"y{ending}.tif")
    expected = {"x_image.tif": f"x{ending}.tif", "y.png": f"y{ending}.tif"}
    assert pairs(tmp_path) == expected


def test_folders_between_are_part_of_the_name(tmp_path) -> None:
    touch(tmp_path, "images/day1/a.tif", "images/day2/a.tif")
    touch(tmp_path, "masks/day1/a.tif", "masks/day2/a.tif")
    assert pairs(tmp_path) == {
        "images/day1/a.tif": "masks/day1/a.tif",
        "images/day2/a.tif": "masks/day2/a.tif",
    }


def test_masks_subdir_may_have_any_depth(tmp_path) -> None:
    touch(tmp_path, "images/a.tif", "masks/nuclei/final/a.tif", "masks/cells/a.tif")
    assert pairs(tmp_path, masks_subdir="nuclei/final") == {
        "images/a.tif": "masks/nuclei/final/a.tif"
    }


def test_folders_of_splits_name_the_split(tmp_path) -> None:
    touch(tmp_path, "train/images/a.tif", "train/masks/a.tif", "Valid/b.tif", "Valid/b_labels.tif")
    (tmp_path / "test").mkdir()
    found = {r.image.stem: r.split for r in pair_folder(tmp_path).records}
    assert found == {"a": "train", "b": "val"}


def test_equal_names_are_paired_before_endings_are_taken_off(tmp_path) -> None:
    touch(tmp_path, "images/a.tif", "images/a_mask.tif", "images/b_img.tif")
    touch(tmp_path, "masks/a.tif", "masks/a_mask.tif", "masks/b_img.tif")
    names = ("a.tif", "a_mask.tif", "b_img.tif")
    assert pairs(tmp_path) == {f"images/{name}": f"masks/{name}" for name in names}


def test_what_is_left_over_is_listed(tmp_path) -> None:
    touch(tmp_path, *[f"images/cell{k}.tif" for k in range(5)], "masks/cell4.tif", "masks/dog.tif")
    pairing = pair_folder(tmp_path)
    assert [p.stem for p in pairing.images_without_labels] == ["cell0", "cell1", "cell2", "cell3"]
    assert [p.stem for p in pairing.labels_without_image] == ["dog"]
    with pytest.raises(InputError) as caught:
        pairing.check_complete()
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "4 of 5 images have no labels (cell0.tif, cell1.tif, cell2.tif" in message
    assert "expected for the first: cell0.tif or cell0_mask.tif" in message
    assert "1 of 2 label files have no image (dog.tif" in message
    assert "manifest" in message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["images/a.tif", "images/a.png", "masks/a.tif"], "a.tif have the same name"),
        (["images/a_image.tif", "images/a_img.tif", "masks/a.tif"], "a_img.tif have the same"),
        (["images/a.tif", "masks/a_mask.tif", "masks/a_labels.tif"], "the same name"),
        (["images/a.tif", "masks/notes.txt"], "masks: expected label files, but found none"),
        (["images/x.txt", "masks/a.tif"], "images: expected images, but found none"),
        (["a.tif", "b.tif"], "expected label files, but found none"),
        (["train/notes.txt"], r"its folders \['train'\] hold no images"),
    ],
)
def test_what_cannot_be_paired_is_said(tmp_path, names, message) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message):
        pair_folder(tmp_path)


def test_masks_subdir_needs_a_folder_of_labels(tmp_path) -> None:
    touch(tmp_path, "a.tif", "a_mask.tif")
    with pytest.raises(InputError, match="masks_subdir is 'deep'"):
        pair_folder(tmp_path, masks_subdir="deep")


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        pair_folder(tmp_path / "nowhere")


def test_sources_are_folders_and_manifests_with_weights(tmp_path) -> None:
    touch(tmp_path, "one/a.tif", "one/a_mask.tif", "two/b.tif")
    (tmp_path / "two" / "manifest.csv").write_text("image,weight,source\nb.tif,0.5,other\n")
    records = read_sources(
        [
            DataSource(path=tmp_path / "one", weight=3.0),
            DataSource(path=tmp_path / "two" / "manifest.csv", weight=4.0),
        ]
    )
    assert [(r.image.stem, r.weight, r.source) for r in records] == [
        ("a", 3.0, "one"),
        ("b", 2.0, "other"),
    ]


def test_a_source_with_files_left_over_is_refused(tmp_path) -> None:
    touch(tmp_path, "a.tif", "a_mask.tif", "b.tif")
    with pytest.raises(InputError, match="1 of 2 images have no labels"):
        read_sources([DataSource(path=tmp_path)])
