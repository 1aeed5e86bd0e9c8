"""The files that sum up a folder of results: ``objects.csv``, ``images.csv`` and ``run.json``.

``run.json`` is also what a prediction that was interrupted goes on from: it is written before the
first result, from time to time, and in the end, and lists the images that are finished.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pancyte.errors import ResourceError
from pancyte.io.files import sha256_file
from pancyte.io.results import RUN_FILE, read_run
from pancyte.io.tables import read_csv, write_csv, write_json
from pancyte.types import ObjectTable
from pancyte.workflows.outputs import IMAGES_FILE, OBJECTS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pancyte.types import Column
    from pancyte.workflows.outputs import Job, Wanted

_SAVE_EVERY_S: Final = 60.0
_RESUMABLE: Final = ("running", "interrupted", "partial")
_SAME: Final = ("pancyte", "settings", "model", "precision")
"""Keys of ``run.json`` in which the two halves of a prediction must agree."""
_NOT_IN_RESULTS: Final = ("device", "threads")
"""Settings that change nothing in the results."""


@dataclass(slots=True)
class Results:
    """What a prediction has done so far; written when it ends, in whatever way."""

    header: Mapping[str, Any]
    """How the results are made: settings, model, environment."""
    written: set[str] = field(default_factory=set)
    """Files that this and earlier predictions wrote into the folder, which a later one may
    replace."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    tables: list[ObjectTable] = field(default_factory=list)
    """One per finished image, with the column ``file``."""
    images: list[Mapping[str, Any]] = field(default_factory=list)
    """One entry per finished image."""
    failures: list[Mapping[str, str]] = field(default_factory=list)
    """One entry per failed image."""
    skipped: list[str] = field(default_factory=list)
    """Files of the sources that are no images."""
    write_tables: bool = True
    """Whether ``objects.csv`` and ``images.csv`` are written."""
    planned: set[str] = field(default_factory=set)
    """Files that are going to be written; should the process be killed, they count as ours."""
    _saved: float = -math.inf

    @property
    def num_objects(self) -> int:
        """Number of objects in all finished images."""
        return sum(entry["num_objects"] for entry in self.images)

    def write(self, out: Path, *, status: str) -> None:
        """Write the table of all objects, and how the results were made.

        Parameters
        ----------
        out
            Folder of the results.
        status
            ``running``, ``complete``, ``partial`` or ``interrupted``.
        """
        names = {RUN_FILE}
        if self.write_tables:
            write_csv(out / OBJECTS_FILE, join_tables(self.tables))
            write_csv(out / IMAGES_FILE, images_table(self.images, self.failures))
            names |= {OBJECTS_FILE, IMAGES_FILE}
        if status == "running":
            names |= self.planned
        self._saved = time.monotonic()
        write_json(
            out / RUN_FILE,
            {
                **self.header,
                "status": status,
                "started": self.started.isoformat(timespec="seconds"),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "num_objects": self.num_objects,
                "images": self.images,
                "failures": self.failures,
                "skipped": self.skipped,
                "written": sorted(self.written | names),
            },
        )

    def save(self, out: Path) -> None:
        """Write what is there, if that was not done within the last minute.

        A full disk is no reason to stop here: it will be when a result cannot be written.
        """
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            with contextlib.suppress(ResourceError):
                self.write(out, status="running")

    def go_on(self, out: Path, jobs: Sequence[Job], wanted: Wanted) -> set[str] | None:
        """Take over the images that an interrupted prediction of the same kind has finished.

        Parameters
        ----------
        out
            Folder of the results.
        jobs
            The images to predict.
        wanted
            The results that each of them is to have.

        Returns
        -------
        set of str or None
            Names of the images that are finished: the same file was segmented with the same
            settings and model, and all its results are there. None where there is nothing to go
            on with: no prediction, one of other settings or of other images, or a complete one.
        """
        document = read_run(out)
        if document is None or document.get("status") not in _RESUMABLE:
            return None
        before, now = ({key: d.get(key) for key in _SAME} for d in (document, self.header))
        if _without_host(before) != _without_host(now):
            return None
        entries = {entry["file"]: entry for entry in document["images"]}
        if not entries.keys() <= {job.name for job in jobs}:
            return None
        finished = {
            job.name
            for job in jobs
            if job.name in entries
            and entries[job.name].get("sha256") == sha256_file(job.image)
            and all((out / path).exists() for path in job.files(wanted))
        }
        self.images += [entries[job.name] for job in jobs if job.name in finished]
        if finished and self.write_tables:
            self.tables.append(_rows_of(out / OBJECTS_FILE, finished))
        return finished


