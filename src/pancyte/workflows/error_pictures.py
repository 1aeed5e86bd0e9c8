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
    """Names the pictures of all images, each of them once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / PICTURES
        self._planned: dict[Path, dict[str, Path]] = {}
        self._taken: set[str] = set()

    def check(self, stems: Iterable[Path], classes: Sequence[str]) -> None:
        """Name the pictures of all images, of the same classes each; see :meth:`plan`."""
        for stem in stems:
            self.plan(stem, classes)

    def plan(self, stem: Path, classes: Sequence[str]) -> dict[str, Path]:
        """Return the picture of each class of an image, given its path without suffix.

        Raises
        ------
        UsageError
            A picture of another image has that name.
        """
        if stem in self._planned:
            return self._planned[stem]
        names = [path.with_name(path.name + ERRORS_SUFFIX) for path in class_stems(stem, classes)]
        for name in names:
            folded = name.as_posix().casefold()
            if folded in self._taken:
                msg = (
                    f"{name}: would be the picture of two images or classes. Rename one of the "
                    "images, or leave pictures out with --set pictures=false."
                )
                raise UsageError(msg)
            self._taken.add(folded)
        paths = [self._folder / name for name in names]
        self._planned[stem] = dict(zip(classes, paths, strict=True))
        return self._planned[stem]


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
