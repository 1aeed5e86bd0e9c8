from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pancyte.data.records import Record
from pancyte.metrics.matching import match
from pancyte.types import ObjectTable, Segmentation
from pancyte.workflows.validation import Validation, choose_records, mean_scores, score_images


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
            (first, match(truth, truth, (0.5,))),
            (second, match(truth, half, (0.5,))),
            (third, match(nothing, nothing, (0.5,))),
        ]
    )
    assert scores == pytest.approx(
        {"f1": (1 + 2 / 3) / 2, "ap": 0.75, "f1/phase": 1.0, "f1/sem": 2 / 3}
    )


def test_mean_scores_of_no_objects_are_left_out() -> None:
    nothing = np.zeros((4, 4), int)
    assert mean_scores([(records(sem=1)[0], match(nothing, nothing, (0.5,)))]) == {}


@dataclasses.dataclass
class EchoModel:
    """Returns its labels and remembers the diameters that it was given."""

    labels: np.ndarray
    classes: tuple[str, ...] = ("object",)
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
    ((scored, matching),) = score_images(model, [record], diameter="true")
    assert scored is record
    assert (matching.tp, matching.fp, matching.fn) == (2, 0, 0)
    list(score_images(model, [record], diameter="estimated"))
    assert model.diameters == [pytest.approx(2 * np.sqrt(16 / np.pi)), None]


def test_score_images_leaves_out_what_cannot_be_trusted(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6] = 1
    valid = np.ones((20, 20), bool)
    valid[:, 10:] = False
    prediction = labels.copy()
    prediction[10:14, 12:16] = 2
    ((_, matching),) = score_images(
        EchoModel(prediction[None]), [write_record(tmp_path, labels, valid)], diameter="true"
    )
    assert (matching.tp, matching.fp, matching.fn) == (1, 0, 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"every": -1}, "every of at least 0, but got -1"), ({"images": 0}, "images of at least 1")],
)
def test_validation_refuses_what_cannot_be_meant(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Validation(**setting)
