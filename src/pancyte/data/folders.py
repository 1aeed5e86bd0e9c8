"""Images and labels in folders, paired by name.

::

    data/images/a.tif  data/masks/a.png           one folder each; labels/ instead of masks/ too
    data/a.tif         data/a_labels.tif          side by side
    data/train/...     data/val/...  data/test/   each of these in one of the two ways

Two files belong together if their names agree, folders between included, once the suffix of the
file and a word such as ``_mask`` or ``_image`` are taken off. Order never pairs anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pancyte.data.records import TEST, TRAIN, VAL, DataSource, Record, read_manifest
from pancyte.errors import InputError
from pancyte.io.raster import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

IMAGE_FOLDERS: Final = ("images", "image", "imgs")
LABEL_FOLDERS: Final = ("masks", "labels", "mask", "label")
IMAGE_ENDINGS: Final = ("_image", "_img")
LABEL_ENDINGS: Final = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg")
SPLIT_FOLDERS: Final = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "test": TEST,
    "testing": TEST,
}
"""Names of folders that are a split, in any letter case."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What belongs together in a folder, and what was left over."""

    folder: Path
    records: tuple[Record, ...]
    """One for each image that has labels, in the order of the paths."""
    images_without_labels: tuple[Path, ...]
    labels_without_image: tuple[Path, ...]

    def check_complete(self) -> None:
        """Raise an :class:`InputError` that names what was left over, if anything was."""
        left = [
            _describe(self.images_without_labels, "images", "labels", self),
            _describe(self.labels_without_image, "label files", "an image", self),
        ]
        if any(left):
            msg = (
                f"{self.folder}: {' and '.join(filter(None, left))}. Rename or remove them, or "
                "list the pairs in a manifest (pancyte prepare writes one)."
            )
            raise InputError(msg)


def pair_folder(folder: Path, *, masks_subdir: str = "") -> Pairing:
    """Pair the images and label files of a folder by name.

    Parameters
    ----------
    folder
        Laid out in one of the ways above.
    masks_subdir
        Folder of any depth inside the folder of labels, such as ``nuclei/final``.

    Returns
    -------
    Pairing
        Records with labels, and a split where a folder says one; and what has no partner.

    Raises
    ------
    InputError
        There is no such folder, it holds no images or no labels, or two files have the same name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of images and labels. Check the path.")
    parts = {
        path: SPLIT_FOLDERS[path.name.lower()]
        for path in sorted(folder.iterdir())
        if path.is_dir() and path.name.lower() in SPLIT_FOLDERS
    }
    if not parts:
        return _pair_part(folder, masks_subdir)
    pairings = [
        (_pair_part(path, masks_subdir), split) for path, split in parts.items() if _list(path)
    ]
    if not pairings:
        raise InputError(f"{folder}: its folders {[p.name for p in parts]} hold no images")
    return Pairing(
        folder,
        tuple(replace(r, split=split) for pairing, split in pairings for r in pairing.records),
        tuple(path for pairing, _ in pairings for path in pairing.images_without_labels),
        tuple(path for pairing, _ in pairings for path in pairing.labels_without_image),
    )


def read_sources(sources: Sequence[DataSource]) -> tuple[Record, ...]:
    """Return the records of several data sets, their weights multiplied by that of the data set.

    Parameters
    ----------
    sources
        Manifests or folders, with paths that are absolute or relative to the current folder.

    Raises
    ------
    InputError
        A source cannot be read, or some image of a folder has no labels or the reverse.
    """
    records: list[Record] = []
    for source in sources:
        path = source.path
        if path.is_dir():
            pairing = pair_folder(path)
            pairing.check_complete()
            found = tuple(replace(r, source=r.source or path.name) for r in pairing.records)
        else:
            found = read_manifest(path)
        records += [replace(r, weight=r.weight * source.weight) for r in found]
    return tuple(records)


def _pair_part(folder: Path, masks_subdir: str) -> Pairing:
    image_folder = _first_folder(folder, IMAGE_FOLDERS)
    label_folder = _first_folder(folder, LABEL_FOLDERS)
    if image_folder is not None and label_folder is not None:
        label_folder /= masks_subdir
        images, labels = _list(image_folder), _list(label_folder)
    elif masks_subdir:
        msg = (
            f"{folder}: expected folders images and masks (or labels), since masks_subdir is "
            f"{masks_subdir!r}, but got {_names(folder.iterdir())}"
        )
        raise InputError(msg)
    else:
        image_folder = label_folder = folder
        files = _list(folder)
        labels = [path for path in files if _strip(path.stem, LABEL_ENDINGS) != path.stem]
        known = set(labels)
        images = [path for path in files if path not in known]
    if not images or not labels:
        missing, where = ("images", image_folder) if not images else ("label files", label_folder)
        msg = (
            f"{where}: expected {missing}, but found none. Put images into a folder images and "
            "labels of the same names into a folder masks beside it, or name them like "
            "cell.tif and cell_labels.tif."
        )
        raise InputError(msg)
    return _pair(folder, (image_folder, images), (label_folder, labels))


def _pair(
    folder: Path, images: tuple[Path, list[Path]], labels: tuple[Path, list[Path]]
) -> Pairing:
    partners: dict[Path, Path] = {}
    # Equal names first; endings are taken off only what is left then.
    for image_endings, label_endings in (((), ()), (IMAGE_ENDINGS, LABEL_ENDINGS)):
        taken = set(partners.values())
        left = _by_name(images[0], (p for p in images[1] if p not in partners), image_endings)
        spare = _by_name(labels[0], (p for p in labels[1] if p not in taken), label_endings)
        partners |= {image: spare[key] for key, image in left.items() if key in spare}
    taken = set(partners.values())
    return Pairing(
        folder,
        tuple(Record(image=p, labels=partners[p]) for p in images[1] if p in partners),
        tuple(path for path in images[1] if path not in partners),
        tuple(path for path in labels[1] if path not in taken),
    )


def _by_name(root: Path, paths: Iterable[Path], endings: Sequence[str]) -> dict[str, Path]:
    result: dict[str, Path] = {}
    for path in paths:
        key = _key(path, root, endings)
        if key in result:
            msg = (
                f"{root}: {result[key].name} and {path.name} have the same name without suffix; "
                "which of them belongs to an image cannot be told. Rename or remove one."
            )
            raise InputError(msg)
        result[key] = path
    return result


def _key(path: Path, root: Path, endings: Sequence[str]) -> str:
    return path.relative_to(root).with_name(_strip(path.stem, endings)).as_posix()


def _strip(stem: str, endings: Sequence[str]) -> str:
    for ending in endings:
        if stem.lower().endswith(ending) and len(stem) > len(ending):
            return stem[: -len(ending)]
    return stem


def _list(folder: Path) -> list[Path]:
    """Return the files of known suffixes at any depth, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _first_folder(folder: Path, names: Iterable[str]) -> Path | None:
    by_name = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return next((by_name[name] for name in names if name in by_name), None)


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(sorted(path.name for path in paths)[:5]) or "nothing"


def _describe(left: tuple[Path, ...], kind: str, partner: str, pairing: Pairing) -> str:
    if not left:
        return ""
    total = len(pairing.records) + len(left)
    example = _strip(left[0].stem, LABEL_ENDINGS if kind == "label files" else ())
    expected = f"{example}.tif" if kind == "label files" else f"{example}.tif or {example}_mask.tif"
    return (
        f"{len(left)} of {total} {kind} have no {partner} ({_names(left[:3])}; expected for the "
        f"first: {expected})".replace("no an image", "no image")
    )
