"""From a folder to a manifest that a training can read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from pancyte.data.folders import read_sources
from pancyte.data.records import DataSource, read_manifest, write_manifest
from pancyte.data.selection import Selection
from pancyte.data.splits import SplitLayout
from pancyte.errors import InputError, UsageError
from pancyte.io.tables import read_csv
from pancyte.workflows.prepare import PrepareConfig, prepare


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(array).save(path)


def make_folder(folder, names, *, image_of="images/{}.png", labels_of="masks/{}.png"):
    labels = np.zeros((20, 24), np.uint8)
    labels[2:12, 2:12], labels[14:18, 4:8] = 1, 2
    for name in names:
        save(folder / image_of.format(name), labels * 50 + 3)
        save(folder / labels_of.format(name), labels)
    return folder


def test_prepare_writes_a_manifest_that_is_read_back(tmp_path) -> None:
    folder = make_folder(tmp_path / "data", [f"cell{k}" for k in range(10)])
    seen = []
    report = prepare(
        folder,
        tmp_path / "sets" / "manifest.csv",
        config=PrepareConfig(val=2, test=0.1, modality="phase"),
        on_image=lambda done, total, name: seen.append((done, total, name)),
    )
    read = read_manifest(report.manifest)
    assert [(r.image.resolve(), r.split) for r in read] == [
        (r.image.resolve(), r.split) for r in report.records
    ]
    assert sorted(r.split for r in read) == ["test"] + ["train"] * 7 + ["val"] * 2
    assert {r.modality for r in read} == {"phase"}
    assert report.num_objects == 20
    assert report.median_diameter == pytest.approx(np.sqrt(4 / np.pi) * (10 + 4) / 2)
    assert [entry[:2] for entry in seen] == [(k, 10) for k in range(1, 11)]
    text = str(report)
    assert "10 images: 7 train, 2 val, 1 test" in text
    assert "20 objects, median diameter 7.9 px" in text
    assert str(report.manifest) in text
    assert len(read_sources([DataSource(path=report.manifest)])) == 10


def test_a_split_that_stays_empty_is_said(tmp_path) -> None:
    folder = make_folder(tmp_path, ["movie_a", "movie_b"])
    report = prepare(
        folder, tmp_path / "m.csv", config=PrepareConfig(val=0.5, group="movie", test=0.0)
    )
    assert report.empty_splits == ("val",)
    assert "no image could be set aside for val" in str(report)
    assert "test" not in str(report).rpartition("written")[0]


def test_groups_stay_together_and_the_seed_decides(tmp_path) -> None:
    names = [f"movie{m}_frame{k}" for m in range(6) for k in range(3)]
    folder = make_folder(tmp_path, names)
    chosen = set()
    for seed in range(4):
        report = prepare(
            folder,
            tmp_path / f"{seed}.csv",
            config=PrepareConfig(val=0.2, group=r"movie(\d)", seed=seed),
        )
        held_out = {r.group for r in report.records if r.split == "val"}
        assert held_out.isdisjoint(r.group for r in report.records if r.split == "train")
        assert len(held_out) == 1
        chosen |= held_out
    assert len(chosen) > 1
    assert chosen <= set("012345")


def test_splits_of_folders_and_of_a_manifest_are_kept(tmp_path) -> None:
    make_folder(tmp_path / "train", ["a", "b", "c"])
    make_folder(tmp_path / "val", ["d"], image_of="{}.png", labels_of="{}_mask.png")
    report = prepare(tmp_path, tmp_path / "manifest.csv")
    splits = {r.image.stem: r.split for r in report.records}
    assert splits == {"a": "train", "b": "train", "c": "train", "d": "val"}
    again = prepare(
        tmp_path / "manifest.csv", tmp_path / "again.csv", config=PrepareConfig(val=0.5)
    )
    assert {r.image.stem: r.split for r in again.records} == splits


def test_what_is_left_over_stops_or_is_reported(tmp_path) -> None:
    make_folder(tmp_path, ["a", "b"])
    (tmp_path / "masks" / "b.png").unlink()
    out = tmp_path / "manifest.csv"
    with pytest.raises(InputError, match=r"1 of 2 images have no labels \(b.png") as caught:
        prepare(tmp_path, out)
    assert not out.exists()
    for way in ("skip_unmatched=true", "keep_unlabeled=true"):
        assert f"--set {way}" in str(caught.value) or f"or {way}" in str(caught.value)
    report = prepare(tmp_path, out, config=PrepareConfig(skip_unmatched=True))
    assert [r.image.stem for r in report.records] == ["a"]
    assert "left out, without labels: 1 (b.png)" in str(report)
    assert "all that was left out: " in str(report)


def test_every_file_that_is_left_over_is_listed(tmp_path) -> None:
    make_folder(tmp_path, [f"a{k}" for k in range(9)])
    for k in range(6):
        (tmp_path / "masks" / f"a{k}.png").unlink()
    (tmp_path / "masks" / "dog.png").write_bytes(b"")
    out, listed = tmp_path / "all.csv", tmp_path / "all.unmatched.csv"
    with pytest.raises(InputError, match=r"All of them are listed in .*all.unmatched.csv"):
        prepare(tmp_path, out)
    table = read_csv(listed)
    assert [name.rpartition("/")[2] for name in table["file"]] == [
        *(f"a{k}.png" for k in range(6)),
        "dog.png",
    ]
    assert table["without"] == ["labels"] * 6 + ["image"]
    (tmp_path / "masks" / "dog.png").unlink()
    report = prepare(tmp_path, out, config=PrepareConfig(keep_unlabeled=True))
    assert not listed.exists()
    assert "3 images" in str(report)
    assert "6 images without labels" in str(report)
    assert [r.split for r in read_manifest(out)].count("") == 6


def test_masks_of_any_depth_and_classes_in_folders_of_their_own(tmp_path) -> None:
    make_folder(tmp_path, ["a", "b"], labels_of="masks/final/v2/nucleus/{}.png")
    make_folder(tmp_path, ["a", "b"], labels_of="masks/final/v2/cell/{}.png")
    config = PrepareConfig(masks_subdir="final/v2", classes=("nucleus", "cell"), val=0.0)
    report = prepare(tmp_path, tmp_path / "all.csv", config=config)
    assert report.num_objects == 8
    assert list(read_csv(report.manifest)) == ["image", "labels:nucleus", "labels:cell", "split"]
    (tmp_path / "masks/final/v2/cell/b.png").unlink()
    with pytest.raises(InputError, match=r"1 of 2 images lack a class .* partial=true"):
        prepare(tmp_path, tmp_path / "m.csv", config=config)
    for option, images in (("partial", ["a", "b"]), ("skip_unmatched", ["a"])):
        made = prepare(
            tmp_path, tmp_path / f"{option}.csv", config=replace(config, **{option: True})
        )
        assert [r.image.stem for r in read_manifest(made.manifest)] == images
    assert "left out, without labels of the class cell: 1 (b.png)" in str(made)


def test_variants_of_labels_make_a_manifest_each(tmp_path) -> None:
    for variant in ("cA", "cB"):
        make_folder(tmp_path, ["a", "b", "c", "d"], labels_of=f"masks/{variant}/{{}}.png")
    chosen = [
        prepare(
            tmp_path,
            tmp_path / f"{variant}.csv",
            config=PrepareConfig(masks_subdir=variant, val=2, seed=3),
        )
        for variant in ("cA", "cB")
    ]
    # The same images validate in both, so that the two can be compared, and joined.
    assert len({tuple(r.split for r in report.records) for report in chosen}) == 1
    both = [report.manifest for report in chosen]
    assert len(prepare(both, tmp_path / "both.csv").records) == 8


def test_folders_and_manifests_are_joined(tmp_path) -> None:
    make_folder(tmp_path / "one", ["a", "b"])
    make_folder(tmp_path / "two", ["a", "c"])
    prepare(tmp_path / "one", tmp_path / "one.csv", config=PrepareConfig(val=1, modality="phase"))
    sources = [tmp_path / "one.csv", tmp_path / "two", tmp_path / "one.csv"]
    report = prepare(sources, tmp_path / "all.csv", config=PrepareConfig(val=1, modality="sem"))
    assert [r.modality for r in report.records] == ["phase"] * 2 + ["sem"] * 2
    assert [r.source for r in report.records] == ["", "", "two", "two"]
    assert sorted(r.split for r in report.records) == ["train", "train", "val", "val"]
    assert "listed twice and taken once: 2" in str(report)
    again = prepare([report.manifest], tmp_path / "again.csv")
    assert [r.split for r in again.records] == [r.split for r in report.records]


def test_an_image_in_two_splits_is_not_joined(tmp_path) -> None:
    make_folder(tmp_path, ["a"])
    (record,) = prepare(tmp_path, tmp_path / "m.csv").records
    for split in ("train", "val"):
        labels = tmp_path / f"{split}.png"
        labels.write_bytes(record.labels.read_bytes())
        write_manifest(tmp_path / f"{split}.csv", [replace(record, split=split, labels=labels)])
    with pytest.raises(InputError, match=r"a.png in train and val"):
        prepare([tmp_path / "train.csv", tmp_path / "val.csv"], tmp_path / "all.csv")


def test_splits_can_be_made_anew_and_laid_out(tmp_path) -> None:
    make_folder(tmp_path / "train", [f"a{k}" for k in range(8)])
    make_folder(tmp_path / "test", ["b0", "b1"])
    layout = SplitLayout(train=3, train_offset=1, val_offset=1, shuffle=False)
    config = PrepareConfig(val=2, test=1, layout=layout, resplit=True)
    report = prepare(tmp_path, tmp_path / "all.csv", config=config)
    # The folder test comes before the folder train.
    assert [r.split for r in report.records] == (
        ["unused", "train", "train", "train", "unused", "val", "val", "test", "unused", "unused"]
    )
    assert "3 train, 2 val, 1 test, 4 unused" in str(report)
    whole = replace(config, layout=SplitLayout(train=9))
    with pytest.raises(UsageError, match="the 10 images .* got 2 and 1, train 9"):
        prepare(tmp_path, tmp_path / "m.csv", config=whole)


def test_groups_that_the_folders_divide_are_said(tmp_path) -> None:
    make_folder(tmp_path / "train", ["movie1_a", "movie2_a"])
    make_folder(tmp_path / "val", ["movie1_b"])
    report = prepare(tmp_path, tmp_path / "m.csv", config=PrepareConfig(group=r"movie\d"))
    assert "groups that are in more than one split: 1 ('movie1')" in str(report)


@pytest.mark.parametrize(
    ("keep", "taken"),
    [
        ({"include": ("*/big*",)}, {"big0", "big1"}),
        ({"exclude": ("*0.png",)}, {"big1", "small1"}),
        ({"min_side": 21}, {"big0", "big1"}),
        ({"max_side": 30}, {"small0", "small1"}),
        ({"min_objects": 3}, {"big0", "big1"}),
        ({"max_objects": 2, "exclude": ("*1.png",)}, {"small0"}),
    ],
)
def test_a_part_of_a_data_set_is_taken(tmp_path, keep, taken) -> None:
    make_folder(tmp_path, ["small0", "small1"])
    labels = np.zeros((40, 40), np.uint8)
    labels[1:5, 1:5], labels[8:20, 8:20], labels[30:34, 30:34] = 1, 2, 3
    for name in ("big0", "big1"):
        save(tmp_path / "images" / f"{name}.png", labels)
        save(tmp_path / "masks" / f"{name}.png", labels)
    config = PrepareConfig(keep=Selection(**keep))
    report = prepare(tmp_path, tmp_path / "part.csv", config=config)
    assert {r.image.stem for r in report.records} == taken
    assert f"not taken, because of keep: {4 - len(taken)}" in str(report)
    assert report.num_objects == sum(3 if "big" in name else 2 for name in taken)


def test_a_part_is_taken_by_split_and_modality(tmp_path) -> None:
    make_folder(tmp_path / "train", ["a", "b"])
    make_folder(tmp_path / "val", ["c"])
    prepare(tmp_path, tmp_path / "all.csv", config=PrepareConfig(modality="phase"))
    for keep, number in ((Selection(splits=("val",)), 1), (Selection(modalities=("phase",)), 3)):
        config = PrepareConfig(keep=keep)
        report = prepare(tmp_path / "all.csv", tmp_path / "m.csv", config=config, overwrite=True)
        assert len(report.records) == number
    none = PrepareConfig(keep=Selection(modalities=("sem",)))
    with pytest.raises(InputError, match="not written, because keep takes none of 0 images"):
        prepare(tmp_path / "all.csv", tmp_path / "none.csv", config=none)


def test_every_bad_file_is_named_at_once(tmp_path) -> None:
    make_folder(tmp_path, ["a", "b", "c"])
    save(tmp_path / "masks" / "a.png", np.ones((3, 3), np.uint8))
    (tmp_path / "images" / "c.png").write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        prepare(tmp_path, tmp_path / "manifest.csv")
    message = str(caught.value)
    assert "2 of 3 images cannot be used" in message
    assert "a.png: expected labels of the size of a.png, (20, 24), but got (3, 3)" in message
    assert "c.png" in message


def test_an_existing_manifest_is_replaced_only_when_told(tmp_path) -> None:
    make_folder(tmp_path, ["a"])
    out = tmp_path / "manifest.csv"
    prepare(tmp_path, out)
    with pytest.raises(UsageError, match="is there already"):
        prepare(tmp_path, out)
    prepare(tmp_path, out, overwrite=True)
    with pytest.raises(UsageError, match=r"expected a name ending in .csv"):
        prepare(tmp_path, tmp_path / "manifest.json")


def test_a_group_that_is_not_found_is_said(tmp_path) -> None:
    make_folder(tmp_path, ["a"])
    with pytest.raises(UsageError, match="the group 'movie' is not found in 'images/a.png'"):
        prepare(tmp_path, tmp_path / "m.csv", config=PrepareConfig(group="movie"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"val": 1.0}, "val to be a number of images or a fraction below 1, such as 0.1, but got"),
        ({"test": -1}, "test to be a number of images"),
        ({"group": "("}, "group to be a regular expression"),
        ({"num_classes": 0}, "num_classes of at least 1, but got 0"),
    ],
)
def test_settings_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        PrepareConfig(**values)


def test_classes_in_the_channels_of_a_picture_are_taken_when_told(tmp_path) -> None:
    make_folder(tmp_path, ["a"])
    planes = np.zeros((20, 24, 3), np.uint8)
    planes[2:6, 2:6, 0], planes[2:6, 2:6, 1], planes[9:12, 9:12, 2] = 1, 2, 3
    save(tmp_path / "masks" / "a.png", planes)
    with pytest.raises(InputError, match="whose planes differ"):
        prepare(tmp_path, tmp_path / "m.csv")
    report = prepare(tmp_path, tmp_path / "m.csv", config=PrepareConfig(num_classes=3))
    assert report.num_objects == 3


def test_masks_in_place_of_labels_are_pointed_out(tmp_path, caplog):
    """The usual mistake: every object has the value 255."""
    pixels = np.zeros((60, 60), np.uint8)
    for y in range(2, 58, 10):
        for x in range(2, 58, 10):
            pixels[y : y + 5, x : x + 5] = 255
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", pixels)
    prepare(tmp_path, tmp_path / "a.csv", config=PrepareConfig(val=0))
    assert "1 of 1 label images have one number for many separate pieces" in caplog.text
