"""Which images a prediction reads, and which results it writes under which names.

All names are known before the first image is opened, so that nothing is overwritten by surprise:
neither an earlier result nor the result of another image of the same run.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pancyte.data.folders import IMAGE_FOLDERS, LABEL_FOLDERS
from pancyte.data.records import read_manifest, select_split
from pancyte.errors import UsageError, counted, listed
from pancyte.io.files import absolute
from pancyte.io.images import LABELS_SUFFIX, OVERLAY_SUFFIX, RESULT_SUFFIXES, find_images, is_drawn
from pancyte.io.results import RUN_FILE, predicted_files, read_run
from pancyte.workflows.pictures import class_stems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.data.records import Record

_LOGGER = logging.getLogger(__name__)

Report = Callable[[int, int, str], None]
"""Called with the number of images done, that of all images, and a line about the latest one."""

OBJECTS_FILE: Final = "objects.csv"
IMAGES_FILE: Final = "images.csv"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which kinds of results are written, beside ``run.json``."""

    masks: bool = True
    """Label images."""
    pictures: bool = True
    """Contours on the image."""
    tables: bool = True
    """``objects.csv`` and ``images.csv``."""


@dataclass(frozen=True, slots=True)
class Job:
    """One image and the files that its segmentation is written to."""

    image: Path
    name: str
    """Path of the image below its source, with ``/`` as separator; its name in the tables."""
    labels: Path
    """Label image to write, below the folder of the results."""
    overlay: Path
    """Picture to write, likewise."""
    class_overlays: tuple[Path, ...] = ()
    """A picture for each class, where there are several."""
    spacing: tuple[float, float] | None = None
    """Micrometre per pixel along y and x, where a manifest says it."""

    def files(self, wanted: Wanted) -> list[Path]:
        """Return the files to write."""
        masks = [self.labels] if wanted.masks else []
        return masks + ([self.overlay, *self.class_overlays] if wanted.pictures else [])


def plan_jobs(sources: Sequence[Path], *, split: str | None = None) -> list[Job]:
    """Find the images of all sources and give each the names of its results.

    Parameters
    ----------
    sources
        Image files, folders and manifests (.csv); folders are searched at any depth, and results
        of earlier predictions in them are left out, as are the labels in a folder ``masks`` or
        ``labels`` beside one of ``images``. The folder structure is kept: below the source
        where there is one folder, else below the deepest folder that holds all sources.
    split
        Split of the manifests whose images are taken; None takes all.

    Returns
    -------
    list of Job
        In the order of the names, each image once. The result of ``a/cell.png`` is named
        ``a/cell_labels.tif``, or ``a/cell.png_labels.tif`` where another image of the same folder
        is called ``cell`` too.

    Raises
    ------
    InputError
        A source does not exist, or there is no image.
    UsageError
        No source is given, the sources lie on different drives, or no manifest has such a split.
    """
    if not sources:
        raise UsageError("Expected at least one image or folder to predict, but got none.")
    listed_records = _manifest_records(sources, split)
    places = [source for source in sources if not _is_manifest(source)]
    found = [path for source in places for path in _without_labels(find_images(source))]
    found += [record.image for record in listed_records]
    root = _common_folder(places + [record.image for record in listed_records])
    images = {Path(os.path.relpath(absolute(path), root)): path for path in found}
    spacings = {record.image: record.spacing for record in listed_records}
    relative = sorted(images)
    return [
        Job(
            image=images[path],
            name=path.as_posix(),
            labels=stem.with_name(stem.name + LABELS_SUFFIX),
            overlay=stem.with_name(stem.name + OVERLAY_SUFFIX),
            spacing=_in_plane(spacings.get(images[path])),
        )
        for path, stem in zip(relative, unique_stems(relative), strict=True)
    ]


def _without_labels(found: Sequence[Path]) -> list[Path]:
    """Leave out what lies in a folder of labels beside a folder of images, and say so."""
    beside = {path.parent.parent for path in found if path.parent.name.lower() in IMAGE_FOLDERS}
    labels = [
        path
        for path in found
        if path.parent.name.lower() in LABEL_FOLDERS and path.parent.parent in beside
    ]
    if labels:
        folders = listed(sorted({path.parent.name for path in labels}))
        _LOGGER.info("Left out the labels beside images: %s in %s", len(labels), folders)
    left_out = set(labels)
    return [path for path in found if path not in left_out]


def with_class_pictures(
    jobs: Sequence[Job], classes: Sequence[str], wanted: Wanted | None = None
) -> list[Job]:
    """Return the jobs with a picture for each class, where there are several and any are wanted.

    That of ``a/dish.tif`` and the class ``cell`` is named ``a/dish_cell_overlay.png``.

    Raises
    ------
    UsageError
        Two results would have the same name.
    """
    wanted = wanted or Wanted()
    if len(classes) < 2 or not wanted.pictures:
        return list(jobs)
    planned = [
        replace(
            job,
            class_overlays=tuple(
                stem.with_name(stem.name + OVERLAY_SUFFIX)
                for stem in class_stems(
                    job.overlay.with_name(job.overlay.name.removesuffix(OVERLAY_SUFFIX)), classes
                )
            ),
        )
        for job in jobs
    ]
    counts = Counter(_folded(path) for job in planned for path in job.files(wanted))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        msg = (
            f"{listed(twice)}: would be the picture of two images or classes. Rename one of the "
            "images, or leave pictures out with --set save_pictures=false."
        )
        raise UsageError(msg)
    return planned


