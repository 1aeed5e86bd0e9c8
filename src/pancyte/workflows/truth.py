"""Which truth belongs to which prediction, told by names and never by order.

A prediction ``plate1/cell_labels.tif`` belongs to the image whose path ends in ``plate1/cell``,
with or without suffix and label ending.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pancyte.data.folders import (
    IMAGE_FOLDERS,
    LABEL_ENDINGS,
    SPLIT_FOLDERS,
    Layout,
    Pairing,
    pair_folder,
)
from pancyte.data.records import Record, read_manifest, select_split
from pancyte.errors import InputError, UsageError, counted, listed
from pancyte.io.files import absolute
from pancyte.io.images import LABELS_SUFFIX, is_drawn
from pancyte.io.raster import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LOGGER = logging.getLogger(__name__)

_NAMED: Final = 5
"""How many files an error message names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One annotated image."""

    name: str
    """Unique name for the tables."""
    labels: Path
    record: Record
    """The record of the image; where only labels are known, its image is the path of these."""


def find_truth(path: Path, *, split: str | None, layout: Layout | None = None) -> tuple[Truth, ...]:
    """Return the annotated images of a manifest, a folder, or one file.

    Parameters
    ----------
    path
        Where they are.
    split
        Split of the manifest, or of the folder, whose images are taken; None takes all.
    layout
        Where the labels lie in a folder of their own, or those of each class; None: in none.

    Raises
    ------
    InputError
        Nothing is there, or it holds no labels.
    UsageError
        A split is asked for where there is none of that name, or a layout where there is no folder.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder of truth. Check the path.")
    if layout is not None and not path.is_dir():
        msg = (
            f"{path}: masks_subdir and classes say how a folder is laid out, but this is no "
            "folder. Leave them out."
        )
        raise UsageError(msg)
    if path.is_dir():
        records = _folder_records(path, layout)
    elif path.suffix.lower() == ".csv":
        records = read_manifest(path)
    else:
        records = (Record(image=path, labels=path),)
    if split is not None:
        chosen = select_split(records, split)
        if not chosen:
            named = ", ".join(sorted({record.split for record in records if record.split}))
            known = f"the splits there are {named}" if named else "no image there has a split"
            msg = f"{path}: no image is of split {split!r}; {known}. "
            msg += "Name one of these." if named else "Leave the split out to take all images."
            raise UsageError(msg)
        records = chosen
    records = tuple(record for record in records if record.labels is not None)
    if not records:
        raise InputError(f"{path}: no image has labels, so there is nothing to score against.")
    names = _names(records)
    return tuple(
        Truth(name, record.labels, record)
        for name, record in zip(names, records, strict=True)
        if record.labels is not None
    )


def pair_predictions(
    predictions: Path, truth: Sequence[Truth], *, complete: bool
) -> list[tuple[Path, Truth]]:
    """Find the prediction of each annotated image.

    Parameters
    ----------
    predictions
        A folder, searched at any depth, or one file.
    truth
        From :func:`find_truth`.
    complete
        Whether each prediction must have a truth too; a manifest or a split may hold a part of
        the images.

    Raises
    ------
    InputError
        Names what has no partner, or more than one.
    """
    if predictions.is_file() and len(truth) == 1:
        return [(predictions, truth[0])]
    root = predictions.parent if predictions.is_file() else predictions
    files = [predictions] if predictions.is_file() else _label_files(predictions)
    by_key: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        by_key.setdefault(_parts(file.relative_to(root)), []).append(file)
    pairs, lonely = [], []
    for item in truth:
        fitting = next((by_key[key] for key in _endings(item.record.image) if key in by_key), [])
        if len(fitting) > 1:
            msg = f"{item.labels}: several predictions fit: {_listed(fitting)}. Remove all but one."
            raise InputError(msg)
        if fitting:
            pairs.append((fitting[0], item))
        else:
            lonely.append(item.labels)
    _check_once(pairs)
    spare = sorted(set(files) - {file for file, _ in pairs})
    if lonely:
        msg = (
            f"{predictions}: {len(lonely)} of {len(truth)} label images have no prediction: "
            f"{_listed(lonely)}. Expected for example {lonely[0].stem}{LABELS_SUFFIX}, but "
            f"{'all predictions have a truth' if not spare else f'found {_listed(spare)}'}."
        )
        raise InputError(msg)
    if spare and complete:
        msg = (
            f"{predictions}: {len(spare)} of {len(files)} predictions have no truth: "
            f"{_listed(spare)}. Remove them, or list the images to score in a manifest."
        )
        raise InputError(msg)
    if spare:
        is_one = len(spare) == 1
        are = f"{counted(len(spare), 'prediction')} {'is' if is_one else 'are'}"
        _LOGGER.info("%s not among the images to score", are)
    return pairs


