"""The pictures of an evaluation: what was found, invented and missed in each class of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pancyte.errors import UsageError
from pancyte.io.bitmaps import write_png
from pancyte.io.images import ERRORS_SUFFIX
from pancyte.viz.errors import error_picture
from pancyte.viz.overlay import readable_magnification
from pancyte.workflows.pictures import class_stems, picture_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from pancyte.types import IntArray

PICTURES: Final = "errors"
"""Folder of the pictures of errors, below that of the scores."""


class ErrorNames:
    """Names the pictures of all images, each of them once.

    Parameters
    ----------
    folder
        Of the scores.
    stems
        Path of each image without its suffix.

    Raises
    ------
    UsageError
        Two of them are the same, but for the case of letters.
    """

    def __init__(self, folder: Path, stems: Sequence[Path]) -> None:
        self._folder = folder / PICTURES
        self._stems = stems
        self._planned: dict[tuple[Path, tuple[str, ...]], dict[str, Path]] = {}
        self._taken: set[str] = set()
        _take(stems, set())

    def plan_all(self, classes: Sequence[str]) -> None:
        """Name the pictures of all images, of the same classes each; see :meth:`plan`."""
        for stem in self._stems:
            self.plan(stem, classes)

    def plan(self, stem: Path, classes: Sequence[str]) -> dict[str, Path]:
        """Return the picture of each class of an image, given its path without suffix.

        Raises
        ------
        UsageError
            A picture of another image has that name.
        """
        key = stem, tuple(classes)
        if key not in self._planned:
            names = _take(class_stems(stem, classes), self._taken)
            paths = [self._folder / name for name in names]
            self._planned[key] = dict(zip(classes, paths, strict=True))
        return self._planned[key]


def _take(stems: Iterable[Path], taken: set[str]) -> list[Path]:
    """Return the pictures of stems, and add them to those that are taken already."""
    names = [path.with_name(path.name + ERRORS_SUFFIX) for path in stems]
    for name in names:
        # Letter case does not tell names apart, since it does not on every file system.
        folded = name.as_posix().casefold()
        if folded in taken:
            msg = (
                f"{name}: would be the picture of two images or classes. Rename one of the "
                "images, or leave pictures out with --set pictures=false."
            )
            raise UsageError(msg)
        taken.add(folded)
    return names


def draw_errors(
    path: Path, pixels: npt.NDArray[np.generic] | None, truth: IntArray, prediction: IntArray
) -> None:
    """Write the picture of one class, in a size that can be looked at.

    Parameters
    ----------
    path
        PNG file to write.
    pixels
        Image of shape (C, Y, X); None draws on black.
    truth, prediction
        Labels of shape (Y, X). A small image is magnified, and of a large one only every n-th
        pixel is shown, as in the pictures of a prediction; the counts are those of all objects.
    """
    shape = truth.shape[0], truth.shape[1]
    picture = error_picture(
        pixels,
        truth,
        prediction,
        magnification=readable_magnification(shape),
        step=picture_step(shape),
    )
    write_png(path, picture)
