"""The values that travel between the parts of pancyte, checked once when they are made.

Axes are fixed here, whatever a file used: images are ``(C, [Z,] Y, X)`` float32, labels are
``(K, [Z,] Y, X)`` int32 with one plane for each of K classes (a nucleus lies inside its cell),
vectors are in axis order, and spacing is in micrometre for each spatial axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pancyte.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.float32 | np.uint8 | np.uint16]
"""Intensities as a file has them, where float32 would take two or four times the memory."""
Column = npt.NDArray[Any]
Window = tuple[slice, slice]
"""Rows and columns of an image, each with a start and a stop."""

ArrayT = TypeVar("ArrayT", "npt.NDArray[np.float32]", "Tensor")


_PIXEL_TYPES = (np.dtype(np.float32), np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Pixels with what is known about them."""

    pixels: Pixels
    """(C, Y, X) or (C, Z, Y, X), finite; float32, or uint8 or uint16 as in the file."""
    spacing: tuple[float, ...] | None = None
    """Micrometre per pixel along each spatial axis, [z,] y, x; None where the file does not say."""
    channels: tuple[str, ...] = ()
    """Names of the channels; empty where the file does not say."""

    def __post_init__(self) -> None:
        if self.pixels.ndim not in (3, 4):
            msg = f"Expected pixels of shape (C, Y, X) or (C, Z, Y, X), but got {self.pixels.shape}"
            raise ValueError(msg)
        if self.pixels.dtype not in _PIXEL_TYPES:
            msg = f"Expected pixels of type float32, uint8 or uint16, but got {self.pixels.dtype}"
            raise TypeError(msg)
        _check_spacing(self.spacing, self.pixels.ndim - 1)
        if self.channels and len(self.channels) != self.pixels.shape[0]:
            msg = f"Expected {self.pixels.shape[0]} channel names, but got {self.channels}"
            raise ValueError(msg)

    @property
    def ndim(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return self.pixels.ndim - 1


@dataclass(frozen=True, slots=True, eq=False)
class Maps(Generic[ArrayT]):
    """Dense network output that says what it is, so that tiles, flips and blocks need no task code.

    Numpy arrays of one image, or torch tensors of a batch with one more axis in front.
    """

    scalars: ArrayT
    """([B,] S, *space): probabilities or distances; unchanged by flips and turns."""
    vectors: ArrayT
    """([B,] V, D, *space): fields with one component per spatial axis; flips change their signs."""

    def __post_init__(self) -> None:
        if self.vectors.ndim != self.scalars.ndim + 1:
            msg = (
                "Expected vectors with one axis more than scalars, but got "
                f"{tuple(self.vectors.shape)} and {tuple(self.scalars.shape)}"
            )
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTable(Mapping[str, Column]):
    """One row per object in named columns of equal length.

    Names are those of scikit-image's ``regionprops_table``.

    Examples
    --------
    >>> table = ObjectTable({"label": np.array([1, 2]), "area": np.array([30, 41])})
    >>> table.num_objects, int(table["area"].max())
    (2, 41)
    """

    columns: Mapping[str, Column]
    """Name to array of shape (num_objects,)."""

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            msg = f"Expected columns of equal length, but got {lengths}"
            raise ValueError(msg)

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def num_objects(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def select(self, rows: BoolArray | npt.NDArray[np.integer]) -> ObjectTable:
        """Return the table of the given rows (a mask or indices), in that order."""
        return ObjectTable({name: column[rows] for name, column in self.columns.items()})

    def with_columns(self, columns: Mapping[str, Column]) -> ObjectTable:
        """Return the table with columns added or replaced."""
        return ObjectTable({**self.columns, **columns})

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas data frame; pandas comes with the extra ``pancyte[pandas]``."""
        try:
            import pandas as pd  # noqa: PLC0415 - optional and slow to import
        except ImportError as error:
            msg = "to_pandas() needs pandas. Install it with: pip install 'pancyte[pandas]'"
            raise UsageError(msg) from error
        return pd.DataFrame(dict(self.columns))


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """What every prediction returns: labels, and a table with one row per object."""

    labels: IntArray
    """(K, Y, X) or (K, Z, Y, X) int32, ids 1..n in each class plane, 0 is background."""
    objects: ObjectTable
    """Columns class, label and score, and the measurements of :mod:`pancyte.ops.measure`."""
    classes: tuple[str, ...]
    """Names of the K classes, in plane order."""
    spacing: tuple[float, ...] | None = None
    """Micrometre per pixel along each spatial axis, or None."""
    scale: float = 1.0
    """Factor by which the image was resized before the network saw it."""
    warnings: tuple[str, ...] = ()
    """What the user should know before trusting the result, one sentence or two each."""

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int32:
            msg = f"Expected labels of type int32, but got {self.labels.dtype}"
            raise TypeError(msg)
        if self.labels.shape[0] != len(self.classes):
            msg = (
                f"Expected one label plane for each of the classes {self.classes}, "
                f"but got labels of shape {self.labels.shape}"
            )
            raise ValueError(msg)
        _check_spacing(self.spacing, self.labels.ndim - 1)


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of an image is looked at, where a large one is decoded block by block."""

    image_size: int
    """Number of pixels of the whole image, of the size that the part is taken from."""
    open_sides: tuple[tuple[bool, bool], ...]
    """For each spatial axis whether the image goes on before the part and after it."""

    def cut(self, boxes: npt.NDArray[np.integer], shape: tuple[int, ...]) -> BoolArray:
        """Return which objects reach an open side, so that a part of them may be unseen.

        Parameters
        ----------
        boxes
            (n, 2 * D) half-open bounding boxes, all lower corners before all upper ones.
        shape
            Size of the part along the D axes.

        Examples
        --------
        >>> part = Part(900, ((False, True), (False, False)))
        >>> part.cut(np.array([[0, 0, 3, 3], [5, 0, 10, 3]]), (10, 30))
        array([False,  True])
        """
        result = np.zeros(len(boxes), dtype=np.bool_)
        for axis, (before, after) in enumerate(self.open_sides):
            result |= before & (boxes[:, axis] == 0)
            result |= after & (boxes[:, axis + len(shape)] == shape[axis])
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image with its labels, in memory."""

    image: FloatArray
    """(C, [Z,] Y, X) float32, normalized."""
    labels: IntArray
    """(K, [Z,] Y, X) int32; ids of one plane are unique in that plane."""
    valid: BoolArray | None = None
    """(K, [Z,] Y, X), where the annotation can be trusted; None means everywhere."""

    def __post_init__(self) -> None:
        if self.image.shape[1:] != self.labels.shape[1:]:
            msg = (
                "Expected image and labels of the same size, but got "
                f"{self.image.shape} and {self.labels.shape}"
            )
            raise ValueError(msg)
        if self.valid is not None and self.valid.shape != self.labels.shape:
            msg = f"Expected valid of shape {self.labels.shape}, but got {self.valid.shape}"
            raise ValueError(msg)


def _check_spacing(spacing: tuple[float, ...] | None, ndim: int) -> None:
    if spacing is None:
        return
    if len(spacing) != ndim or not all(np.isfinite(s) and s > 0 for s in spacing):
        msg = f"Expected {ndim} positive micrometre values as spacing, but got {spacing}"
        raise ValueError(msg)