def _folder_records(folder: Path, layout: Layout | None) -> tuple[Record, ...]:
    if layout is not None:
        return _paired(pair_folder(folder, layout))
    names = {path.name.lower() for path in folder.iterdir() if path.is_dir()}
    files = _label_files(folder)
    marked = [path for path in files if _parts(path)[-1] != path.stem]
    has_folders = bool(names & {*SPLIT_FOLDERS} or (names & {*IMAGE_FOLDERS}))
    if has_folders or 0 < len(marked) < len(files):
        return _paired(pair_folder(folder))
    return tuple(Record(image=path, labels=path) for path in files)


def _paired(pairing: Pairing) -> tuple[Record, ...]:
    pairing.check_complete()
    return pairing.records


def _label_files(folder: Path) -> list[Path]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not is_drawn(path)
        and not path.name.startswith(".")
    )
    predicted = [path for path in files if path.name.endswith(LABELS_SUFFIX)]
    if not files:
        raise InputError(f"{folder}: expected label images, but found none. Check the path.")
    return predicted or files


def _parts(path: Path) -> tuple[str, ...]:
    stem = path.stem
    ending = next((e for e in LABEL_ENDINGS if stem.lower().endswith(e) and stem != e), "")
    return (*path.parent.parts, stem.removesuffix(stem[len(stem) - len(ending) :]))


def _endings(image: Path) -> Iterator[tuple[str, ...]]:
    """Yield the ends of a path, longest first, with and without suffix and label ending."""
    forms = (image.parts, image.with_suffix("").parts, _parts(image))
    for length in range(len(image.parts), 0, -1):
        for parts in forms:
            yield parts[-length:]


def _check_once(pairs: Iterable[tuple[Path, Truth]]) -> None:
    used: dict[Path, Truth] = {}
    for file, item in pairs:
        # Two annotations of one image are both held against what was found in it.
        if file in used and used[file].record.image != item.record.image:
            msg = (
                f"{file}: fits two label images, {used[file].labels} and {item.labels}. Keep the "
                "folders of the images in the folder of predictions, as predict does. Where these "
                "folders hold a class each, give the folder above them that holds the images too, "
                "and --set 'classes=[...]'."
            )
            raise InputError(msg)
        used[file] = item


def _names(records: Sequence[Record]) -> list[str]:
    """Return a name for each record; where several annotated an image, with that of its labels."""
    by_name: dict[str, list[int]] = {}
    names = _short_names([record.image for record in records])
    for place, name in enumerate(names):
        by_name.setdefault(name, []).append(place)
    for name, places in by_name.items():
        if len(places) > 1:
            labels = _short_names([records[k].labels or records[k].image for k in places])
            for place, path in zip(places, labels, strict=True):
                annotation = Path(path).with_suffix("").as_posix().replace("/", "-")
                names[place] = f"{name} ({annotation})"
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        msg = (
            f"{listed(twice)}: is listed twice with the same labels, and would count twice. Remove "
            "one of the rows."
        )
        raise InputError(msg)
    return names


def _listed(paths: Sequence[Path]) -> str:
    return listed(paths, most=_NAMED)


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return paths below their common folder, with ``/``."""
    parents = [absolute(path).parent.parts for path in paths]
    shared = 0
    while all(len(p) > shared for p in parents) and len({p[shared] for p in parents}) == 1:
        shared += 1
    return [Path(*absolute(path).parts[shared:]).as_posix() for path in paths]
