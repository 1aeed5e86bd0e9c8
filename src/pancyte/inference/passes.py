"""One image on its way through a model, at one scale or at several until the scale is settled."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pancyte.inference.blocks import Blocks, find_objects
from pancyte.inference.scale import (
    OTHER_SCALES,
    Probe,
    Settled,
    median_diameter,
    search_scale,
    settle_scale,
)
from pancyte.inference.sizes import Look, look_at, seen_at, settle_by_sizes, typical_size
from pancyte.inference.tiles import TiledMaps, Tiling
from pancyte.inference.windows import Content, content_at, content_of, sample_windows
from pancyte.ops.labels import keep_largest_component
from pancyte.ops.measure import measure_objects
from pancyte.ops.resample import resize_labels, scaled_shape
from pancyte.types import ObjectTable, Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from pancyte.inference.tta import Predictor
    from pancyte.inference.view import View
    from pancyte.protocols import Task
    from pancyte.types import FloatArray, Window

# The size of objects is estimated from samples where an image has more pixels for the network.
_SAMPLE_PIXELS: Final = 2**22
# A look at sizes alone sees so many; that is half a second, and hundreds of objects of the size
# that the network knows.
_LOOK_PIXELS: Final = 2**20
# A scale that a look has confirmed is very likely the final one: up to this size of the image it is
# checked on all of it, so that nothing has to be segmented twice, else on a sample.
_CHECK_PIXELS: Final = 2**24
_CHECK_SAMPLE_PIXELS: Final = 2**20
# Labels of no more pixels of the image than these are held while the scale is sought.
_HELD_PIXELS: Final = 2**25
# Where samples show nothing, all of the image is looked at, with no more pixels than these.
_ALL_PIXELS: Final = 2**24
# Scales within this factor of each other are not both tried for that.
_ALIKE: Final = 1.25


@dataclass(slots=True, eq=False)
class _Kept:
    """What is remembered of one image while its scale is sought."""

    whole: dict[float, Segmentation] = field(default_factory=dict)
    """Passes over all of it, by their scale."""
    content: Content | None = None
    """Where it shows something."""


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Segments one image at any scale.

    Notes
    -----
    The two latest passes over all of the image are held until one of them is the final one, if it
    has at most 2^25 pixels: 8 * K bytes a pixel, so at most 268 MB a class. Of a larger image no
    labels are held: what is segmented while the scale is sought are samples of it, which together
    have at most so many pixels. While the final pass is computed, no other labels are held.
    """

    task: Task
    """Says how objects are found in the maps."""
    predictor: Predictor
    """Looks at the tiles."""
    view: View
    """The image at its own scale."""
    tiling: Tiling
    blocks: Blocks
    scout: Predictor | None = None
    """Looks at the tiles where only the scale is estimated, for which one network and no flips
    suffice; None: ``predictor``."""
    large: float | None = None
    """Diameter of large objects in pixels of the network's input; None where it is not known."""
    on_tile: Callable[[int, int], None] | None = None
    """Called with the number of finished tiles and that of all tiles of a pass."""
    _kept: _Kept = field(default_factory=_Kept)

    def settle(self, target: float) -> Settled:
        """Estimate the scale at which objects have the target diameter.

        Where samples of the image show no object, all of it is looked at; what is seen then says
        where the samples of a second search lie. Without a diameter if nothing was found.
        """
        settled = self._search(target)
        if settled.diameter is None and self._look_everywhere(target):
            settled = self._search(target)
        return settled

    def segment(self, scale: float) -> Segmentation:
        """Segment the whole image at a scale; labels have the image's own size."""
        found = self._kept.whole.pop(scale, None)
        self._kept.whole.clear()
        return self._segment(self.view, scale, self.predictor) if found is None else found

    def _search(self, target: float) -> Settled:
        shape = self.view.shape

        def look(scale: float) -> Look | None:
            return self._look(scale, target)

        # A network that knows no sizes is asked for objects at several scales.
        by_sizes = settle_by_sizes(look, self._check, shape, target=target)
        return by_sizes or settle_scale(self._probe, shape, target=target)

    def _whole(self, scale: float) -> Segmentation:
        latest = self._kept.whole
        if scale not in latest:
            for old in list(latest)[:-1]:
                del latest[old]
            latest[scale] = self._segment(self.view, scale, self.predictor)
        return latest[scale]

    def _windows(self, scale: float, most_pixels: float) -> list[Window]:
        windows = sample_windows(self.view.shape, scale, most_pixels=most_pixels)
        if len(windows) == 1:
            return windows
        if self._kept.content is None:
            self._kept.content = content_of(self.view)
        content = self._kept.content
        return sample_windows(self.view.shape, scale, most_pixels=most_pixels, content=content)

    def _look(self, scale: float, target: float) -> Look | None:
        views = [self.view.cropped(window) for window in self._windows(scale, _LOOK_PIXELS)]
        resized = [view.resized(scaled_shape(view.shape, scale)) for view in views]
        found = look_at(self.scout or self.predictor, resized, tile=self.tiling.tile)
        if found is None:
            return None
        probabilities, sizes = found
        seen = typical_size(probabilities, sizes, target=target)
        return Look(scale, None if seen is None else seen / scale)

    def _look_everywhere(self, target: float) -> bool:
        """Look at all of the image where samples showed nothing; remember where objects are."""
        shape = self.view.shape
        pixels = shape[0] * shape[1]
        tried: list[float] = []
        for wanted in (1.0, *OTHER_SCALES):
            limit = math.sqrt(_ALL_PIXELS / pixels)
            scale = min(search_scale(wanted, shape, target), limit)
            if pixels * scale**2 <= _LOOK_PIXELS or any(
                1 / _ALIKE <= scale / other <= _ALIKE for other in tried
            ):
                continue
            tried.append(scale)
            rows, columns = self._seen_in_all(scale, target)
            if len(rows):
                self._kept.content = content_at(shape, rows / scale, columns / scale)
                return True
        return False

    def _seen_in_all(self, scale: float, target: float) -> tuple[FloatArray, FloatArray]:
        """Return the rows and columns of what is seen, in pixels of the resized image."""
        scout = self.scout or self.predictor
        resized = self.view.resized(scaled_shape(self.view.shape, scale))
        seen = seen_at(scout, resized, tile=self.tiling.tile, target=target)
        if seen is not None:
            return seen
        maps = TiledMaps(scout, resized, tiling=self.tiling, on_tile=self.on_tile)
        found = find_objects(
            self.task, maps, resized.shape, scale=1.0, blocks=self.blocks, diameter=self.large
        )
        table = measured(found)
        return table["centroid-0"], table["centroid-1"]

    def _check(self, scale: float) -> Probe:
        pixels = self.view.shape[0] * self.view.shape[1] * scale**2
        is_final = self.scout is None and pixels <= _CHECK_PIXELS
        return self._probe(scale, most_pixels=_CHECK_PIXELS if is_final else _CHECK_SAMPLE_PIXELS)

    def _probe(self, scale: float, *, most_pixels: int | None = None) -> Probe:
        most = min(most_pixels or _SAMPLE_PIXELS, _HELD_PIXELS * scale**2)
        windows = self._windows(scale, most)
        if len(windows) == 1 and self.scout is None:
            parts = [self._whole(scale)]
        else:
            scout = self.scout or self.predictor
            parts = [self._segment(self.view.cropped(window), scale, scout) for window in windows]
        tables = [measured(part) for part in parts]
        objects = ObjectTable(
            {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        )
        covered = float((objects["area"] * objects["score"]).sum())
        size = sum(part.labels.size for part in parts)
        return Probe(scale, median_diameter(objects), covered / size)

    def _segment(self, view: View, scale: float, predictor: Predictor) -> Segmentation:
        shape = view.shape
        resized = view.resized(scaled_shape(shape, scale))
        maps = TiledMaps(predictor, resized, tiling=self.tiling, on_tile=self.on_tile)
        # Contours are as fine as the image where the network saw less of it. Where it saw more,
        # objects are found in what it saw, and made smaller.
        finer = min(scale, 1.0)
        found = find_objects(
            self.task,
            maps,
            shape if scale <= 1.0 else resized.shape,
            scale=finer,
            blocks=self.blocks,
            diameter=None if self.large is None else self.large / finer,
        )
        return found if scale <= 1.0 else _shrink(found, shape)


def _shrink(found: Segmentation, shape: tuple[int, int]) -> Segmentation:
    """Give labels a smaller size; objects that vanish leave the table, none falls apart."""
    planes, rows = [], []
    offset = 0
    for plane in found.labels:
        small = keep_largest_component(resize_labels(plane, shape))
        count = int(plane.max(initial=0))
        kept = np.bincount(small.ravel(), minlength=count + 1)[1:] > 0
        new_ids = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)
        planes.append(new_ids[small])
        rows.append(offset + np.flatnonzero(kept))
        offset += count
    objects = found.objects.select(np.concatenate(rows))
    labels = [np.arange(1, len(kept_rows) + 1, dtype=np.int32) for kept_rows in rows]
    objects = objects.with_columns({"label": np.concatenate(labels)})
    return replace(found, labels=np.stack(planes), objects=objects)


def measured(found: Segmentation) -> ObjectTable:
    """Return the table of objects with what the labels alone tell."""
    return with_measurements(found, measure_objects(found.labels))


def with_measurements(
    found: Segmentation, measurements: Mapping[str, npt.NDArray[Any]]
) -> ObjectTable:
    """Join both tables, whose rows are in the same order; class stays a name."""
    added = {name: column for name, column in measurements.items() if name not in found.objects}
    return found.objects.with_columns(added)
