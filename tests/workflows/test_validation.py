from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pancyte.data.records import Record
from pancyte.errors import ConfigError
from pancyte.metrics.matching import match
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.types import ObjectTable, Segmentation
from pancyte.workflows.validation import (
    ImageScores,
    Validation,
    check_metric,
    choose_records,
    mean_scores,
    score_images,
)


def records(**counts: int) -> list[Record]:
    return [
        Record(image=Path(f"{modality}{number}"), modality=modality)
        for modality, count in counts.items()
        for number in range(count)
    ]


def names(chosen: tuple[Record, ...]) -> list[str]:
    return [record.image.name for record in chosen]


def test_choose_records_takes_modalities_in_turn_and_spreads_within() -> None:
    assert names(choose_records(records(a=10, b=1, c=2), 6)) == ["a0", "a3", "a6", "b0", "c0", "c1"]


def test_choose_records_takes_all_of_a_few() -> None:
    assert names(choose_records(records(a=2, b=1), 40)) == ["a0", "a1", "b0"]
    assert choose_records([], 40) == ()


def test_mean_scores_are_means_over_images_without_empty_ones() -> None:
    truth = np.array([[1, 1, 0, 2, 2, 0]])
    half = np.array([[1, 1, 0, 0, 0, 0]])
    nothing = np.zeros_like(truth)
    first, second, third = records(phase=1, sem=2)
    scores = mean_scores(
        [
            ImageScores(first, {"cell": match(truth, truth, (0.5,))}, {"own": 3.0}),
            ImageScores(second, {"cell": match(truth, half, (0.5,))}, {"own": 4.0}),
            ImageScores(third, {"cell": match(nothing, nothing, (0.5,))}, {"own": np.nan}),
        ]
    )
    assert scores == pytest.approx(
        {
            "f1": (1 + 2 / 3) / 2, "ap": 0.75, "f1/modality/phase": 1.0,
            "f1/modality/sem": 2 / 3, "own": 3.5,
        }
    )  # fmt: skip


def test_mean_scores_of_several_classes_leave_out_what_was_not_annotated() -> None:
    truth = np.array([[1, 1, 0, 2, 2, 0]])
    half = np.array([[1, 1, 0, 0, 0, 0]])
    good, bad = match(truth, truth, (0.5,)), match(truth, half, (0.5,))
    first, second, third = records(**{"": 3})
    scores = mean_scores(
        [
            ImageScores(first, {"cell": good, "nucleus": bad}),
            ImageScores(second, {"cell": bad, "nucleus": None}),
            ImageScores(third, {"cell": None, "nucleus": None}),
        ]
    )
    assert scores == pytest.approx(
        {
            "f1": (6 / 7 + 2 / 3) / 2, "ap": (3 / 4 + 1 / 2) / 2,
            "f1/cell": (1 + 2 / 3) / 2, "ap/cell": 0.75, "f1/nucleus": 2 / 3, "ap/nucleus": 0.5,
        }
    )  # fmt: skip


def test_check_metric_lists_what_there_is_and_the_near_miss() -> None:
    classes = ("cell", "nucleus")
    for metric in ("f1", "ap/nucleus", "seg"):
        check_metric(metric, classes, ["seg"])
    with pytest.raises(ConfigError, match=r"metric: expected one of f1, ap, f1/cell.*'f1/nucleus'"):
        check_metric("F1/nucleis", classes, [])


def test_mean_scores_of_no_objects_are_left_out() -> None:
    nothing = np.zeros((4, 4), int)
    empty = ImageScores(records(sem=1)[0], {"cell": match(nothing, nothing, (0.5,))})
    assert mean_scores([empty]) == {}


@dataclasses.dataclass
class EchoModel:
    """Returns its labels and remembers the diameters that it was given."""

    labels: np.ndarray
    classes: tuple[str, ...] = ("object",)
    task: FlowTask = dataclasses.field(default_factory=FlowTask)
    diameters: list[float | None] = dataclasses.field(default_factory=list)

    def segment(self, pixels: np.ndarray, *, axes: str, diameter: float | None) -> Segmentation:
        assert axes == "CYX"
        self.diameters.append(diameter)
        return Segmentation(self.labels, ObjectTable({}), self.classes)


def write_record(folder: Path, labels: np.ndarray, valid: np.ndarray | None = None) -> Record:
    tifffile.imwrite(folder / "image.tif", labels.astype(np.uint8))
    tifffile.imwrite(folder / "labels.tif", labels.astype(np.uint16))
    if valid is not None:
        tifffile.imwrite(folder / "valid.tif", valid.astype(np.uint8))
    return Record(
        image=folder / "image.tif",
        labels=folder / "labels.tif",
        valid=None if valid is None else folder / "valid.tif",
    )


def test_score_images_tells_the_true_diameter_or_leaves_it_to_the_model(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6] = 1
    labels[10:14, 10:14] = 2
    record = write_record(tmp_path, labels)
    model = EchoModel(labels[None])
    own = {"count": lambda truth, prediction: truth.max() - prediction.max() + 1}
    (scored,) = score_images(model, [record], diameter="true", metrics=own)
    assert scored.record is record
    assert scored.metrics == {"count": 1.0}
    matching = scored.matchings["object"]
    assert (matching.tp, matching.fp, matching.fn) == (2, 0, 0)
    list(score_images(model, [record], diameter="estimated"))
    fixed = FlowTask(preprocessing=Preprocessing(diameter=None))
    unscaled = EchoModel(labels[None], task=fixed)
    list(score_images(unscaled, [record], diameter="true"))
    assert unscaled.diameters == [None]
    assert model.diameters == [pytest.approx(2 * np.sqrt(16 / np.pi)), None]


def test_score_images_leaves_out_what_cannot_be_trusted(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6] = 1
    valid = np.ones((20, 20), bool)
    valid[:, 10:] = False
    prediction = labels.copy()
    prediction[10:14, 12:16] = 2
    (scored,) = score_images(
        EchoModel(prediction[None]), [write_record(tmp_path, labels, valid)], diameter="true"
    )
    matching = scored.matchings["object"]
    assert (matching.tp, matching.fp, matching.fn) == (1, 0, 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"every": -1}, "every of at least 0, but got -1"),
        ({"images": 0}, "images of at least 1"),
        ({"patience": 0}, "patience of at least 1, but got 0"),
    ],
)
def test_validation_refuses_what_cannot_be_meant(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Validation(**setting)
