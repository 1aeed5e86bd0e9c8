"""Images and labels in folders, paired by name.

::

    data/images/a.tif  data/masks/a.png           one folder each; labels/ instead of masks/ too
    data/images/a.tif  data/masks/nucleus/a.png   a folder for each class, if told so
    data/a.tif         data/a_labels.tif          side by side
    data/train/...     data/val/...  data/test/   each of these in one of these ways
    data/images/train/a.tif  data/masks/train/a.png   the splits inside of images and masks

Two files belong together if their names agree, folders between included, once the suffix of the
file and a word such as ``_mask`` or ``_image`` are taken off. Order never pairs anything. Files
that pancyte predicted, which ``run.json`` beside them says, are neither images nor truth, and the
pictures that it draws are none either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from pancyte.data.records import TEST, TRAIN, VAL, DataSource, Record, read_manifest
from pancyte.data.splits import check_disjoint
from pancyte.errors import InputError, counted
from pancyte.io.images import is_drawn
from pancyte.io.raster import SUFFIXES
from pancyte.io.results import RUN_FILE, predicted_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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

_NAMED: Final = 3
"""How many files or folders a message names."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What belongs together in a folder, and what was left over."""

    folder: Path
    records: tuple[Record, ...]
    """One for each image that has labels, in the order of the paths."""
    images_without_labels: tuple[Path, ...] = ()
    labels_without_image: tuple[Path, ...] = ()
    without_class: tuple[tuple[Path, str], ...] = ()
    """Images that have labels, and a class of which they have none."""

    @property
    def unmatched(self) -> tuple[tuple[Path, str], ...]:
        """All files that were left over, and what each of them lacks."""
        return (
            *((path, "labels") for path in self.images_without_labels),
            *((path, "image") for path in self.labels_without_image),
            *((path, f"labels of the class {name}") for path, name in self.without_class),
        )

    def check_complete(self) -> None:
        """Raise an :class:`InputError` that names what was left over, if anything was."""
        left = [
            _describe(self.images_without_labels, "images", "labels", self),
            _describe(self.labels_without_image, "label files", "an image", self),
        ]
        if self.without_class:
            path, name = self.without_class[0]
            number = len({path for path, _ in self.without_class})
            left.append(
                f"{number} of {len(self.records)} images lack a class ({path.name} has no labels "
                f"of {name!r})"
            )
        if any(left):
            msg = (
                f"{self.folder}: {' and '.join(filter(None, left))}. Rename or remove them, or "
                "list the pairs in a manifest (pancyte prepare writes one)."
            )
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Layout:
    """What cannot be told from the names of the folders."""

    masks_subdir: str = ""
    """Folder of any depth inside the folder of labels, such as ``nuclei/final``."""
    classes: tuple[str, ...] = ()
    """Names of the folders of the classes, inside that folder or else beside the images; empty
    where one file holds all classes."""
    keep_unlabeled: bool = False
    """Whether images without labels become records too."""


