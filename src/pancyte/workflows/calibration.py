"""Settings of a calibration, and its result as text, tables and a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pancyte.errors import counted
from pancyte.io.tables import write_csv, write_json
from pancyte.metrics.calibration import expected_calibration_error, reliability_curve
from pancyte.params import params
from pancyte.viz.reliability import draw_reliability

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pancyte.ops.calibration import Calibration
    from pancyte.ops.familiarity import Familiarity
    from pancyte.types import BoolArray

CURVE_PICTURE: Final = "reliability.png"
CURVE_TABLE: Final = "reliability.csv"
SCORES_TABLE: Final = "min_score.csv"
SUMMARY_FILE: Final = "calibration.json"
FILES: Final = (CURVE_PICTURE, CURVE_TABLE, SCORES_TABLE, SUMMARY_FILE)

FEWEST_IMAGES: Final = 10
"""Of the training and of the others, to tell apart images that are unlike those of the training."""


@params
class CalibrateConfig:
    """On what a model is calibrated."""

    split: str | None = "val"
    """Split of the images to predict, which the model was not trained on; None takes all."""
    known_split: str | None = "train"
    """Split of the images that the model was trained on; None lets the calibration do without:
    what the model tells already of images unlike them stays as it is."""
    known_images: int = 240
    """Most of these images to look at, chosen evenly from the modalities; at least 10."""
    known_empty: int = 120
    """Most images without objects to look at, of the same split. From at least 10 the model learns
    to warn of such images: noise, writing, photographs."""
    also_known: Path | None = None
    """A second manifest, or folder, of images that the model was trained on."""
    min_objects: int = 50
    """Fewest objects to fit on, at least 10."""
    min_score: float = 0.0
    """Stored as what the model leaves out by default; 0 to 1."""
    folds: int = 10
    """Parts of the images, each of which is left out in turn to measure the error; at least 2."""
    bins: int = 15
    """Bins of the reliability curve, at least 1."""
    device: str = "auto"
    """Where the model runs."""
    threads: int | None = None
    """CPU threads; None takes all that this process may use."""
    seed: int = 0
    """Divides the images into folds."""

    def __post_init__(self) -> None:
        least = {
            "known_images": FEWEST_IMAGES,
            "known_empty": 0,
            "min_objects": 10,
            "folds": 2,
            "bins": 1,
        }
        for name, value in least.items():
            if getattr(self, name) < value:
                msg = f"Expected {name} of at least {value}, but got {getattr(self, name)}"
                raise ValueError(msg)
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"Expected min_score to lie in 0 to 1, but got {self.min_score}")


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """What came out of a calibration."""

    calibration: Calibration
    familiarity: Familiarity | None
    scores: npt.NDArray[np.float64]
    """(n,) of each object, by a calibration that saw no object of its image."""
    correct: BoolArray
    """(n,) whether it matches a true object."""
    num_true: int
    """True objects of all images."""
    bins: int

    @property
    def error(self) -> float:
        """Expected calibration error of the left-out images, with bins of equal width.

        By the same scores the penalty of the fit was chosen, of a few, so that new images may show
        a slightly larger one. Each object counts as one.
        """
        return expected_calibration_error(self.scores, self.correct, bins=self.bins)

    def text(self) -> str:
        """Return lines for the terminal."""
        by_mass = expected_calibration_error(self.scores, self.correct, bins=self.bins, by="mass")
        found = self.calibration
        error = f"expected calibration error of images left out in turn: {self.error:.3f}"
        images = counted(found.images, "image")
        lines = [
            f"{found.objects} objects of {images}, {self.correct.mean():.1%} right",
            f"{error} ({by_mass:.3f} with bins of as many objects each)",
            "min_score  kept  precision  recall     f1",
        ]
        lines += [
            "{:9.2f} {:5.0%} {:10.3f} {:7.3f} {:6.3f}".format(*row)
            for row in zip(*self.choices().values(), strict=True)
        ]
        if self.familiarity is None:
            lines.append("Images that are unlike those of the training are not told apart.")
        return "\n".join(lines)

    def choices(self) -> dict[str, list[float]]:
        """Return what each ``min_score`` would leave of the objects, all images together.

        A ratio of nothing is NaN: the precision where no object is left, the recall and the share
        where there is none.
        """
        rows = []
        for level in np.arange(0.0, 0.91, 0.1).round(2).tolist():
            kept = self.scores >= level
            right = int(self.correct[kept].sum())
            count = int(kept.sum())
            parts = [(count, len(kept)), (right, count), (right, self.num_true)]
            parts.append((2 * right, count + self.num_true))
            rows.append((level, *(a / b if b else math.nan for a, b in parts)))
        names = ("min_score", "kept", "precision", "recall", "f1")
        return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))

    def write(self, out: Path, header: Mapping[str, Any]) -> None:
        """Write the curve as picture and table, what each ``min_score`` leaves, and numbers."""
        curve = reliability_curve(self.scores, self.correct, bins=self.bins)
        low, high = curve.interval
        draw_reliability(out / CURVE_PICTURE, curve, self.scores)
        columns = {
            "from": curve.low, "to": curve.high, "objects": curve.count, "mean_score": curve.score,
            "share_right": curve.correct, "interval_low": low, "interval_high": high,
        }  # fmt: skip
        write_csv(out / CURVE_TABLE, {name: column.tolist() for name, column in columns.items()})
        write_csv(out / SCORES_TABLE, self.choices())
        by_mass = expected_calibration_error(self.scores, self.correct, bins=self.bins, by="mass")
        write_json(
            out / SUMMARY_FILE,
            {
                **header,
                "objects": self.calibration.objects,
                "images": self.calibration.images,
                "share_right": float(self.correct.mean()),
                "expected_calibration_error": self.error,
                "expected_calibration_error_bins_of_equal_mass": by_mass,
                "distance_limit": None if self.familiarity is None else self.familiarity.limit,
            },
        )
