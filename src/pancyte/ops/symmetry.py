"""The eight flips and quarter turns of the plane, for images and for fields of vectors.

::

    identity   1 2    flip_x   2 1    flip_y   3 4    turn_180   4 3
               3 4             4 3             1 2               2 1

    transpose  1 3    turn_90  2 4    turn_270 3 1    anti_transpose  4 2
               2 4             1 3             4 2                    3 1

Each is a swap of both axes (or none), then flips. What a pixel holds moves with it; a vector also
changes: a swap exchanges its components, a flip changes the sign of one.

Arrays are numpy arrays or torch tensors of any device: only indexing, ``swapaxes`` and arithmetic
are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from pancyte.types import Maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.types import ArrayT

SymmetryName = Literal[
    "identity",
    "flip_y",
    "flip_x",
    "turn_180",
    "transpose",
    "turn_90",
    "turn_270",
    "anti_transpose",
]
"""Turns are counterclockwise, as a picture is seen with rows going down."""

Flips = Literal[1, 3, 4, 8] | tuple[SymmetryName, ...]
"""A usual number of symmetries, or names; see :func:`choose_symmetries`."""


@dataclass(frozen=True, slots=True)
class Symmetry:
    """One of the eight ways to lay a square onto itself.

    Examples
    --------
    >>> turn = SYMMETRIES["turn_90"]
    >>> turn.pixels(np.array([[1, 2], [3, 4]], np.float32))
    array([[2., 4.],
           [1., 3.]], dtype=float32)
    >>> turn.inverse == SYMMETRIES["turn_270"]
    True
    """

    swap: bool
    """Whether rows become columns, before the flips."""
    flip_y: bool
    """Whether the order of the rows turns round."""
    flip_x: bool
    """Whether the order of the columns turns round."""

    @property
    def inverse(self) -> Symmetry:
        """What undoes it."""
        if not self.swap:
            return self
        return Symmetry(swap=True, flip_y=self.flip_x, flip_x=self.flip_y)

    def pixels(self, array: ArrayT) -> ArrayT:
        """Move the pixels of an array (..., Y, X), whose sizes swap where the axes do."""
        if self.swap:
            array = array.swapaxes(-1, -2)
        if self.flip_y:
            array = array[..., _backwards(array.shape[-2]), :]
        if self.flip_x:
            array = array[..., _backwards(array.shape[-1])]
        return array

    def vectors(self, array: ArrayT) -> ArrayT:
        """Move and turn the vectors y, x of a field (..., 2, Y, X)."""
        # Indexing by a list copies, so that the signs are those of an array of our own.
        moved = self.pixels(array)[..., [1, 0] if self.swap else [0, 1], :, :]
        for component, flip in enumerate((self.flip_y, self.flip_x)):
            if flip:
                moved[..., component, :, :] *= -1
        return moved

    def maps(self, maps: Maps[ArrayT]) -> Maps[ArrayT]:
        """Move the pixels of all maps, and turn the vectors."""
        return Maps(self.pixels(maps.scalars), self.vectors(maps.vectors))


SYMMETRIES: Final[dict[SymmetryName, Symmetry]] = {
    "identity": Symmetry(swap=False, flip_y=False, flip_x=False),
    "flip_y": Symmetry(swap=False, flip_y=True, flip_x=False),
    "flip_x": Symmetry(swap=False, flip_y=False, flip_x=True),
    "turn_180": Symmetry(swap=False, flip_y=True, flip_x=True),
    "transpose": Symmetry(swap=True, flip_y=False, flip_x=False),
    "turn_90": Symmetry(swap=True, flip_y=True, flip_x=False),
    "turn_270": Symmetry(swap=True, flip_y=False, flip_x=True),
    "anti_transpose": Symmetry(swap=True, flip_y=True, flip_x=True),
}
"""All eight by name."""

_GROUPS: Final[dict[int, tuple[SymmetryName, ...]]] = {
    1: ("identity",),
    3: ("identity", "flip_y", "flip_x"),
    4: ("identity", "flip_y", "flip_x", "turn_180"),
    8: get_args(SymmetryName),
}


def choose_symmetries(chosen: int | Sequence[SymmetryName]) -> tuple[Symmetry, ...]:
    """Return symmetries by their names, or a usual number of them.

    Parameters
    ----------
    chosen
        Different names; or 1 (nothing is moved), 3 (also both flips, as MEDIAR has it), 4 (also
        half a turn) or 8 (all).

    Raises
    ------
    ValueError
        There is no such number or name, or a name stands twice.

    References
    ----------
    Lee et al. 2023, MEDIAR, arXiv:2212.03465, for the three.

    Examples
    --------
    >>> len(choose_symmetries(8)), choose_symmetries(["flip_x"])
    (8, (Symmetry(swap=False, flip_y=False, flip_x=True),))
    """
    names = _GROUPS.get(chosen, ()) if isinstance(chosen, int) else tuple(chosen)
    if not names or len(set(names)) < len(names) or set(names) - set(SYMMETRIES):
        msg = (
            f"Expected flips to be 1, 3, 4, 8, or different ones of {', '.join(SYMMETRIES)}, "
            f"but got {chosen!r}"
        )
        raise ValueError(msg)
    return tuple(SYMMETRIES[name] for name in names)


def _backwards(size: int) -> npt.NDArray[np.int64]:
    # torch takes no slices of negative step.
    return np.arange(size - 1, -1, -1)
