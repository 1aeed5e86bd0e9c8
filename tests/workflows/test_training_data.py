"""What a training draws from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from pancyte.data.datasets import ReplayedDataset, Sampling
from pancyte.data.folders import read_sources
from pancyte.data.records import DataSource, write_manifest
from pancyte.errors import ConfigError
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.workflows.replay import Replay
from pancyte.workflows.train_config import TrainConfig
from pancyte.workflows.training_data import open_training_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write three images with a folder of labels for each of two classes."""
    labels = np.zeros((40, 40), np.uint8)
    labels[8:20, 8:20] = 1
    for name in ("images", "masks/nucleus", "masks/cell"):
        (tmp_path / name).mkdir(parents=True)
        for k in range(3):
            PillowImage.fromarray(labels).save(tmp_path / name / f"{k}.png")
    return tmp_path


def settings(folder: Path, classes: tuple[str, ...], **values: object) -> TrainConfig:
    source = DataSource(path=folder, classes=("nucleus", "cell"))
    return TrainConfig(data=(source,), out=folder / "run", task=FlowTask(classes=classes), **values)


@pytest.mark.parametrize("classes", [("nucleus", "cell"), ("cell", "nucleus"), ("cell",)])
def test_folders_of_classes_are_trained_on_in_the_order_of_the_task(folder, classes) -> None:
    data = open_training_data(settings(folder, classes, sampling=Sampling(patch=32)))
    patch = data.dataset[0, 0]
    assert patch["foreground"].shape == (len(classes), 32, 32)


def test_a_class_that_no_image_names_is_said(folder) -> None:
    expected = r"task.classes: .* no image to train on names 'nuclei'. Look at the columns"
    with pytest.raises(ConfigError, match=expected):
        open_training_data(settings(folder, ("nuclei", "cell")))


def test_images_that_are_scaled_by_other_classes_than_the_rest_are_named(folder, caplog) -> None:
    records = read_sources([DataSource(path=folder, classes=("nucleus", "cell"))])
    partial = replace(records[1], annotated=("nucleus",), class_labels=(), split="")
    path = folder / "manifest.csv"
    write_manifest(path, [records[0], partial, records[2]])
    config = replace(settings(folder, ("cell", "nucleus")), data=(DataSource(path=path),))
    open_training_data(config)
    assert "1 of 3 images to train on are scaled by the sizes of other classes" in caplog.text
    assert "by cell and nucleus, since not all are annotated in them: 1.png." in caplog.text
    caplog.clear()
    alone = replace(config.task, preprocessing=Preprocessing(diameter=None))
    open_training_data(replace(config, task=alone))
    write_manifest(path, records)
    open_training_data(config)
    assert "scaled" not in caplog.text


def test_replay_is_part_of_the_batches(folder) -> None:
    source = DataSource(path=folder, classes=("nucleus", "cell"))
    config = settings(folder, ("cell",), replay=Replay(data=(source,), samples=2))
    data = open_training_data(config)
    assert isinstance(data.dataset, ReplayedDataset)
    assert data.dataset.main is data.main
    assert data.dataset.samples == 2
