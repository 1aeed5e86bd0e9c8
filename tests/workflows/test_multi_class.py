"""Two classes, one inside the other, from images on disk to scores of each class."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from numpy.testing import assert_array_equal
from tests.blobs import BrightSpots, spots

from pancyte.data.records import DataSource
from pancyte.errors import ConfigError, InputError, UsageError
from pancyte.inference.model import Model
from pancyte.io.label_files import read_labels, write_labels
from pancyte.io.tables import read_csv, read_json
from pancyte.ops.linking import Link
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.training.optim import Optimization
from pancyte.workflows import predict as predicting
from pancyte.workflows import run_folder
from pancyte.workflows.evaluate import EvaluateConfig, evaluate
from pancyte.workflows.predict import PredictConfig, predict
from pancyte.workflows.train import train
from pancyte.workflows.train_config import TrainConfig
from pancyte.workflows.validation import Validation

CLASSES = ("cell", "nucleus")
LINK = Link(child="nucleus", parent="cell", share_ids=True)


def scene(seed, *, side=96, num_cells=7):
    """Cells that may touch, each with a brighter nucleus inside; one nucleus lies alone."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:side, :side]
    labels = np.zeros((2, side, side), np.int32)
    number = 0
    for _ in range(200):
        radius, (y, x) = rng.uniform(9, 13), rng.uniform(10, side - 10, 2)
        area = np.hypot(yy - y, xx - x) < radius
        if number == num_cells or (labels[:, area] > 0).mean() > 0.02:
            continue
        number += 1
        labels[0][area & (labels[0] == 0)] = number
        y, x = np.array([y, x]) + rng.uniform(-2, 2, 2)
        labels[1][(np.hypot(yy - y, xx - x) < 0.45 * radius) & (labels[0] == number)] = number
    labels[0][labels[0] == number] = 0  # this cell does not show
    # A nucleus is as bright without its cell: it is told by what it is, not by what is around it.
    light = np.where(labels[1] > 0, 160, 60 * (labels[0] > 0))
    pixels = light + rng.normal(40, 8, (side, side))
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def write_scenes(folder, seeds):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for seed in seeds:
        pixels, labels = scene(seed)
        tifffile.imwrite(folder / "images" / f"{seed}.tif", pixels)
        write_labels(folder / "masks" / f"{seed}.tif", labels, CLASSES)
    return folder


class NestedSpots(BrightSpots):
    """Gray is a cell, brighter is a nucleus inside, and white is a nucleus without a cell."""

    def forward(self, images):
        shown = [(images > 0.25) & (images < 0.9), images > 0.6]
        parts = [super(NestedSpots, self).forward(plane.float()) for plane in shown]
        return {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}


def nested_model(*links):
    task = FlowTask(
        classes=CLASSES,
        links=links,
        preprocessing=Preprocessing(diameter=None, percentiles=(0.0, 100.0)),
    )
    return Model(task, NestedSpots(), name="nested", manifest={"weights_sha256": "0" * 64})


