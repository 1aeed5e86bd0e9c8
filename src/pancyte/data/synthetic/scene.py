"""What scenes of blobs have: a field of view, and how large and how many its objects are.

Bacteria, cells with nuclei and images without objects have settings of their own. A scene is made
larger than the image by a diameter on each side and then cut, so that objects at the border are cut
there, as a field of view cuts them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.data.synthetic.ranges import check_ranges
from pancyte.ops.labels import fill_holes, keep_largest_component, make_consecutive, remove_small
from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import IntArray

SMALLEST: Final = 15
"""Pixels below which a piece that the border cuts off is dropped."""

# Of the square about a circle, the circle.
_CIRCLE = 0.785


@params
class Scene:
    """The field of view, and its objects as a crowd."""

    shape: tuple[int, int] = (256, 256)
    """Height and width of the image in pixels, each at least 16."""
    diameter: float = 30.0
    """Median diameter of an object in pixels, 5 to 400."""
    spread: float = 0.2
    """Standard deviation of the natural logarithm of the diameter, 0 to 0.6."""
    cover: float = 0.3
    """Part of the image (of a section, of its epithelium) that objects cover, about, 0 to 1."""

    def __post_init__(self) -> None:
        check_ranges(
            {
                "shape": (min(self.shape), 16, math.inf),
                "diameter": (self.diameter, 5, 400),
                "spread": (self.spread, 0, 0.6),
                "cover": (self.cover, 0, 1),
            }
        )

    @property
    def larger(self) -> tuple[int, int]:
        """Height and width of what is drawn, before it is cut."""
        margin = round(self.diameter)
        return self.shape[0] + 2 * margin, self.shape[1] + 2 * margin

    @property
    def window(self) -> tuple[slice, slice]:
        """Where the image lies in what is drawn."""
        margin = round(self.diameter)
        height, width = self.shape
        return slice(margin, margin + height), slice(margin, margin + width)

    def count(self, *, least: int = 1, filling: float = _CIRCLE) -> int:
        """Return how many objects cover as much of what is drawn as they shall.

        Parameters
        ----------
        least
            Of objects, however little they cover.
        filling
            Area of an object over the square of its diameter.
        """
        area = math.prod(self.larger)
        return max(least, round(self.cover * area / (filling * self.diameter**2)))

    def draw_diameters(self, count: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return diameters (count,), log-normal about their median, without the far ends."""
        ends = np.clip(generator.standard_normal(count), -2.5, 2.5)
        return np.asarray(self.diameter * np.exp(self.spread * ends))

    def cut(self, labels: IntArray) -> IntArray:
        """Return what the field of view shows of the labels of what was drawn.

        Returns
        -------
        IntArray of shape ``shape``
            Ids 1..n of single components without holes; crumbs at the border are background.
        """
        inside = np.ascontiguousarray(labels[self.window])
        whole = fill_holes(keep_largest_component(inside))
        return make_consecutive(remove_small(whole, SMALLEST))