def pair_folder(folder: Path, layout: Layout | None = None) -> Pairing:
    """Pair the images and label files of a folder by name.

    Parameters
    ----------
    folder
        Laid out in one of the ways above.
    layout
        Where the labels lie in a folder of their own, or those of each class.

    Returns
    -------
    Pairing
        Records with labels, and a split where a folder says one; and what has no partner.

    Raises
    ------
    InputError
        There is no such folder, it holds no images or no labels, or two files have the same name.
    """
    layout = Layout() if layout is None else layout
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of images and labels. Check the path.")
    parts = {
        path: SPLIT_FOLDERS[path.name.lower()]
        for path in sorted(folder.iterdir())
        if path.is_dir() and path.name.lower() in SPLIT_FOLDERS
    }
    predicted = _predicted_files(folder)
    if not parts:
        return _pair_part(folder, layout, predicted)
    pairings = [
        (_pair_part(path, layout, predicted), split)
        for path, split in parts.items()
        if _list(path, predicted)
    ]
    if not pairings:
        raise InputError(f"{folder}: its folders {[p.name for p in parts]} hold no images")
    return Pairing(
        folder,
        tuple(replace(r, split=split) for pairing, split in pairings for r in pairing.records),
        tuple(path for pairing, _ in pairings for path in pairing.images_without_labels),
        tuple(path for pairing, _ in pairings for path in pairing.labels_without_image),
        tuple(entry for pairing, _ in pairings for entry in pairing.without_class),
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
        A source cannot be read, some image of a folder has no labels or the reverse, or an image is
        in two splits.
    """
    records: list[Record] = []
    for source in sources:
        path = source.path
        if path.is_dir():
            pairing = pair_folder(path, Layout(source.masks_subdir, source.classes))
            pairing.check_complete()
            found = tuple(replace(r, source=r.source or path.name) for r in pairing.records)
        elif source.masks_subdir or source.classes:
            msg = (
                f"{path}: masks_subdir and classes say how a folder is laid out, but this is no "
                "folder. A manifest names the files of labels itself: leave them out."
            )
            raise InputError(msg)
        else:
            found = read_manifest(path)
        records += [
            replace(
                record,
                weight=record.weight * source.weight,
                split=source.split or record.split,
                annotated=source.annotated if record.annotated is None else record.annotated,
            )
            for record in found
        ]
    check_disjoint(records)
    return tuple(records)


_Files = tuple[Path, list[Path]]
"""A folder, and files at any depth inside of it."""


def _pair_part(folder: Path, layout: Layout, predicted: frozenset[Path]) -> Pairing:
    images, labels = _find_files(folder, layout, predicted)
    if not images[1]:
        _refuse_empty("images", images[0], predicted)
    empty = [root for root, files in labels.values() if not files]
    if layout.keep_unlabeled and len(empty) == len(labels):
        return Pairing(folder, tuple(Record(image=path) for path in images[1]))
    if empty:
        _refuse_empty("label files", empty[0], predicted)
    partners = {name: _partners(images, files) for name, files in labels.items()}
    if not layout.classes and not partners[""]:
        _refuse_folders_of_labels(*labels[""])
    return _collect(folder, images, labels, partners, keep_unlabeled=layout.keep_unlabeled)


def _find_files(
    folder: Path, layout: Layout, predicted: frozenset[Path]
) -> tuple[_Files, dict[str, _Files]]:
    """Return the images, and the label files of each class; of "" where one file holds them all."""
    image_folder = _first_folder(folder, IMAGE_FOLDERS)
    label_folder = _first_folder(folder, LABEL_FOLDERS)
    if image_folder is None or (label_folder is None and not layout.classes):
        if layout.masks_subdir or layout.classes:
            setting = "masks_subdir" if layout.masks_subdir else "classes"
            msg = (
                f"{folder}: expected folders images and masks (or labels), since {setting} is "
                f"{getattr(layout, setting)!r}, but got {_names(folder.iterdir())}"
            )
            raise InputError(msg)
        files = _list(folder, predicted)
        labels = [path for path in files if _strip(path.stem, LABEL_ENDINGS) != path.stem]
        known = set(labels)
        return (folder, [path for path in files if path not in known]), {"": (folder, labels)}
    root = (label_folder or folder) / layout.masks_subdir
    images = (image_folder, _list(image_folder, predicted))
    if not layout.classes:
        return images, {"": (root, _list(root, predicted))}
    found = {path.name.lower(): path for path in _subfolders(root)}
    missing = [name for name in layout.classes if name.lower() not in found]
    if missing:
        msg = (
            f"{root}: expected a folder for each of the classes {', '.join(layout.classes)}, but "
            f"there is none for {missing[0]!r} among {_names(found.values())}"
        )
        raise InputError(msg)
    folders = {name: found[name.lower()] for name in layout.classes}
    return images, {name: (path, _list(path, predicted)) for name, path in folders.items()}


def _collect(
    folder: Path,
    images: _Files,
    labels: Mapping[str, _Files],
    partners: Mapping[str, dict[Path, Path]],
    *,
    keep_unlabeled: bool,
) -> Pairing:
    records, unlabeled, without_class = [], [], []
    for image in images[1]:
        files = tuple((name, found[image]) for name, found in partners.items() if image in found)
        if not files and not keep_unlabeled:
            unlabeled.append(image)
            continue
        # Without classes there is one file, of no name.
        classes = files if "" not in labels else ()
        first = files[0][1] if files else None
        split = "" if images[0] == folder else _split_of(image.relative_to(images[0]))
        records.append(Record(image=image, labels=first, class_labels=classes, split=split))
        if files:
            without_class += [(image, name) for name in labels if image not in partners[name]]
    taken = {path for found in partners.values() for path in found.values()}
    return Pairing(
        folder,
        tuple(records),
        tuple(unlabeled),
        tuple(path for _, files in labels.values() for path in files if path not in taken),
        tuple(without_class),
    )


def _partners(images: _Files, labels: _Files) -> dict[Path, Path]:
    partners: dict[Path, Path] = {}
    # Equal names first; endings are taken off only what is left then.
    for image_endings, label_endings in (((), ()), (IMAGE_ENDINGS, LABEL_ENDINGS)):
        taken = set(partners.values())
        left = _by_name(images[0], (p for p in images[1] if p not in partners), image_endings)
        spare = _by_name(labels[0], (p for p in labels[1] if p not in taken), label_endings)
        partners |= {image: spare[key] for key, image in left.items() if key in spare}
    return partners


def _split_of(path: Path) -> str:
    return SPLIT_FOLDERS.get(path.parts[0].lower(), "") if len(path.parts) > 1 else ""


def _refuse_empty(kind: str, where: Path, predicted: frozenset[Path]) -> NoReturn:
    left_out = sum(path.is_relative_to(where) for path in predicted)
    them = (
        "is no truth: correct it, and save it"
        if left_out == 1
        else ("are no truth: correct them, and save them")
    )
    hint = (
        f" The {counted(left_out, 'file')} that pancyte predicted there, as run.json says, {them} "
        "in a folder masks without run.json."
    )
    msg = (
        f"{where}: expected {kind}, but found none. Put images into a folder images and "
        "labels of the same names into a folder masks beside it, or name them like "
        "cell.tif and cell_labels.tif."
    )
    raise InputError(msg + (hint if left_out else ""))


def _refuse_folders_of_labels(root: Path, files: Sequence[Path]) -> None:
    """Raise an error if all labels lie in folders that the images do not know."""
    relative = [path.relative_to(root) for path in files]
    if all(len(path.parts) > 1 for path in relative):
        names = sorted({path.parts[0] for path in relative})
        msg = (
            f"{root}: its label files lie in the folders {', '.join(names[:_NAMED])}, which the "
            f"images do not have. Choose one of them with masks_subdir={names[0]}, or, where each "
            f"holds a class, set classes={names[:_NAMED]}".replace("'", '"')
        )
        raise InputError(msg)


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


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _list(folder: Path, predicted: frozenset[Path]) -> list[Path]:
    """Return the files of known suffixes at any depth, without hidden, predicted and drawn ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path not in predicted
        and not is_drawn(path)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _predicted_files(folder: Path) -> frozenset[Path]:
    """Return the files that predictions wrote, as each ``run.json`` in the folder lists them."""
    found: set[Path] = set()
    for path in folder.rglob(RUN_FILE):
        found |= {path.parent / name for name in predicted_files(path.parent)}
    return frozenset(found)


def _first_folder(folder: Path, names: Iterable[str]) -> Path | None:
    by_name = {path.name.lower(): path for path in _subfolders(folder)}
    return next((by_name[name] for name in names if name in by_name), None)


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(sorted(path.name for path in paths)[:5]) or "nothing"


def _describe(left: tuple[Path, ...], kind: str, partner: str, pairing: Pairing) -> str:
    if not left:
        return ""
    total = len(pairing.records) + len(left)
    example = _strip(left[0].stem, LABEL_ENDINGS if kind == "label files" else ())
    expected = f"{example}.tif" if kind == "label files" else f"{example}.tif or {example}_mask.tif"
    number = f"{len(left)} of {total} {kind} have no {partner.removeprefix('an ')}"
    return f"{number} ({_names(left[:_NAMED])}; expected for the first: {expected})"
