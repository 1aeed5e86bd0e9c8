"""From a folder to a manifest that a training can read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage

from pancyte.data.folders import read_sources
from pancyte.data.records import DataSource, read_manifest
from pancyte.errors import InputError, UsageError
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
    with pytest.raises(InputError, match=r"1 of 2 images have no labels \(b.png"):
        prepare(tmp_path, out)
    assert not out.exists()
    report = prepare(tmp_path, out, config=PrepareConfig(skip_unmatched=True))
    assert [r.image.stem for r in report.records] == ["a"]
    assert "left out, without labels: 1 (b.png)" in str(report)


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
    with pytest.raises(UsageError, match="exists already"):
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
    ],
)
def test_settings_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        PrepareConfig(**values)
