"""Pairing by name, in every layout, and what is said about files that are left over."""

from __future__ import annotations

import json

import pytest

from pancyte.data.folders import Layout, pair_folder, read_sources
from pancyte.data.records import DataSource
from pancyte.errors import InputError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs(folder, **options):
    pairing = pair_folder(folder, Layout(**options))
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
        pair_folder(tmp_path, Layout(masks_subdir="deep"))


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


CLASSES = ("nucleus", "cell")


def class_files(folder, layout):
    pairing = pair_folder(folder, layout)
    return {
        r.image.stem: [(name, p.relative_to(folder).as_posix()) for name, p in r.class_labels]
        for r in pairing.records
    }


@pytest.mark.parametrize(
    ("masks", "subdir"), [("masks", ""), ("Labels", ""), ("masks/x/final", "x/final"), ("", "")]
)
def test_a_folder_for_each_class_makes_the_classes_of_one_data_set(tmp_path, masks, subdir) -> None:
    root = f"{masks}/" if masks else ""
    touch(tmp_path, "images/a.tif", "images/b.tif", f"{root}Nucleus/a_mask.png")
    touch(tmp_path, f"{root}Nucleus/b.tif", f"{root}cell/a.tif", f"{root}cell/b.tif")
    layout = Layout(masks_subdir=subdir, classes=CLASSES)
    pair_folder(tmp_path, layout).check_complete()
    assert class_files(tmp_path, layout) == {
        "a": [("nucleus", f"{root}Nucleus/a_mask.png"), ("cell", f"{root}cell/a.tif")],
        "b": [("nucleus", f"{root}Nucleus/b.tif"), ("cell", f"{root}cell/b.tif")],
    }


def test_a_class_that_an_image_lacks_is_said(tmp_path) -> None:
    touch(tmp_path, "images/a.tif", "images/b.tif", "images/c.tif", "masks/nucleus/a.tif")
    touch(tmp_path, "masks/nucleus/b.tif", "masks/cell/b.tif", "masks/cell/x.tif")
    pairing = pair_folder(tmp_path, Layout(classes=CLASSES))
    assert [r.image.stem for r in pairing.records] == ["a", "b"]
    assert [(path.name, lacks) for path, lacks in pairing.unmatched] == [
        ("c.tif", "labels"),
        ("x.tif", "image"),
        ("a.tif", "labels of the class cell"),
    ]
    with pytest.raises(
        InputError, match=r"1 of 2 images lack a class \(a.tif has no labels of 'ce"
    ):
        pairing.check_complete()


def test_a_class_without_a_folder_is_said(tmp_path) -> None:
    touch(tmp_path, "images/a.tif", "masks/nucleus/a.tif", "masks/cells/a.tif")
    expected = r"masks: expected a folder .* none for 'cell' among cells, nucleus"
    with pytest.raises(InputError, match=expected):
        pair_folder(tmp_path, Layout(classes=CLASSES))
    (tmp_path / "images").rename(tmp_path / "pictures")
    with pytest.raises(InputError, match=r"since classes is \('cell',\), but got masks"):
        pair_folder(tmp_path, Layout(classes=("cell",)))


def test_variants_of_labels_are_asked_about(tmp_path) -> None:
    """Several variants of the masks of the same images, as Mediar-V's data sets have them."""
    touch(tmp_path, "images/a.tif", "masks/cA/a.tif", "masks/cB/a.tif")
    expected = r"folders cA, cB, .* masks_subdir=cA, or, .* classes=\[\"cA\", \"cB\"\]"
    with pytest.raises(InputError, match=expected):
        pair_folder(tmp_path)
    assert pairs(tmp_path, masks_subdir="cB") == {"images/a.tif": "masks/cB/a.tif"}


def test_splits_inside_of_the_folders_of_images_and_labels(tmp_path) -> None:
    for split in ("train", "Val"):
        touch(tmp_path, f"images/{split}/{split}.tif", f"masks/{split}/{split}.tif")
    touch(tmp_path, "images/other/x.tif", "masks/other/x.tif")
    found = {r.image.stem: r.split for r in pair_folder(tmp_path).records}
    assert found == {"train": "train", "Val": "val", "x": ""}


