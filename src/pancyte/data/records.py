"""One record per image, and the manifest that lists them: a CSV that anyone can edit by hand.

::

    image,labels,split,modality,weight,spacing,group,source,annotated,valid
    images/a.tif,labels/a.tif,train,phase contrast,1,0.65 0.65,dish 1,ours,cell;nucleus,

Only ``image`` is required. Paths are relative to the manifest. Splits, modality clusters,
pseudo-labels (a lower weight) and partial annotation are columns of it, not formats of their own.
Where each class has label files of its own, columns such as ``labels:cell`` and ``labels:nucleus``
take the place of ``labels``; a class whose field is empty was not annotated in that image.
"""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pancyte.errors import InputError
from pancyte.io.tables import read_csv, write_csv
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

COLUMNS: Final = (
    "image", "labels", "split", "modality", "weight", "spacing", "group", "source", "annotated",
    "valid",
)  # fmt: skip
"""The columns of a manifest, in the order in which they are written."""

CLASS_LABELS: Final = "labels:"
"""Begins the name of the column of a class with label files of its own."""

TRAIN: Final = "train"
VAL: Final = "val"
TEST: Final = "test"
UNUSED: Final = "unused"
"""The split of images that are neither trained nor scored on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Where an image and its labels are, and what is known about them."""

    image: Path
    labels: Path | None = None
    """Instance labels; None where there are none, the first of ``class_labels`` where these are."""
    class_labels: tuple[tuple[str, Path], ...] = ()
    """Name and label file of each class that has one of its own; empty where one file holds all."""
    split: str = ""
    """``train``, ``val``, ``test`` or another word; empty where nothing was decided."""
    modality: str = ""
    """Imaging family, by which sampling is balanced."""
    weight: float = 1.0
    """How often the record is drawn, relative to others of its modality; 0 is never."""
    spacing: tuple[float, ...] | None = None
    """Micrometre per pixel along [z,] y, x; None leaves it to the file."""
    group: str = ""
    """What must stay on one side of a split: a movie, a stack, a patient."""
    source: str = ""
    """Data set that the record comes from."""
    annotated: tuple[str, ...] | None = None
    """Names of the classes that were annotated; None means all."""
    valid: Path | None = None
    """Image that is 0 where the annotation cannot be trusted; None means everywhere."""

    def __post_init__(self) -> None:
        self._check_class_labels()
        if not math.isfinite(self.weight) or self.weight < 0:
            msg = f"Expected weight to be 0 or more, but got {self.weight} for {self.image}"
            raise ValueError(msg)
        if self.spacing is not None and not (
            len(self.spacing) in (2, 3) and all(math.isfinite(s) and s > 0 for s in self.spacing)
        ):
            msg = (
                "Expected spacing to be 2 or 3 positive micrometre values, "
                f"but got {self.spacing} for {self.image}"
            )
            raise ValueError(msg)

    @property
    def label_files(self) -> tuple[Path, ...]:
        """All files of labels, in the order of ``class_labels``."""
        if self.class_labels:
            return tuple(path for _, path in self.class_labels)
        return () if self.labels is None else (self.labels,)

    def _check_class_labels(self) -> None:
        if not self.class_labels:
            return
        names = [name for name, _ in self.class_labels]
        if not all(names) or len(set(names)) < len(names):
            msg = f"Expected each class to be named once, but got {names} for {self.image}"
            raise ValueError(msg)
        if self.labels is None:
            object.__setattr__(self, "labels", self.class_labels[0][1])
        elif self.labels != self.class_labels[0][1]:
            msg = (
                "Expected either one file of labels or one for each class, but got both for "
                f"{self.image}"
            )
            raise ValueError(msg)


