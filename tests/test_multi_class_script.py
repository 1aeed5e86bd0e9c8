"""The comparison of docs/results/multi-class.md is fair by construction, and its script runs."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.scripts import load_script

from pancyte.augment.spatial import draw_matrix
from pancyte.config import to_mapping
from pancyte.data.datasets import PatchDataset
from pancyte.data.records import read_manifest
from pancyte.data.synthetic.nested import CLASSES, NestedCells, draw_nested_cells
from pancyte.io.tables import read_csv

ROOT = Path(__file__).resolve().parents[1]


script = load_script("scripts/multi_class.py")
report = load_script("scripts/multi_class_report.py")


def test_every_fold_has_a_joint_and_two_single_models_of_each_seed():
    runs = list(script.plan(("axon", "cells"), (1, 2, 3)))

    assert len(runs) == 36 + 9
    assert len({run.name for run in runs}) == len(runs)
    for fold in (*script.FOLDS, "generated"):
        models = [run.model for run in runs if run.fold == fold]
        assert models.count("joint") == 3
        assert models.count("single") == 6


def test_models_of_a_seed_differ_in_their_classes_only():
    manifest = Path("manifest.csv")
    weights = Path("weights.safetensors")
    settings = [
        to_mapping(script.make_config(run, Path("out"), manifest, steps=400, weights=weights))
        for run in script.plan(("cells",), (1,))
    ]

    assert len({config.pop("name") for config in settings}) == 3
    classes = [tuple(config["task"].pop("classes")) for config in settings]
    assert sorted(classes) == [("cell",), ("nucleus",), ("nucleus", "cell")]
    assert settings[0] == settings[1] == settings[2]
    assert (settings[0]["steps"], settings[0]["batch"]) == (400, 8)
    assert settings[0]["sampling"]["patch"] == 128


def test_models_of_a_seed_see_the_same_pixels(tmp_path):
    image, labels = draw_nested_cells(NestedCells(shape=(160, 160)), np.random.default_rng(0))
    record = script.write_pair(tmp_path, "cells", image, labels, CLASSES)
    seen = []
    for run in script.plan(("cells",), (1,)):
        config = script.make_config(run, tmp_path, tmp_path, steps=400, weights=tmp_path)
        dataset = PatchDataset(
            [record],
            config.task,
            sampling=config.sampling,
            draw_matrix=partial(draw_matrix, config.spatial),
            seed=config.seed,
        )
        seen.append([dataset.make_patch((0, index))["image"] for index in range(3)])

    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


def scores(joint: np.ndarray, single: np.ndarray) -> dict[str, list[str]]:
    rows = [
        {"set": "cells", "class": name, "model": model, "image": f"i{i}", "seed": str(seed)}
        | {"f1": str(values[i, seed]), "average_precision": str(values[i, seed] / 2)}
        for name in report.SETS["cells"]
        for model, values in (("joint", joint), ("single", single))
        for i, seed in np.ndindex(values.shape)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_report_compares_image_by_image():
    single = np.random.default_rng(0).uniform(0.2, 0.6, (4, 3))
    lines = report.score_table(scores(single + 0.1, single))

    assert len(lines) == 2 + 4
    assert "| generated cells | nucleus | 4 | F1 |" in lines[2]
    assert "+0.100 (+0.100 to +0.100) | +0.100, +0.100, +0.100 |" in lines[2]
    assert "+0.050 (+0.050 to +0.050)" in lines[3]


def test_report_refuses_runs_that_are_not_complete():
    table = scores(np.ones((2, 3)), np.ones((2, 3)))
    table = {name: values[:-1] for name, values in table.items()}

    with pytest.raises(ValueError, match="cells, cell: some runs are not complete"):
        report.score_table(table)


def test_published_scores_are_complete():
    table = read_csv(ROOT / "docs/results/multi-class.csv")

    page = (ROOT / "docs/results/multi-class.md").read_text(encoding="utf-8")
    for line in report.score_table(table):
        # Of the page, which was made of scores with more digits: set, class, images and score.
        assert "|".join(line.split("|")[:5]) in page
    assert report.cube(table, "axon", "axon", "f1").shape == (2, 4, 3)
    assert report.cube(table, "cells", "cell", "f1").shape == (2, 16, 3)


def test_longer_trainings_are_compared_for_the_seeds_that_they_have():
    single = np.random.default_rng(0).uniform(0.2, 0.6, (4, 3))
    table = scores(single + 0.1, single)
    longer = scores(single[:, :2] + 0.3, single[:, :2])
    joint = [k for k, model in enumerate(longer["model"]) if model == "joint"]
    longer = {name: [values[k] for k in joint] for name, values in longer.items()}

    lines = report.twice_table(table, longer)

    assert "+0.300 (+0.300 to +0.300) | +0.300, +0.300 |" in lines[2]


def test_lone_nuclei_are_counted_apart():
    truth = np.zeros((2, 20, 40), np.int32)
    truth[1, 2:18, 2:18], truth[0, 6:12, 6:12] = 1, 1
    truth[0, 6:12, 26:32] = 2
    found = truth.copy()
    found[1, 4:16, 24:36] = 7  # a cell where there is none

    assert report.count_orphans(truth, truth).tolist() == [1, 1, 1, 1, 0]
    assert report.count_orphans(truth, found).tolist() == [1, 1, 1, 1, 1]
    assert report.count_orphans(truth, np.zeros_like(truth)).tolist() == [1, 0, 1, 0, 0]


@pytest.mark.slow
def test_axons_lie_inside_their_fibres_and_one_image_is_left_out(shared_data, tmp_path):
    from pancyte.io.label_files import read_labels

    arguments = argparse.Namespace(shared=shared_data.parent, out=tmp_path)
    script.prepare("axon", arguments)

    for fold in script.FOLDS:
        records = read_manifest(tmp_path / f"data/axon/{fold}.csv")
        held_out = [record for record in records if record.split == "test"]
        assert len(records) == 8
        assert len(held_out) == 1
        assert held_out[0].group not in {r.group for r in records if r.split == "train"}
    for record in records:
        read = read_labels(record.labels)
        axon, fibre = read.labels
        assert read.classes == ("axon", "fibre")
        assert (axon[axon > 0] == fibre[axon > 0]).mean() > 0.999


@pytest.mark.slow
def test_script_trains_scores_and_resumes(shared_data, tmp_path, monkeypatch):
    arguments = argparse.Namespace(shared=shared_data.parent, out=tmp_path)
    weights = shared_data.parent / script.WEIGHTS
    monkeypatch.setattr(script, "CELL_IMAGES", [("train", 96), ("test", 96)])
    script.prepare("cells", arguments)
    runs = list(script.plan(("cells",), (1,)))
    for run in runs:
        assert "F1" in script.train_and_score(run, tmp_path, 2, weights)
    assert script.train_and_score(runs[0], tmp_path, 2, weights) == "done before"
    script.collect(tmp_path)

    table = read_csv(tmp_path / "scores.csv")
    assert table["model"].count("joint") == table["model"].count("single") == 2