@pytest.mark.parametrize("names", [["images/a.tif"], ["a.tif"], ["train/a.tif", "train/b.png"]])
def test_images_without_labels_are_kept_when_told(tmp_path, names) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match="expected label files, but found none"):
        pair_folder(tmp_path)
    pairing = pair_folder(tmp_path, Layout(keep_unlabeled=True))
    pairing.check_complete()
    assert [r.labels for r in pairing.records] == [None] * len(names)


def test_images_with_and_without_labels_are_kept_together(tmp_path) -> None:
    touch(tmp_path, "images/a.tif", "images/b.tif", "masks/b.tif")
    found = pair_folder(tmp_path, Layout(keep_unlabeled=True))
    assert [(r.image.stem, r.labels is None) for r in found.records] == [("a", True), ("b", False)]
    assert not found.unmatched


def write_run(folder, *names, written=()):
    document = {"pancyte": "1", "images": [{"labels": name} for name in names], "written": written}
    (folder / "run.json").write_text(json.dumps(document), encoding="utf-8")


def test_predictions_beside_images_are_neither_images_nor_truth(tmp_path) -> None:
    touch(tmp_path, "a.tif", "a_labels.tif", "a_overlay.png", "b.tif", "b_mask.tif", "b_labels.tif")
    write_run(tmp_path, "a_labels.tif", written=["a_overlay.png", "b_labels.tif"])
    pairing = pair_folder(tmp_path)
    assert {r.image.stem: r.labels.name for r in pairing.records} == {"b": "b_mask.tif"}
    assert [path.name for path in pairing.images_without_labels] == ["a.tif"]


def test_predictions_alone_are_no_truth(tmp_path) -> None:
    touch(tmp_path, "images/a.tif", "masks/a_labels.tif")
    write_run(tmp_path / "masks", "a_labels.tif")
    with pytest.raises(
        InputError, match="The 1 file that pancyte predicted there, .* is no truth: cor"
    ):
        pair_folder(tmp_path)
    (tmp_path / "masks/run.json").write_text("[]", encoding="utf-8")
    assert len(pair_folder(tmp_path).records) == 1
    (tmp_path / "masks/run.json").write_text("no JSON", encoding="utf-8")
    assert len(pair_folder(tmp_path).records) == 1


def test_a_source_says_how_its_folder_is_laid_out_and_what_was_annotated(tmp_path) -> None:
    touch(tmp_path, "images/a.tif", "masks/v2/nucleus/a.tif", "masks/v2/cell/a.tif", "b.tif")
    layout = {"masks_subdir": "v2", "classes": CLASSES}
    source = DataSource(path=tmp_path, annotated=("nucleus",), split="val", **layout)
    (record,) = read_sources([source])
    assert [name for name, _ in record.class_labels] == ["nucleus", "cell"]
    assert (record.annotated, record.split) == (("nucleus",), "val")
    manifest = tmp_path / "all.csv"
    manifest.write_text("image,annotated\nimages/a.tif,cell\nb.tif,\n", encoding="utf-8")
    read = read_sources([DataSource(path=manifest, annotated=("nucleus",))])
    assert [r.annotated for r in read] == [("cell",), ("nucleus",)]
    with pytest.raises(InputError, match=r"all.csv: masks_subdir and classes say how a folder"):
        read_sources([DataSource(path=manifest, masks_subdir="v2")])


def test_an_image_in_two_splits_of_two_sources_is_refused(tmp_path) -> None:
    touch(tmp_path, "a.tif", "a_mask.tif")
    for split in ("train", "val"):
        text = f"image,labels,split\na.tif,a_mask.tif,{split}\n"
        (tmp_path / f"{split}.csv").write_text(text, encoding="utf-8")
    sources = [DataSource(path=tmp_path / f"{split}.csv") for split in ("train", "val")]
    with pytest.raises(InputError, match=r"a.tif in train and val. A score on an image"):
        read_sources(sources)
