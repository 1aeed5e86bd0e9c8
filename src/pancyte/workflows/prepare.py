"""``prepare``: from a folder of images and labels, or an older manifest, to a manifest with splits.

Every pair of files is opened, so that a training does not stumble over one in its third hour.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pancyte.data.folders import Layout, Pairing, pair_folder
from pancyte.data.patches import read_pixels
from pancyte.data.records import TEST, TRAIN, VAL, Record, read_manifest, write_manifest
from pancyte.data.splits import assign_splits
from pancyte.errors import InputError, UsageError
from pancyte.io.label_files import read_labels
from pancyte.ops.measure import measure_objects
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)


@params
class PrepareConfig:
    """How the images of a folder are divided and described."""

    val: int | float = 0.1
    """Images for validation: a number of images, or a fraction below 1."""
    test: int | float = 0.0
    """Images for testing, which no training touches: a number, or a fraction below 1."""
    group: str = ""
    """Regular expression found in the path of an image below the folder; what it matches (or its
    first bracket) names the group, which stays on one side. Empty: every image is its own."""
    modality: str = ""
    """Imaging family of all images, or empty."""
    masks_subdir: str = ""
    """Folder inside the folder of labels, such as ``nuclei/final``."""
    skip_unmatched: bool = False
    """Leave out images without labels, and the reverse, instead of refusing them."""
    seed: int = 0
    """Of the random choice of images."""

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            value = getattr(self, name)
            if value < 0 or (isinstance(value, float) and value >= 1.0):
                msg = (
                    f"Expected {name} to be a number of images or a fraction below 1, such as 0.1, "
                    f"but got {value!r}"
                )
                raise ValueError(msg)
        try:
            re.compile(self.group)
        except re.error as error:
            msg = f"Expected group to be a regular expression, but got {self.group!r} ({error})"
            raise ValueError(msg) from error


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What was found and written; its text is what the command prints."""

    manifest: Path
    records: tuple[Record, ...]
    num_objects: int
    """Objects of all classes in all images."""
    median_diameter: float
    """Median diameter of the objects in pixels; NaN without objects."""
    images_without_labels: tuple[Path, ...]
    labels_without_image: tuple[Path, ...]
    empty_splits: tuple[str, ...] = ()
    """Splits that were wanted and have no image, because of too few images or groups."""

    def __str__(self) -> str:
        splits = Counter(record.split for record in self.records)
        order = [name for name in (TRAIN, VAL, TEST) if name in splits]
        order += sorted(set(splits) - set(order))
        lines = [
            f"{len(self.records)} images: " + ", ".join(f"{splits[s]} {s}" for s in order),
            f"{self.num_objects} objects, median diameter {self.median_diameter:.1f} px",
        ]
        for kind, paths in (
            ("without labels", self.images_without_labels),
            ("without an image", self.labels_without_image),
        ):
            if paths:
                names = ", ".join(path.name for path in paths[:3])
                lines.append(f"left out, {kind}: {len(paths)} ({names})")
        lines += [f"no image could be set aside for {split}" for split in self.empty_splits]
        return "\n".join([*lines, f"written: {self.manifest}"])


def prepare(
    source: Path,
    out: Path,
    *,
    config: PrepareConfig | None = None,
    overwrite: bool = False,
    on_image: Callable[[int, int, str], None] | None = None,
) -> PrepareReport:
    """Write a manifest of the images and labels of a folder.

    Parameters
    ----------
    source
        Folder in one of the layouts of :mod:`pancyte.data.folders`, or a manifest, whose rows
        without a split get one.
    out
        The manifest to write (.csv); its paths are relative to its folder.
    config
        How to divide and describe the images.
    overwrite
        Whether an existing manifest may be replaced.
    on_image
        Called with (number done, number of all, name) after each image.

    Returns
    -------
    PrepareReport
        What was found.

    Raises
    ------
    UsageError
        ``out`` is no .csv file, or exists.
    InputError
        Files have no partner, cannot be read, or an image and its labels differ in size.

    Notes
    -----
    Splits are disjoint whatever the settings. Each modality is divided in the same proportions,
    and groups stay together; where a group says otherwise, numbers are approximate. Splits that
    folders (``train``, ``val``, ``test``) or the manifest give are kept.
    """
    config = PrepareConfig() if config is None else config
    if out.suffix.lower() != ".csv":
        raise UsageError(f"{out}: expected a name ending in .csv for the manifest")
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: exists already. Choose another name, or allow overwriting it.")
    pairing = _find(source, config)
    records = assign_splits(
        [_describe(record, source, config) for record in pairing.records],
        val=config.val,
        test=config.test,
        seed=config.seed,
    )
    diameters = _check_files(records, on_image)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(out, records)
    _LOGGER.info("Wrote %s with %d images", out, len(records))
    return PrepareReport(
        manifest=out,
        records=records,
        num_objects=len(diameters),
        median_diameter=float(np.median(diameters)) if diameters else float("nan"),
        images_without_labels=pairing.images_without_labels,
        labels_without_image=pairing.labels_without_image,
        empty_splits=tuple(
            split
            for split, share in ((VAL, config.val), (TEST, config.test))
            if share > 0 and not any(record.split == split for record in records)
        ),
    )


def _find(source: Path, config: PrepareConfig) -> Pairing:
    if source.is_file():
        return Pairing(source, read_manifest(source), (), ())
    pairing = pair_folder(source, Layout(config.masks_subdir))
    if not config.skip_unmatched or not pairing.records:
        pairing.check_complete()
    return pairing


def _describe(record: Record, source: Path, config: PrepareConfig) -> Record:
    record = replace(record, modality=record.modality or config.modality)
    if not config.group:
        return record
    path = record.image
    name = path.relative_to(source).as_posix() if path.is_relative_to(source) else path.as_posix()
    match = re.search(config.group, name)
    if match is None:
        msg = (
            f"{record.image}: the group {config.group!r} is not found in {name!r}. "
            "Choose a regular expression that each path holds."
        )
        raise UsageError(msg)
    return replace(record, group=next((g for g in match.groups() if g), match.group()))


def _check_files(
    records: Sequence[Record], on_image: Callable[[int, int, str], None] | None
) -> list[float]:
    """Open every pair of files and return the diameters of all objects."""
    diameters: list[float] = []
    failures: list[str] = []
    for number, record in enumerate(records, start=1):
        try:
            diameters += _measure(record)
        except InputError as error:
            failures.append(str(error))
        if on_image is not None:
            on_image(number, len(records), record.image.name)
    if failures:
        listed = "\n".join(failures[:10])
        msg = f"{len(failures)} of {len(records)} images cannot be used:\n{listed}"
        raise InputError(msg)
    return diameters


def _measure(record: Record) -> list[float]:
    size = read_pixels(record).shape[1:]
    if record.labels is None:
        return []
    labels = read_labels(record.labels).labels
    if labels.shape[1:] != size:
        msg = (
            f"{record.labels}: expected labels of the size of {record.image.name}, {size}, "
            f"but got {labels.shape[1:]}"
        )
        raise InputError(msg)
    return [float(value) for value in measure_objects(labels)["diameter"]]