def images_table(
    images: Sequence[Mapping[str, Any]], failures: Sequence[Mapping[str, str]]
) -> dict[str, list[Any]]:
    """Return the table of ``images.csv``: a row for each image, also without any object.

    Examples
    --------
    >>> entry = {"file": "a.tif", "num_objects": 0, "scale": 1.0, "seconds": 0.2, "warnings": []}
    >>> images_table([entry], [{"file": "b.tif", "error": "is empty"}])["status"]
    ['done', 'failed']
    """
    per_class = dict.fromkeys(
        name for entry in images for name in entry.get("num_objects_per_class", {})
    )
    names = {name: f"num_objects-{name}" for name in per_class} if len(per_class) > 1 else {}
    rows: list[dict[str, Any]] = [
        {
            "file": entry["file"],
            "status": "done",
            "num_objects": entry["num_objects"],
            **{names[n]: entry.get("num_objects_per_class", {}).get(n, 0) for n in names},
            "median_diameter": entry.get("median_diameter"),
            "scale": entry["scale"],
            "seconds": entry["seconds"],
            "note": " ".join(entry["warnings"]),
        }
        for entry in images
    ]
    rows += [{"file": f["file"], "status": "failed", "note": f["error"]} for f in failures]
    columns = (
        "file", "status", "num_objects", *names.values(), "median_diameter", "scale", "seconds",
        "note",
    )  # fmt: skip
    rows.sort(key=lambda row: str(row["file"]))
    return {name: [row.get(name) for row in rows] for name in columns}


def join_tables(tables: list[ObjectTable]) -> dict[str, list[Any]]:
    """Put tables below each other; a column that a table does not have is empty in its rows.

    The table with the most columns gives their order.

    Examples
    --------
    >>> first = ObjectTable({"file": np.array(["a"]), "area": np.array([3])})
    >>> second = ObjectTable({"file": np.array(["b"]), "area_um2": np.array([0.5])})
    >>> join_tables([first, second])["area_um2"]
    [None, np.float64(0.5)]
    """
    names = dict.fromkeys(name for table in sorted(tables, key=len, reverse=True) for name in table)
    columns: dict[str, list[Any]] = {name: [] for name in names or ("file", "class", "label")}
    for table in tables:
        for name in names:
            columns[name].extend(_values(table, name))
    return columns


def with_file(table: ObjectTable, name: str) -> ObjectTable:
    """Return the table with the name of the image in its first column."""
    files: Column = np.full(table.num_objects, name, dtype=object)
    return ObjectTable({"file": files, **table.columns})


def _without_host(header: dict[str, Any]) -> dict[str, Any]:
    """Leave out settings that say where something is computed, not what."""
    settings = header["settings"]
    if not isinstance(settings, dict):
        return header
    kept = {name: value for name, value in settings.items() if name not in _NOT_IN_RESULTS}
    return {**header, "settings": kept}


def _rows_of(path: Path, names: set[str]) -> ObjectTable:
    """Return the rows of some images in a table of objects, as texts."""
    table = read_csv(path)
    rows = np.flatnonzero([name in names for name in table["file"]])
    return ObjectTable({name: np.array(c, dtype=object)[rows] for name, c in table.items()})


def _values(table: ObjectTable, name: str) -> list[Any]:
    column = table.get(name)
    return [None] * table.num_objects if column is None else list(column)