def skipped_files(sources: Sequence[Path], jobs: Sequence[Job]) -> list[str]:
    """Return the files of the folders that are no images, and no results; hidden ones left out."""
    images = {absolute(job.image) for job in jobs}
    known = (OBJECTS_FILE, IMAGES_FILE, RUN_FILE)
    return [
        path.as_posix()
        for source in sources
        if source.is_dir()
        for path in sorted(source.rglob("*"))
        if path.is_file()
        and absolute(path) not in images
        and not path.name.lower().endswith((*RESULT_SUFFIXES, *known))
        and not is_drawn(path)
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]


def check_overwriting(
    jobs: Sequence[Job], out: Path, *, overwrite: bool, wanted: Wanted | None = None
) -> None:
    """Refuse to write over existing files, or over those that no prediction wrote.

    Labels drawn by hand may have the very names of results, and must outlive ``overwrite``.

    Parameters
    ----------
    jobs
        What is going to be written.
    out
        Folder of the results.
    overwrite
        Whether earlier results, which ``run.json`` in the folder lists, may be replaced.
    wanted
        Which results are written; None means all.

    Raises
    ------
    UsageError
        Names what is there, and how to go on.
    """
    planned = planned_files(jobs, wanted or Wanted())
    existing = [path for path in planned if (out / path).exists()]
    written = written_files(out)
    foreign = [path for path in existing if path.as_posix() not in written]
    if foreign:
        msg = (
            f"{out}: would overwrite {counted(len(foreign), 'file')} that no prediction wrote and "
            f"{RUN_FILE} in that folder does not list: {listed(foreign)}. Choose another folder, "
            "or move that away; --overwrite replaces results of pancyte only."
        )
        raise UsageError(msg)
    if existing and not overwrite:
        msg = (
            f"{out}: would overwrite {counted(len(existing), 'file')}: {listed(existing)}. "
            "Choose another folder, or add --overwrite (in Python, overwrite=True)."
        )
        raise UsageError(msg)


def planned_files(jobs: Sequence[Job], wanted: Wanted) -> list[Path]:
    """Return all files that a prediction writes, below the folder of its results."""
    tables = [Path(OBJECTS_FILE), Path(IMAGES_FILE)] if wanted.tables else []
    return [path for job in jobs for path in job.files(wanted)] + [*tables, Path(RUN_FILE)]


def written_files(out: Path) -> set[str]:
    """Return the files in a folder of results that predictions wrote, as ``run.json`` lists them.

    The paths are below the folder, with ``/`` as separator.
    """
    if read_run(out) is None:
        return set()
    names = {OBJECTS_FILE, RUN_FILE, *predicted_files(out)}
    return {name for name in names if (out / name).exists()}


def unique_stems(paths: Sequence[Path]) -> list[Path]:
    """Return each path without its suffix, or with it where two would be the same.

    Letter case does not tell names apart, since it does not on every file system.

    Examples
    --------
    >>> [stem.name for stem in unique_stems([Path("a.png"), Path("a.tif"), Path("b.tif")])]
    ['a.png', 'a.tif', 'b']
    """
    stems = [path.with_suffix("") for path in paths]
    while True:
        counts = Counter(_folded(stem) for stem in stems)
        clashing = [
            i
            for i, (path, stem) in enumerate(zip(paths, stems, strict=True))
            if counts[_folded(stem)] > 1 and stem != path
        ]
        if not clashing:
            return stems
        for i in clashing:
            stems[i] = paths[i]


def _is_manifest(source: Path) -> bool:
    return source.suffix.lower() == ".csv" and not source.is_dir()


def _manifest_records(sources: Sequence[Path], split: str | None) -> list[Record]:
    manifests = [source for source in sources if _is_manifest(source)]
    if split is not None and not manifests:
        msg = f"split {split!r}: only a manifest (.csv) has splits, and {listed(sources)} is none."
        raise UsageError(msg)
    records = [record for manifest in manifests for record in read_manifest(manifest)]
    if split is None:
        return records
    chosen = list(select_split(records, split))
    if not chosen:
        splits = ", ".join(sorted({repr(record.split) for record in records}))
        msg = f"{listed(manifests)}: no image is of split {split!r}. The splits there are {splits}."
        raise UsageError(msg)
    return chosen


def _in_plane(spacing: tuple[float, ...] | None) -> tuple[float, float] | None:
    return None if spacing is None else (spacing[-2], spacing[-1])


def _folded(path: Path) -> str:
    return path.as_posix().casefold()


def _common_folder(sources: Sequence[Path]) -> Path:
    folders = [absolute(s) if s.is_dir() else absolute(s).parent for s in sources]
    if len(folders) == 1:
        return folders[0]
    try:
        return Path(os.path.commonpath([absolute(source).parent for source in sources]))
    except ValueError as error:
        msg = f"{listed(sources)}: lie on different drives. Predict them one drive at a time."
        raise UsageError(msg) from error