def write_nested(path):
    """20 cells of 197 pixels; all but the first have a nucleus, and the last is a nucleus alone."""
    pixels = spots(brightness=100)
    inner = np.minimum(spots(radius=8), 1)
    yy, xx = np.mgrid[:96, :128]
    inner[np.hypot(yy % 24 - 12, xx % 24 - 12) > 4 + yy // 24] = 0
    inner[:24, :24] = 0
    pixels[inner > 0] = 200
    pixels[72:, 96:] = 255 * (inner[72:, 96:] > 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels)
    return path


@pytest.fixture
def _nested(monkeypatch):
    monkeypatch.setattr(predicting, "load", lambda *_, **__: nested_model(LINK))


def test_segment_links_the_classes(tmp_path):
    found = nested_model(LINK).segment(write_nested(tmp_path / "a.tif"))
    table = found.objects
    cells, nuclei = (table.select(table["class"] == name) for name in CLASSES)
    assert (cells.num_objects, nuclei.num_objects) == (19, 19)
    assert nuclei["orphan"].sum() == 1
    paired = nuclei.select(~nuclei["orphan"])
    assert_array_equal(paired["parent"], paired["label"])
    assert_array_equal(cells["label"], np.arange(1, 20))
    assert nuclei["label"].max() == 20
    for row in range(paired.num_objects):
        inside = found.labels[1] == paired["label"][row]
        assert inside.sum() == paired["area"][row]
        assert (found.labels[0][inside] == paired["parent"][row]).all()


@pytest.mark.usefixtures("_nested")
@pytest.mark.parametrize("settings", [{"only_masks": True}, {"save_pictures": False}])
def test_names_of_pictures_that_nobody_wants_stop_no_prediction(tmp_path, settings):
    for name in ("a", "a_cell"):
        write_nested(tmp_path / "images" / f"{name}.tif")
    with pytest.raises(UsageError, match="leave pictures out with --set save_pictures=false"):
        predict(tmp_path / "images", tmp_path / "out")
    out = predict(tmp_path / "images", tmp_path / "out", PredictConfig(**settings))
    assert read_json(out / "run.json")["num_objects"] == 2 * 38


@pytest.mark.usefixtures("_nested")
@pytest.mark.parametrize("least", [150.0, 200.0, 30.0])
def test_parents_in_the_table_exist_also_after_objects_were_left_out(tmp_path, least):
    write_nested(tmp_path / "images" / "a.tif")
    config = PredictConfig(min_area=least)
    out = predict(tmp_path / "images", tmp_path / "out", config)
    table = read_csv(out / "objects.csv")
    labels = read_labels(out / "a_labels.tif").labels
    keys = set(zip(table["class"], table["label"], strict=True))
    for k, name in enumerate(CLASSES):
        ids = {str(i) for i in np.unique(labels[k][labels[k] > 0])}
        assert {label for kind, label in keys if kind == name} == ids
    for parent, orphan, kind in zip(table["parent"], table["orphan"], table["class"], strict=True):
        assert kind == "cell" or (orphan == "true") == (parent == "0")
        assert parent == "0" or ("cell", parent) in keys
    assert len(keys) == read_json(out / "run.json")["num_objects"]


@pytest.mark.usefixtures("_nested")
def test_nuclei_whose_cells_are_left_out_are_orphans(tmp_path, monkeypatch):
    model = nested_model(LINK)
    write_nested(tmp_path / "a.tif")

    def scored(model, objects, *, scale):
        scores = np.where(objects["class"] == "cell", 0.2, 0.9).astype(np.float32)
        return objects.with_columns({"score": scores})

    monkeypatch.setattr("pancyte.inference.model.with_probabilities", scored)
    _, kept = predicting.segment_file(
        tmp_path / "a.tif", model, PredictConfig(min_score=0.5), name="a"
    )
    assert set(kept.objects["class"]) == {"nucleus"}
    assert kept.objects["orphan"].all()
    assert_array_equal(kept.objects["label"], np.arange(1, 20))
    assert np.isnan(kept.objects["area_ratio"]).all()


@pytest.mark.usefixtures("_nested")
def test_decoding_of_one_class_can_be_changed_when_predicting(tmp_path):
    write_nested(tmp_path / "a.tif")
    for settings, expected in (
        ({"nucleus": {"min_size": 100}}, {"cell": 19, "nucleus": 10}),
        ({"min_size": 100}, {"cell": 19, "nucleus": 10}),
        ({"min_size": 100, "nucleus": {"min_size": 15}}, {"cell": 19, "nucleus": 19}),
    ):
        model = predicting.load_model(PredictConfig(decoding=settings))
        classes = model.segment(tmp_path / "a.tif").objects["class"].tolist()
        assert {name: classes.count(name) for name in CLASSES} == expected
    with pytest.raises(ConfigError, match=r"class_decoding.nucleus: .* 'min_sise' .did you mean"):
        predicting.load_model(PredictConfig(decoding={"nucleus": {"min_sise": 3}}))
    with pytest.raises(ConfigError, match=r"decoding.nukleus: .* no class .* mean 'nucleus'\?"):
        predicting.load_model(PredictConfig(decoding={"nukleus": {"min_size": 3}}))
    with pytest.raises(ConfigError, match="decoding.nucleus: expected settings .* but got 3"):
        predicting.load_model(PredictConfig(decoding={"nucleus": 3}))


def test_truth_of_other_classes_than_the_predictions_is_refused(tmp_path):
    _, labels = scene(0)
    for name, classes in (("out", CLASSES), ("truth", ("yeast", "bud"))):
        (tmp_path / name).mkdir()
        write_labels(tmp_path / name / "a_labels.tif", labels, classes)
    with pytest.raises(InputError, match=r"a_labels.tif: expected .* cell, nucleus, but got 2 nam"):
        evaluate(tmp_path / "out", tmp_path / "truth")


def test_truth_with_classes_in_the_last_axis_is_scored(tmp_path):
    _, labels = scene(0)
    (tmp_path / "out").mkdir()
    (tmp_path / "truth").mkdir()
    write_labels(tmp_path / "out" / "a_labels.tif", labels, CLASSES)
    last = labels.transpose(1, 2, 0).astype(np.uint16)
    tifffile.imwrite(tmp_path / "truth" / "a_labels.tif", last, photometric="minisblack")
    scores = evaluate(tmp_path / "out", tmp_path / "truth", config=EvaluateConfig())
    assert {name: scores.summary.per_class[name]["f1"][0] for name in CLASSES} == {
        "cell": 1.0, "nucleus": 1.0,
    }  # fmt: skip


def test_a_run_is_not_resumed_with_other_classes(tmp_path):
    out = tmp_path / "run"
    config = TrainConfig(data=(DataSource(path=tmp_path),), out=out, task=FlowTask(classes=CLASSES))
    run_folder.open_run(out, config, free=frozenset(), resume=False)
    run_folder.state_path(out, "last").parent.mkdir(parents=True)
    run_folder.state_path(out, "last").touch()
    other = replace(config, task=FlowTask(classes=("cell", "bud")))
    with pytest.raises(
        ConfigError, match=r"config.toml: .*task.classes was \['cell', 'nucleus'\], is \['cell', 'b"
    ):
        run_folder.open_run(out, other, free=frozenset(), resume=True)


@pytest.mark.slow
def test_nuclei_in_cells_from_files_to_scores_of_each_class(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    threads = torch.get_num_threads()
    config = TrainConfig(
        data=(DataSource(path=write_scenes(tmp_path / "train", range(12))),),
        out=tmp_path / "run",
        task=FlowTask(classes=CLASSES, links=(LINK,), preprocessing=Preprocessing(diameter=None)),
        # Of other classes: the head is learned anew, all else is kept.
        initialize="generalist",
        steps=150,
        epoch_steps=50,
        batch=4,
        sampling=replace(TrainConfig.__dataclass_fields__["sampling"].default, patch=96),
        optimization=Optimization(learning_rate=2e-3, warmup_steps=10),
        validation=Validation(every=0),
        precision="float32",
        threads=2,
        workers=0,
    )
    try:
        run = train(config)
    finally:
        torch.set_num_threads(threads)
    assert "new and random: cell, nucleus; left out: object" in caplog.text

    test = write_scenes(tmp_path / "test", range(100, 106))
    model = run / "checkpoints" / "last"
    out = predict(test / "images", tmp_path / "results", PredictConfig(model=str(model)))
    scores = evaluate(out, test / "masks", tmp_path / "scores")
    half = int(np.argmin(np.abs(scores.summary.thresholds - 0.5)))
    for name in CLASSES:
        assert scores.summary.per_class[name]["f1"][half] > 0.9, name

    table = read_csv(out / "objects.csv")
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    nuclei = [row for row in rows if row["class"] == "nucleus"]
    paired = [row for row in nuclei if row["orphan"] == "false"]
    assert {row["parent_class"] for row in nuclei} == {"cell"}
    assert all(row["parent"] == row["label"] for row in paired)
    ratios = np.array([float(row["area_ratio"]) for row in paired])
    # That the lone nuclei are orphans is not asked for here: after so few steps the network draws a
    # cell around each of them, which may be hardly larger. What linking says of orphans is tested
    # on maps that are known.
    assert len(paired) > 0.8 * len(nuclei)
    assert ratios.min() > 0
    assert np.percentile(ratios, 75) < 0.8
    read = read_labels(out / "100_labels.tif")
    assert read.classes == CLASSES
    again = evaluate(model, test)
    assert again.summary.per_class["nucleus"]["f1"][half] > 0.9
