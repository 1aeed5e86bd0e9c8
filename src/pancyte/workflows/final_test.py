"""The test at the end of a training: its best model on images that it never saw."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.data.records import write_manifest
from pancyte.workflows.evaluate import evaluate
from pancyte.workflows.evaluation import EvaluateConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pancyte.data.records import Record
    from pancyte.inference.model import Model
    from pancyte.metrics.summary import Scores
    from pancyte.workflows.evaluation import Evaluation

_LOGGER = logging.getLogger(__name__)

_SCORES = {"f1": "f1", "ap": "average_precision", "precision": "precision", "recall": "recall"}


def score_best(model: Model, records: Sequence[Record], folder: Path) -> dict[str, float]:
    """Score a model on records, and write what ``evaluate`` writes into a folder.

    Parameters
    ----------
    model
        The sizes of objects are estimated, as when it predicts.
    records
        With labels. The manifest that lists them is written too, so that ``pancyte evaluate`` can
        repeat the test.
    folder
        Gets ``manifest.csv``, ``scores.csv``, ``summary.csv`` and ``scores.json``; what is there of
        an earlier test is replaced.

    Returns
    -------
    dict
        f1, ap, precision and recall at an IoU of 0.5, as means over images and, where there are
        several classes, as ``f1/<class>`` of all objects of a class; without undefined values.
    """
    manifest = folder / "manifest.csv"
    write_manifest(manifest, records)
    result = evaluate(model, manifest, folder, EvaluateConfig(pictures=False), overwrite=True)
    _LOGGER.info("Test of the best model\n%s", result.text())
    return _at_half(result)


def _at_half(result: Evaluation) -> dict[str, float]:
    summary = result.summary
    half = int(np.argmin(np.abs(np.asarray(summary.thresholds) - 0.5)))
    values = _named(summary.image_wise, half, "")
    if len(summary.per_class) > 1:
        for name, group in summary.per_class.items():
            values |= _named(group, half, f"/{name}")
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _named(group: Scores | Mapping[str, Any], half: int, ending: str) -> dict[str, float]:
    return {name + ending: float(group[score][half]) for name, score in _SCORES.items()}
