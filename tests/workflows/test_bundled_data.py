"""The script that prepares the data of the bundled model."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image as PillowImage
from tests.scripts import load_script

from pancyte.data.records import read_manifest


@pytest.fixture(scope="module")
def script():
    return load_script("scripts/bundled_data.py")


def run(script, monkeypatch, shared, out):
    monkeypatch.setattr(
        sys, "argv", ["bundled_data.py", "--shared", str(shared), "--out", str(out)]
    )
    return script.main()


def make_collection(folder, rows):
    """A small collection in which every object has a crumb and a hole."""
    lines = ["dataset,sample,modality,shape,objects,split"]
    for dataset, sample, split in rows:
        labels = np.zeros((30, 30), np.uint16)
        labels[2:12, 2:12], labels[5, 5], labels[20, 20] = 7, 0, 7
        for kind in ("images", "masks"):
            path = folder / dataset / kind / f"{sample}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(labels).save(path)
        lines.append(f"{dataset},{sample},phase,30x30,1,{split}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_only_rows_that_may_train_are_taken_and_labels_are_cleaned(
    script, monkeypatch, tmp_path
) -> None:
    rows = [("dsb2018", f"s{k:02}", "train") for k in range(30)]
    rows += [("dsb2018", "d0", "dev"), ("ecoli_microcolony", "t01", "dev")]
    rows += [("bbbc007_pseudo", "p", "pseudo"), ("delta_mothermachine", "q", "trial")]
    rows += [("cellapp_phase", "train_1", "train"), ("colicoords_ecoli", "ds1_01_0_0_bf", "dev")]
    rows += [("colicoords_ecoli", "ds1_01_64_0_bf", "train")]  # the field of view of the one above
    rows += [("baby_yeast_bf", f"evolve_test{k}_000", "train") for k in "EG"]
    shared = make_collection(tmp_path / "shared", rows)
    assert run(script, monkeypatch, shared, tmp_path / "out") == 0
    records = read_manifest(tmp_path / "out" / "manifest.csv")
    names = {(r.source, r.image.stem) for r in records}
    assert {source for source, _ in names} == {
        "dsb2018", "cellapp_phase", "colicoords_ecoli", "baby_yeast_bf", "ecoli_microcolony"
    }  # fmt: skip
    assert ("colicoords_ecoli", "ds1_01_64_0_bf") not in names
    splits = [r.split for r in records if r.source == "dsb2018"]
    assert (splits.count("val"), splits.count("dev"), splits.count("train")) == (2, 1, 28)
    assert [r.image.stem for r in records if r.source == "baby_yeast_bf" and r.split == "val"] == [
        "evolve_testE_000"
    ]
    weights = {r.source: r.weight for r in records}
    assert weights["cellapp_phase"] < weights["dsb2018"] == 1.0
    for record in records:
        own = record.labels.resolve().is_relative_to((tmp_path / "out").resolve())
        assert own == (record.split != "dev")


def test_clean_keeps_whole_objects_without_holes_or_crumbs(script) -> None:
    labels = np.zeros((20, 20), np.uint16)
    labels[1:9, 1:9], labels[4, 4], labels[15, 15] = 5, 0, 5
    labels[6, 6] = 8  # another object inside, too small
    labels[12:16, 2:6] = 9
    cleaned = script.clean(labels)
    assert cleaned.dtype == np.uint16
    assert np.unique(cleaned).tolist() == [0, 1, 2]
    assert cleaned[4, 4] == 1
    assert (cleaned[6, 6], cleaned[15, 15]) == (0, 0)
    assert (cleaned == 2).sum() == 16


def test_a_missing_collection_is_named(script, monkeypatch, tmp_path, capsys) -> None:
    assert run(script, monkeypatch, tmp_path / "none", tmp_path / "out") == 3
    assert "--shared" in capsys.readouterr().err


def test_real_collection_gives_disjoint_groups(script, monkeypatch, tmp_path, shared_data) -> None:
    def touch(path, _plane) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    # Only which images are taken is looked at here; reading and cleaning them takes long.
    monkeypatch.setattr(script, "write_tiff", touch)
    monkeypatch.setattr(script, "clean", lambda labels: labels)
    monkeypatch.setattr(script.PillowImage, "open", lambda _: np.zeros((2, 2)))
    monkeypatch.setattr(script, "slices_of", lambda record, _: [record])
    assert run(script, monkeypatch, shared_data, tmp_path) == 0
    records = read_manifest(tmp_path / "manifest.csv")
    assert len(records) > 900
    groups = {split: {r.group for r in records if r.split == split} for split in ("train", "val")}
    dev = {r.group for r in records if r.split == "dev"}
    assert not groups["train"] & groups["val"]
    assert not (groups["train"] | groups["val"]) & dev
    assert "dsb2018/4dbbb275960a" in dev  # a bundled example is cut from it
    sources = {r.source for r in records}
    assert not any("pseudo" in name for name in sources)
    trained = {r.source for r in records if r.split != "dev"}
    assert "ecoli_microcolony" in sources - trained
