"""Which images a prediction reads, and under which names it writes their results.

All names are known before the first image is opened, so that nothing is overwritten by surprise:
neither an earlier result nor the result of another image of the same run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pancyte.errors import InputError, UsageError, listed
from pancyte.io.images import LABELS_SUFFIX, OVERLAY_SUFFIX, find_images
from pancyte.io.tables import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

Report = Callable[[int, int, str], None]
"""Called with the number of images done, that of all images, and a line about the latest one."""

OBJECTS_FILE: Final = "objects.csv"
RUN_FILE: Final = "run.json"


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


def plan_jobs(sources: Sequence[Path]) -> list[Job]:
    """Find the images of all sources and give each the names of its results.

    Parameters
    ----------
    sources
        Image files and folders; folders are searched at any depth, and results of earlier
        predictions in them are left out. The folder structure is kept: below the source where
        there is one, else below the deepest folder that holds all sources.

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
        No source is given, or the sources lie on different drives.
    """
    if not sources:
        raise UsageError("Expected at least one image or folder to predict, but got none.")
    root = _common_folder(sources)
    found = [path for source in sources for path in find_images(source)]
    images = {Path(os.path.relpath(path.absolute(), root)): path for path in found}
    relative = sorted(images)
    return [
        Job(
            image=images[path],
            name=path.as_posix(),
            labels=stem.with_name(stem.name + LABELS_SUFFIX),
            overlay=stem.with_name(stem.name + OVERLAY_SUFFIX),
        )
        for path, stem in zip(relative, unique_stems(relative), strict=True)
    ]


def check_overwriting(jobs: Sequence[Job], out: Path, *, overwrite: bool) -> None:
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

    Raises
    ------
    UsageError
        Names what is there, and how to go on.
    """
    planned = [path for job in jobs for path in (job.labels, job.overlay)]
    planned += [Path(OBJECTS_FILE), Path(RUN_FILE)]
    existing = [path for path in planned if (out / path).exists()]
    written = written_files(out)
    foreign = [path for path in existing if path.as_posix() not in written]
    if foreign:
        msg = (
            f"{out}: would overwrite {len(foreign)} files that no prediction wrote, since "
            f"{RUN_FILE} in that folder does not list them: {listed(foreign)}. Choose another "
            "folder, or move them away; --overwrite replaces results of pancyte only."
        )
        raise UsageError(msg)
    if existing and not overwrite:
        msg = (
            f"{out}: would overwrite {len(existing)} files: {listed(existing)}. "
            "Choose another folder, or add --overwrite (in Python, overwrite=True)."
        )
        raise UsageError(msg)


def written_files(out: Path) -> set[str]:
    """Return the files in a folder of results that predictions wrote, as ``run.json`` lists them.

    The paths are below the folder, with ``/`` as separator.
    """
    try:
        document = read_json(out / RUN_FILE)
    except InputError:
        return set()
    # Anything may be called run.json; only a prediction writes these.
    if not isinstance(document, dict) or not {"pancyte", "images"} <= document.keys():
        return set()
    names = {OBJECTS_FILE, RUN_FILE, *document.get("written", ())}
    for entry in document["images"]:
        names |= {entry[key] for key in ("labels", "overlay") if key in entry}
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


def _folded(path: Path) -> str:
    return path.as_posix().casefold()


def _common_folder(sources: Sequence[Path]) -> Path:
    folders = [s.absolute() if s.is_dir() else s.absolute().parent for s in sources]
    if len(folders) == 1:
        return folders[0]
    try:
        return Path(os.path.commonpath([source.absolute().parent for source in sources]))
    except ValueError as error:
        msg = f"{listed(sources)}: lie on different drives. Predict them one drive at a time."
        raise UsageError(msg) from error