@params
class DataSource:
    """A data set that a training draws from."""

    path: Path
    """Manifest (.csv) or folder of images and labels, relative to the file that names it."""
    weight: float = 1.0
    """Factor on the weight of each of its records; 0 leaves the data set out."""
    masks_subdir: str = ""
    """Folder of any depth inside the folder of labels, such as ``nuclei/final``."""
    classes: tuple[str, ...] = ()
    """Names of the folders of labels, one for each class, where the classes lie in folders of their
    own; empty where one file holds all classes."""
    annotated: tuple[str, ...] | None = None
    """Classes that were annotated in its images, as far as these do not say; None is all."""
    split: str = ""
    """Split of all its images, such as ``val``; empty leaves it to the manifest or the folders."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or self.weight < 0:
            raise ValueError(f"Expected weight to be 0 or more, but got {self.weight}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"Expected each class once, but got {list(self.classes)}")


def read_manifest(path: Path) -> tuple[Record, ...]:
    """Read the records of a manifest.

    Parameters
    ----------
    path
        The CSV file.

    Returns
    -------
    tuple of Record
        In the order of the rows; paths are joined to the folder of the manifest.

    Raises
    ------
    InputError
        The file is missing or no CSV, a column is unknown, missing or twice there, a value cannot
        be read, or a file that it names does not exist.
    """
    rows = _read_rows(path)
    records = tuple(_parse_row(row, path, number) for number, row in rows)
    if not records:
        msg = f"{path}: expected at least one row below the header, but got none"
        raise InputError(msg)
    _check_files(path, records)
    return records


def write_manifest(path: Path, records: Iterable[Record]) -> None:
    """Write a manifest; its paths are relative to its own folder, and empty columns are left out.

    Parameters
    ----------
    path
        The CSV file to make or to replace.
    records
        What to list.
    """
    rows = [_format_row(record, path.parent) for record in records]
    classes = dict.fromkeys(name for row in rows for name in row if name.startswith(CLASS_LABELS))
    columns = ("image", "labels", *classes, *COLUMNS[2:])
    used = [name for name in columns if name == "image" or any(row.get(name) for row in rows)]
    write_csv(path, {name: [row.get(name, "") for row in rows] for name in used})


def select_split(records: Sequence[Record], *splits: str) -> tuple[Record, ...]:
    """Return the records of the splits of these names, in their order; "" is where none is named.

    Examples
    --------
    >>> records = [Record(image=Path("a"), split="train"), Record(image=Path("b"), split="val")]
    >>> [record.image.name for record in select_split(records, "val")]
    ['b']
    """
    return tuple(record for record in records if record.split in splits)


def unannotated_classes(records: Iterable[Record], classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that no record says to have annotated, such as misspelled ones.

    A record that names no classes may have all of them, unless its label files have names.

    Examples
    --------
    >>> files = (("nuclei", Path("n.tif")), ("cell", Path("c.tif")))
    >>> unannotated_classes([Record(image=Path("a"), class_labels=files)], ("nucleus", "cell"))
    ('nucleus',)
    """
    known: set[str] = set()
    for record in records:
        if record.annotated is not None:
            known.update(record.annotated)
        elif record.class_labels:
            known.update(name for name, _ in record.class_labels)
        else:
            return ()
    return tuple(name for name in classes if name not in known)


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    columns = read_csv(path)
    table = {name.strip(): [value.strip() for value in values] for name, values in columns.items()}
    _check_header(path, list(table))
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    # Spreadsheet programs write rows of nothing but commas.
    return [(line, row) for line, row in enumerate(rows, start=2) if any(row.values())]


def _check_header(path: Path, header: Sequence[str]) -> None:
    for name in header:
        names_class = name.startswith(CLASS_LABELS) and name != CLASS_LABELS
        if name not in COLUMNS and not names_class:
            near = difflib.get_close_matches(name.lower(), COLUMNS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            expected = ", ".join(COLUMNS)
            msg = (
                f"{path}: unknown column {name!r}{hint}. A manifest has the columns {expected}, "
                f"and {CLASS_LABELS}NAME for a class with label files of its own."
            )
            raise InputError(msg)
    if "image" not in header:
        msg = f"{path}: expected a column 'image' in the first line, but got {list(header)}"
        raise InputError(msg)


def _parse_row(row: Mapping[str, str], path: Path, line: int) -> Record:
    folder = path.parent
    if not row["image"]:
        raise InputError(f"{path}, row {line}: the column 'image' is empty")
    try:
        return Record(
            image=folder / row["image"],
            labels=folder / row["labels"] if row.get("labels") else None,
            class_labels=tuple(
                (name.removeprefix(CLASS_LABELS), folder / file)
                for name, file in row.items()
                if name.startswith(CLASS_LABELS) and file
            ),
            split=row.get("split", ""),
            modality=row.get("modality", ""),
            weight=float(row.get("weight") or 1.0),
            spacing=_parse_spacing(row.get("spacing", "")),
            group=row.get("group", ""),
            source=row.get("source", ""),
            annotated=_parse_names(row.get("annotated", "")),
            valid=folder / row["valid"] if row.get("valid") else None,
        )
    except ValueError as error:
        raise InputError(f"{path}, row {line}: {error}") from error


def _parse_spacing(text: str) -> tuple[float, ...] | None:
    return tuple(float(value) for value in text.split()) if text else None


def _parse_names(text: str) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(";") if name.strip()) if text else None


def _check_files(path: Path, records: Sequence[Record]) -> None:
    named = [
        file
        for record in records
        for file in (record.image, *record.label_files, record.valid)
        if file is not None
    ]
    missing = [str(file) for file in named if not file.is_file()]
    if missing:
        msg = (
            f"{path}: {len(missing)} of {len(named)} files do not exist, such as "
            f"{', '.join(missing[:3])}. Paths are relative to the folder of the manifest."
        )
        raise InputError(msg)


def _format_row(record: Record, folder: Path) -> dict[str, str]:
    return {
        "image": _relative(record.image, folder),
        "labels": "" if record.class_labels else _relative(record.labels, folder),
        **{f"{CLASS_LABELS}{name}": _relative(file, folder) for name, file in record.class_labels},
        "split": record.split,
        "modality": record.modality,
        "weight": "" if record.weight == 1.0 else repr(record.weight),
        "spacing": " ".join(map(repr, record.spacing or ())),
        "group": record.group,
        "source": record.source,
        "annotated": ";".join(record.annotated or ()),
        "valid": _relative(record.valid, folder),
    }


def _relative(file: Path | None, folder: Path) -> str:
    if file is None:
        return ""
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
