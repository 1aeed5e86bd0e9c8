"""Settings of an evaluation, and its result as tables, text and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from pancyte.config import to_mapping
from pancyte.data.folders import Layout
from pancyte.io.tables import write_csv, write_json
from pancyte.metrics.matching import THRESHOLDS
from pancyte.metrics.summary import (
    ImageMatching,
    Scores,
    Summary,
    all_scores,
    threshold_mean,
)
from pancyte.params import params
from pancyte.workflows.environment import describe_environment

if TYPE_CHECKING:
    from pathlib import Path

SCORES_TABLE: Final = "scores.csv"
SUMMARY_TABLE: Final = "summary.csv"
SCORES_FILE: Final = "scores.json"
FILES: Final = (SCORES_TABLE, SUMMARY_TABLE, SCORES_FILE)

# Of the challenge: images of that many pixels are matched in blocks of that side.
_HUGE: Final = 5000**2
_BLOCK: Final = 2000


@params
class EvaluateConfig:
    """What counts as a match, and which images and objects are scored."""

    thresholds: tuple[float, ...] = THRESHOLDS
    """IoU thresholds, above 0 and up to 1. Those of 0.5:0.95 are always added, for their mean."""
    protocol: Literal["pancyte", "neurips22"] = "pancyte"
    """``neurips22`` removes objects within 2 px of the border and scores empty against empty as 0,
    as the cell segmentation challenge of NeurIPS 2022 did; by default neither."""
    remove_border: int | None = None
    """Objects with a pixel in a frame of this width are removed from truth and prediction, each on
    its own; None is what the protocol says."""
    split: str | None = None
    """Split of the manifest to score; None is all of it."""
    classes: tuple[str, ...] = ()
    """Names of the folders of the classes, where each class of the truth has a folder of its own
    inside of that of the labels, or beside that of the images; empty where one file holds all."""
    masks_subdir: str = ""
    """Folder of any depth inside the folder of labels that holds the truth."""
    device: str = "auto"
    """Where a model runs; predictions on disk need none, and a model that is loaded has one."""
    predict: Mapping[str, Any] = field(default_factory=dict)
    """Settings that a model predicts with, those of ``pancyte predict``, such as ``diameter``. A
    model that is loaded keeps its own tiling, flips, blocks and decoding where none is named."""
    seed: int = 0
    """Of the bootstrap draws behind the intervals."""
    pictures: bool = True
    """Whether to draw, for each class of each image, what was found, invented and missed, where the
    scores are written to a folder."""
    block: int | None = None
    """Side of the blocks in which images of 25 megapixels and more are matched, each with its own
    border, as the challenge did; objects on a seam are cut there. None is what the protocol says:
    2000 for ``neurips22``, and whole images otherwise, whatever their size."""

    def __post_init__(self) -> None:
        if not all(0 < threshold <= 1 for threshold in self.thresholds):
            msg = f"Expected thresholds above 0 and up to 1, but got {self.thresholds}"
            raise ValueError(msg)
        if self.remove_border is not None and self.remove_border < 0:
            msg = f"Expected remove_border to be 0 or more pixels, but got {self.remove_border}"
            raise ValueError(msg)
        if self.block is not None and self.block < 1:
            raise ValueError(f"Expected block to be at least 1 pixel, but got {self.block}")

    @property
    def layout(self) -> Layout | None:
        """Where a folder of truth has its labels; None where its own names tell."""
        if not (self.classes or self.masks_subdir):
            return None
        return Layout(self.masks_subdir, self.classes)

    @property
    def border(self) -> int:
        """Width of the frame in pixels whose objects are removed."""
        if self.remove_border is not None:
            return self.remove_border
        return 2 if self.protocol == "neurips22" else 0

    def block_side(self, shape: tuple[int, ...]) -> int | None:
        """Return the side of the blocks in which an image of a shape is matched; None: whole."""
        if int(np.prod(shape)) < _HUGE:
            return None
        return _BLOCK if self.block is None and self.protocol == "neurips22" else self.block

    @property
    def levels(self) -> tuple[float, ...]:
        """All thresholds, ascending."""
        return tuple(sorted({*self.thresholds, *THRESHOLDS}))

    @property
    def empty_score(self) -> float:
        """What empty against empty scores."""
        return 0.0 if self.protocol == "neurips22" else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The scores of a data set."""

    rows: tuple[ImageMatching, ...]
    """One for each class of each image."""
    summary: Summary
    config: EvaluateConfig

    def columns(self) -> dict[str, list[Any]]:
        """Return the table of ``scores.csv``: a row for each image, class and threshold."""
        table: list[dict[str, Any]] = []
        for row in self.rows:
            scores = all_scores(row.matching, empty=self.config.empty_score)
            for k, threshold in enumerate(row.matching.thresholds):
                counts = {name: getattr(row.matching, name)[k] for name in ("tp", "fp", "fn")}
                values = {
                    name: value[k] if value.ndim else value[()] for name, value in scores.items()
                }
                head = {"image": row.image, "class": row.label_class, "threshold": threshold}
                table.append(head | counts | values)
        return {name: [line[name] for line in table] for name in table[0]}

    def summary_columns(self) -> dict[str, list[Any]]:
        """Return the table of ``summary.csv``: a row for each group of objects and threshold."""
        summary = self.summary
        groups = {
            "mean over images": summary.image_wise,
            "all objects": summary.micro,
            "mean over classes": summary.macro,
            **{f"class {name}": group for name, group in summary.per_class.items()},
        }
        table = [
            {"group": name, "threshold": threshold}
            | {score: value[k] if value.ndim else value[()] for score, value in group.items()}
            for name, group in groups.items()
            for k, threshold in enumerate(summary.thresholds)
        ]
        return {name: [line[name] for line in table] for name in table[0]}

    def document(self) -> dict[str, Any]:
        """Return the content of ``scores.json``."""
        summary = self.summary
        return {
            "settings": {**to_mapping(self.config), "remove_border": self.config.border},
            "thresholds": summary.thresholds,
            "num_images": summary.num_images,
            "undefined_images": summary.undefined_images,
            "undefined_classes": summary.undefined_classes,
            "image_wise": self._group(summary.image_wise) | {"interval_95": summary.interval},
            "micro": self._group(summary.micro),
            "macro": self._group(summary.macro),
            "per_class": {name: self._group(group) for name, group in summary.per_class.items()},
        }

    def text(self) -> str:
        """Return a table of the most used scores for the terminal."""
        summary = self.summary
        groups = {"mean over images": summary.image_wise, "all objects (micro)": summary.micro}
        if len(summary.per_class) > 1:
            groups["mean over classes"] = summary.macro
            groups |= {f"class {name}": group for name, group in summary.per_class.items()}
        half = int(np.argmin(np.abs(summary.thresholds - 0.5)))
        width = max(map(len, groups))
        lines = [
            f"{'':{width}}  F1@0.5  AP@0.5  AP@0.5:0.95  PQ@0.5  Dice   AJI",
            *(f"{name:{width}}  {_line(group, half, summary)}" for name, group in groups.items()),
        ]
        low, high = summary.interval["f1"][:, half]
        if np.isfinite(low):
            lines.append(f"95 % interval of F1@0.5 over images: {low:.3f} to {high:.3f}")
        images = f"{summary.num_images} image{'s' if summary.num_images != 1 else ''}"
        if summary.undefined_images:
            images += f", {summary.undefined_images} without any object left out of the mean"
        return "\n".join([images, *lines])

    def _group(self, group: Scores) -> dict[str, Any]:
        means = {
            name: threshold_mean(value, self.summary.thresholds)
            for name, value in group.items()
            if value.ndim
        }
        return {**group, "mean_0.5_0.95": means}

    def write(self, folder: Path, sources: Mapping[str, str]) -> None:
        """Write the tables and ``scores.json``, which names the sources too."""
        write_csv(folder / SCORES_TABLE, self.columns())
        write_csv(folder / SUMMARY_TABLE, self.summary_columns())
        document = {**sources, **self.document(), "environment": describe_environment()}
        write_json(folder / SCORES_FILE, document)


def _line(group: Scores, half: int, summary: Summary) -> str:
    mean = float(threshold_mean(group["average_precision"], summary.thresholds))
    return (
        f"{group['f1'][half]:6.3f}  {group['average_precision'][half]:6.3f}  {mean:11.3f}  "
        f"{group['panoptic_quality'][half]:6.3f}  {group['dice']:5.3f}  {group['aji']:5.3f}"
    )
