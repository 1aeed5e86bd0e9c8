"""``run.json``: which files in a folder a prediction wrote, so that nobody takes them for data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pancyte.errors import InputError
from pancyte.io.tables import read_json

if TYPE_CHECKING:
    from pathlib import Path

RUN_FILE: Final = "run.json"


def read_run(folder: Path) -> dict[str, Any] | None:
    """Return what ``run.json`` in a folder says, or None where no prediction wrote one."""
    try:
        document = read_json(folder / RUN_FILE)
    except InputError:
        return None
    # Anything may be called run.json; only a prediction writes these.
    if not isinstance(document, dict) or not {"pancyte", "images"} <= document.keys():
        return None
    return document


def predicted_files(folder: Path) -> frozenset[str]:
    """Return the files that ``run.json`` in a folder lists, whether they are still there or not.

    The paths are below the folder, with ``/`` as separator; none where no prediction wrote there.
    """
    document = read_run(folder)
    if document is None:
        return frozenset()
    # Early versions named the results of each image alone.
    of_images = (e[k] for e in document["images"] for k in ("labels", "overlay") if k in e)
    return frozenset([*document.get("written", ()), *of_images])
