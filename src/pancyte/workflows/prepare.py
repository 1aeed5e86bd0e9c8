"""``prepare``: from folders of images and labels, or older manifests, to a manifest with splits.

Every pair of files is opened, so that a training does not stumble over one in its third hour.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.data.folders import Layout, Pairing, pair_folder
from pancyte.data.record_files import read_pixels, read_record_labels
from pancyte.data.records import TEST, TRAIN, VAL, Record, read_manifest, write_manifest
from pancyte.data.selection import Selection, has_size, is_named
from pancyte.data.splits import SplitLayout, assign_splits, divided_groups
from pancyte.errors import InputError, UsageError, counted, listed
from pancyte.io.files import check_file
from pancyte.io.tables import write_csv
from pancyte.ops.labels import split_components
from pancyte.ops.measure import measure_objects
from pancyte.params import params
from pancyte.workflows.gray_copies import write_gray_copies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pancyte.types import IntArray

_LOGGER = logging.getLogger(__name__)

_PIECES_OF_A_MASK: Final = 5


@params
class PrepareConfig:
    """How the images of folders and manifests are chosen, divided and described."""

    val: int | float = 0.1
    """Images for validation: a number of images, or a fraction below 1."""
    test: int | float = 0.0
    """Images for testing, which no training touches: a number, or a fraction below 1."""
    layout: SplitLayout = SplitLayout()
    """How many images train, which are left out, and whether they are drawn at random."""
    resplit: bool = False
    """Forget the splits that folders and manifests give, and divide all images anew."""
    group: str = ""
    """Regular expression found in the path of an image below the folder; what it matches (or its
    first bracket) names the group, which stays on one side. Empty: every image is its own."""
    modality: str = ""
    """Imaging family of all images, or empty."""
    masks_subdir: str = ""
    """Folder inside the folder of labels, such as ``nuclei/final``."""
    classes: tuple[str, ...] = ()
    """Names of the folders of labels, one for each class, where classes have their own."""
    num_classes: int | None = None
    """Classes in a file of labels, if it is a color picture whose channels are classes; none takes
    a picture for one class, whose channels must be equal."""
    skip_unmatched: bool = False
    """Leave out images without labels, and the reverse, instead of refusing them."""
    keep_unlabeled: bool = False
    """List images without labels too, such as those that modalities are looked for in."""
    partial: bool = False
    """Keep images that lack labels of some class: it was not annotated in them."""
    keep: Selection = Selection()
    """Which images are taken."""
    gray: Path | None = None
    """Folder to write gray copies of color images to, which are then listed in their place."""
    seed: int = 0
    """Of the random choice of images."""

    def __post_init__(self) -> None:
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"Expected num_classes of at least 1, but got {self.num_classes}")
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
    unmatched: tuple[tuple[Path, str], ...] = ()
    """Files that were left out, and what each of them lacks."""
    unmatched_list: Path | None = None
    """Where they are listed; None where there are none."""
    empty_splits: tuple[str, ...] = ()
    """Splits that were wanted and have no image, because of too few images or groups."""
    num_repeated: int = 0
    """Images that were listed more than once with the same labels, and were taken once."""
    num_deselected: int = 0
    """Images that ``keep`` did not take."""

    def __str__(self) -> str:
        labeled = [record for record in self.records if record.labels is not None]
        splits = Counter(record.split for record in labeled)
        order = [name for name in (TRAIN, VAL, TEST) if name in splits]
        order += sorted(set(splits) - set(order))
        lines = [
            f"{counted(len(labeled), 'image')}: " + ", ".join(f"{splits[s]} {s}" for s in order),
            f"{counted(self.num_objects, 'object')}, median diameter {self.median_diameter:.1f} px",
        ]
        if len(labeled) < len(self.records):
            unlabeled = counted(len(self.records) - len(labeled), "image")
            lines.append(f"{unlabeled} without labels")
        for lack, number in Counter(lack for _, lack in self.unmatched).items():
            names = [path.name for path, other in self.unmatched if other == lack]
            article = "an " if lack == "image" else ""
            lines.append(f"left out, without {article}{lack}: {number} ({', '.join(names[:3])})")
        if self.unmatched_list is not None:
            lines.append(f"all that was left out: {self.unmatched_list}")
        if self.num_repeated:
            lines.append(f"listed twice and taken once: {self.num_repeated}")
        if self.num_deselected:
            lines.append(f"not taken, because of keep: {self.num_deselected}")
        lines += [f"no image could be set aside for {split}" for split in self.empty_splits]
        divided = divided_groups(self.records)
        if divided:
            first = ", ".join(map(repr, divided[:3]))
            lines.append(f"groups that are in more than one split: {len(divided)} ({first})")
        return "\n".join([*lines, f"written: {self.manifest}"])


def prepare(
    source: Path | Sequence[Path],
    out: Path,
    *,
    config: PrepareConfig | None = None,
    overwrite: bool = False,
    on_image: Callable[[int, int, str], None] | None = None,
) -> PrepareReport:
    """Write a manifest of the images and labels of folders and manifests.

    Parameters
    ----------
    source
        Folder in one of the layouts of :mod:`pancyte.data.folders`, or a manifest, whose rows
        without a split get one; several are joined.
    out
        The manifest to write (.csv); its paths are relative to its folder.
    config
        How to choose, divide and describe the images.
    overwrite
        Whether an existing manifest, and gray copies, may be replaced.
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
        Files have no partner, cannot be read, an image and its labels differ in size, an image is
        in two splits, or none is left.

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
        raise UsageError(f"{out}: is there already. Choose another name, or add --overwrite.")
    check_file(out)
    found = _find(source, out, config)
    taken = _check_files(found.records, config, on_image)
    if not taken.records:
        msg = f"{out}: not written, because keep takes none of {len(found.records)} images"
        raise InputError(msg)
    records = assign_splits(
        taken.records, val=config.val, test=config.test, seed=config.seed, layout=config.layout
    )
    if config.gray is not None:
        records = write_gray_copies(records, config.gray, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(out, records)
    _LOGGER.info("Wrote %s with %s", out, counted(len(records), "image"))
    return PrepareReport(
        manifest=out,
        records=records,
        num_objects=len(taken.diameters),
        median_diameter=float(np.median(taken.diameters)) if taken.diameters else float("nan"),
        unmatched=found.unmatched,
        unmatched_list=_list_path(out) if found.unmatched else None,
        empty_splits=tuple(
            split
            for split, share in ((VAL, config.val), (TEST, config.test))
            if share > 0 and not any(record.split == split for record in records)
        ),
        num_repeated=found.num_repeated,
        num_deselected=found.num_deselected + len(found.records) - len(records),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What the sources hold, before a file was opened."""

    records: tuple[Record, ...]
    unmatched: tuple[tuple[Path, str], ...]
    num_repeated: int
    num_deselected: int


def _find(source: Path | Sequence[Path], out: Path, config: PrepareConfig) -> _Found:
    sources = [source] if isinstance(source, Path) else list(source)
    pairings = [_pair(one, config) for one in sources]
    unmatched = tuple(entry for pairing in pairings for entry in pairing.unmatched)
    _write_unmatched(_list_path(out), unmatched)
    for pairing in pairings:
        _check_complete(pairing, _list_path(out), config)
    records = [
        _describe(record, where, config, named=len(sources) > 1)
        for where, pairing in zip(sources, pairings, strict=True)
        for record in pairing.records
    ]
    named = [record for record in records if is_named(record, config.keep)]
    if config.resplit:
        named = [replace(record, split="") for record in named]
    once: dict[tuple[Path, ...], Record] = {}
    for record in named:
        files = (record.image, *record.label_files)
        once.setdefault(tuple(file.resolve() for file in files), record)
    kept = tuple(once.values())
    return _Found(kept, unmatched, len(named) - len(kept), len(records) - len(named))


def _pair(source: Path, config: PrepareConfig) -> Pairing:
    if source.is_file():
        return Pairing(source, read_manifest(source))
    layout = Layout(config.masks_subdir, config.classes, keep_unlabeled=config.keep_unlabeled)
    pairing = pair_folder(source, layout)
    if config.partial:
        return replace(pairing, without_class=())
    lacking = {path for path, _ in pairing.without_class}
    complete = tuple(r for r in pairing.records if r.image not in lacking)
    return replace(pairing, records=complete) if config.skip_unmatched else pairing


def _check_complete(pairing: Pairing, listed: Path, config: PrepareConfig) -> None:
    if config.skip_unmatched and pairing.records:
        return
    try:
        pairing.check_complete()
    except InputError as error:
        ways = ["skip_unmatched=true to leave them out"]
        if pairing.images_without_labels:
            ways.append("keep_unlabeled=true to list images without labels")
        if pairing.without_class:
            ways.append("partial=true where a class was not annotated in them")
        msg = f"{error} All of them are listed in {listed}. Or add --set {', or '.join(ways)}."
        raise InputError(msg) from error


def _list_path(out: Path) -> Path:
    return out.with_name(f"{out.stem}.unmatched.csv")


def _write_unmatched(path: Path, unmatched: Sequence[tuple[Path, str]]) -> None:
    if unmatched:
        files, lacks = zip(*unmatched, strict=True)
        write_csv(path, {"file": [str(file) for file in files], "without": lacks})
    else:
        path.unlink(missing_ok=True)  # of an earlier run


def _describe(record: Record, source: Path, config: PrepareConfig, *, named: bool) -> Record:
    record = replace(record, modality=record.modality or config.modality)
    if named and source.is_dir() and not record.source:
        record = replace(record, source=source.resolve().name)
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


@dataclass(frozen=True, slots=True)
class _Taken:
    """Images that were opened and taken, and the diameters of their objects."""

    records: list[Record] = field(default_factory=list)
    diameters: list[float] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    """Label files that look like masks: one id in many pieces."""


def _check_files(
    records: Sequence[Record],
    config: PrepareConfig,
    on_image: Callable[[int, int, str], None] | None,
) -> _Taken:
    """Open every pair of files and return those that are taken."""
    taken = _Taken()
    failures: list[str] = []
    for number, record in enumerate(records, start=1):
        try:
            shape, diameters, is_mask = _measure(record, config.num_classes)
        except InputError as error:
            failures.append(str(error))
        else:
            if has_size(shape, len(diameters), config.keep):
                taken.records.append(record)
                taken.diameters.extend(diameters)
                taken.masks.extend(record.label_files[:1] if is_mask else ())
        if on_image is not None:
            on_image(number, len(records), record.image.name)
    if failures:
        first = "\n".join(failures[:10])
        msg = f"{len(failures)} of {len(records)} images cannot be used:\n{first}"
        raise InputError(msg)
    if taken.masks:
        _LOGGER.warning(
            "%d of %d label images have one number for many separate pieces, and look like masks: "
            "%s. Each object needs a number of its own; label the connected pieces first (in Fiji: "
            "MorphoLibJ, Connected Components Labeling).",
            len(taken.masks), len(records), listed(taken.masks),
        )  # fmt: skip
    return taken


def _looks_like_mask(labels: IntArray) -> bool:
    """Return whether some plane has one id in more pieces than an object has by chance."""
    for plane in labels:
        ids = np.unique(plane)
        if len(ids[ids > 0]) == 1 and split_components(plane).max() >= _PIECES_OF_A_MASK:
            return True
    return False


def _measure(record: Record, num_classes: int | None) -> tuple[tuple[int, ...], list[float], bool]:
    """Return the size of an image, the diameters of its objects, and whether they are a mask."""
    size = read_pixels(record).shape[1:]
    if record.labels is None:
        return size, [], False
    planes = () if num_classes is None else (num_classes,)
    labels = read_record_labels(record, size=size, planes=planes).labels
    if labels.shape[1:] != size:
        msg = (
            f"{record.labels}: expected labels of the size of {record.image.name}, {size}, "
            f"but got {labels.shape[1:]}"
        )
        raise InputError(msg)
    diameters = [float(value) for value in measure_objects(labels)["diameter"]]
    return size, diameters, _looks_like_mask(labels)
