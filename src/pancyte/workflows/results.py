"""The two files that sum up a folder of results: ``objects.csv`` and ``run.json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.io.tables import write_csv, write_json
from pancyte.types import ObjectTable
from pancyte.workflows.outputs import OBJECTS_FILE, RUN_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pancyte.types import Column


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

    @property
    def num_objects(self) -> int:
        """Number of objects in all finished images."""
        return sum(table.num_objects for table in self.tables)

    def write(self, out: Path, *, status: str) -> None:
        """Write the table of all objects, and how the results were made.

        Parameters
        ----------
        out
            Folder of the results.
        status
            ``complete``, ``partial`` or ``interrupted``.
        """
        write_csv(out / OBJECTS_FILE, join_tables(self.tables))
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
                "written": sorted({*self.written, OBJECTS_FILE, RUN_FILE}),
            },
        )


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


def _values(table: ObjectTable, name: str) -> list[Any]:
    column = table.get(name)
    return [None] * table.num_objects if column is None else list(column)
