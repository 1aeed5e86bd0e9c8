"""``Model``: a task, a trained network and where they come from; ``segment`` does the work.

::

    array or file -> Image -> preprocess -> scale -> tiles -> maps -> Task.decode -> Segmentation
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pancyte.errors import UsageError
from pancyte.inference.inputs import name_of, open_source
from pancyte.inference.scale import (
    Probe,
    Settled,
    limit_scale,
    limited_message,
    median_diameter,
    sample_windows,
    settle_scale,
)
from pancyte.inference.tiles import Tiling, predict_tiles
from pancyte.ops.labels import keep_largest_component
from pancyte.ops.measure import measure_objects
from pancyte.ops.preprocess import preprocess
from pancyte.ops.resample import resize_image, resize_labels, resize_maps, scaled_shape
from pancyte.types import Image, ObjectTable, Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import nn

    from pancyte.protocols import Task
    from pancyte.runtime import Precision
    from pancyte.types import FloatArray

# The size of objects is estimated from samples where an image has more pixels for the network.
_SAMPLE_PIXELS: Final = 2**22


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Model:
    """A trained network with the task that says how to use it. Calls leave it as it is."""

    task: Task
    """Classes, preprocessing and decoding."""
    network: nn.Module
    """On the device where it runs."""
    name: str = "model"
    """For messages and records of results."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """What is stored with the weights, such as ``provenance``."""
    precision: Precision = "float32"
    """What convolutions are computed in."""
    tiling: Tiling = field(default_factory=Tiling)
    """Size and overlap of the tiles that the network sees."""

    def __repr__(self) -> str:
        # The network alone would fill two hundred lines.
        return f"Model({self.name!r}, classes={self.classes}, precision={self.precision!r})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the label planes."""
        return self.task.classes

    @property
    def trained_diameters(self) -> tuple[float, float, float] | None:
        """The 1st, 50th and 99th percentile of diameters in training, in the network's pixels."""
        values = self.manifest.get("provenance", {}).get("diameters")
        return tuple(values) if values and values[2] > 0 else None

    def segment(
        self,
        source: Path | str | npt.NDArray[Any] | Image,
        *,
        axes: str | None = None,
        channels: str | Sequence[int | str] | None = None,
        spacing: tuple[float, ...] | None = None,
        diameter: float | None = None,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Segmentation:
        """Find the objects in a 2D image.

        Parameters
        ----------
        source
            An image file, an array, or an :class:`~pancyte.types.Image`. An array of shape (Y, X)
            is gray; any other needs ``axes``. Integers, floats and booleans of any range.
        axes
            One letter for each axis, such as ``YXC`` or ``CYX``.
        channels
            Indices or names of the channels to use, such as ``"0,2"``; None uses all.
        spacing
            Micrometre per pixel along y and x; wins over the file's.
        diameter
            Typical diameter of the objects in pixels of the image; None estimates it.
        on_tile
            Called with the number of finished tiles and that of all tiles, for each pass.

        Returns
        -------
        Segmentation
            Labels (K, Y, X) of the size of the image, ids 1..n in each class, each of them one
            connected component. Its table has the columns class, label and score, and those of
            :func:`pancyte.ops.measure.measure_objects`, intensities measured in the pixels as they
            were given. What the user should know is in ``warnings``.

        Raises
        ------
        UsageError
            An argument does not fit, the axes are not known, or the image is a stack.
        InputError
            The file cannot be read.

        Notes
        -----
        Without ``diameter`` the image is segmented at two or three scales, large images in samples
        of 4 megapixels. Memory in bytes: 4 * (5 * K + C + 1) for each pixel of the image or of the
        resized image, whichever is larger, and what one tile and decoding need.
        """
        image, notes = open_source(source, axes=axes, channels=channels, spacing=spacing)
        try:
            pixels = preprocess(image.pixels, self.task.preprocessing)
        except ValueError as error:
            msg = (
                f"{name_of(source)}: {error}. Choose the ones to segment with channels "
                "(pancyte predict --channels 0,2)."
            )
            raise UsageError(msg) from error
        run = _Run(self, pixels, on_tile)
        settled = self._settle(run, diameter)
        found = run.segment(settled.scale)
        warnings = notes + settled.warnings + self._check_sizes(found, settled.scale, diameter)
        table = measure_objects(found.labels, image.pixels, image.spacing)
        return replace(
            found,
            objects=_with_measurements(found, table),
            spacing=image.spacing,
            scale=settled.scale,
            warnings=warnings,
        )

    def _settle(self, run: _Run, diameter: float | None) -> Settled:
        target = self.task.preprocessing.diameter
        if diameter is None:
            return Settled(1.0, None) if target is None else run.settle(target)
        if target is None:
            msg = (
                f"diameter {diameter}: the model {self.name} sees every image at its own scale, "
                "so that a diameter changes nothing. Leave it out."
            )
            raise UsageError(msg)
        if not 0 < diameter < np.inf:
            msg = f"Expected diameter to be a positive number of pixels, but got {diameter}"
            raise UsageError(msg)
        wanted = target / diameter
        scale = limit_scale(wanted, run.shape)
        warnings: tuple[str, ...] = ()
        if not 0.99 < wanted / scale < 1.01:
            warnings = (limited_message(scale, wanted),)
        return Settled(scale, diameter, warnings)

    def _check_sizes(
        self, found: Segmentation, scale: float, diameter: float | None
    ) -> tuple[str, ...]:
        """Say where the objects are not of the size that was given, or that was trained on."""
        measured = median_diameter(_measured(found))
        if measured is None:
            return ()
        warnings = []
        if diameter is not None and not 0.5 <= measured / diameter <= 2.0:
            warnings.append(
                f"The objects found have a median diameter of {measured:.0f} pixels, but "
                f"{diameter:g} was given. Check the diameter, or leave it out to estimate it."
            )
        trained = self.trained_diameters
        if trained is not None and not trained[0] <= measured * scale <= trained[2]:
            warnings.append(
                f"The objects have a median diameter of {measured * scale:.0f} pixels as the "
                f"network sees them, outside of the {trained[0]:.0f} to {trained[2]:.0f} that it "
                "was trained on. The result may be poor; give the diameter in pixels."
            )
        return tuple(warnings)


class _Run:
    """One image on its way through a model; remembers the two latest passes over all of it."""

    def __init__(
        self, model: Model, pixels: FloatArray, on_tile: Callable[[int, int], None] | None
    ) -> None:
        self.model = model
        self.pixels = pixels
        self.shape = (pixels.shape[1], pixels.shape[2])
        self.on_tile = on_tile
        self._latest: dict[float, Segmentation] = {}

    def settle(self, target: float) -> Settled:
        """Estimate the scale at which objects have the target diameter."""
        return settle_scale(self._probe, self.shape, target=target)

    def segment(self, scale: float) -> Segmentation:
        """Segment the whole image at a scale; labels have the image's own size."""
        if scale not in self._latest:
            self._latest = dict(list(self._latest.items())[-1:])
            self._latest[scale] = self._segment(self.pixels, scale)
        return self._latest[scale]

    def _probe(self, scale: float) -> Probe:
        windows = sample_windows(self.shape, scale, most_pixels=_SAMPLE_PIXELS)
        if len(windows) == 1:
            parts = [self.segment(scale)]
        else:
            parts = [self._segment(self.pixels[:, rows, cols], scale) for rows, cols in windows]
        tables = [_measured(part) for part in parts]
        objects = ObjectTable(
            {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        )
        covered = float((objects["area"] * objects["score"]).sum())
        size = sum(part.labels.size for part in parts)
        return Probe(scale, median_diameter(objects), covered / size)

    def _segment(self, pixels: FloatArray, scale: float) -> Segmentation:
        model = self.model
        shape = (pixels.shape[1], pixels.shape[2])
        maps = predict_tiles(
            model.task,
            model.network,
            resize_image(pixels, scaled_shape(shape, scale)),
            tiling=model.tiling,
            precision=model.precision,
            on_tile=self.on_tile,
        )
        if scale <= 1.0:
            # Contours are as fine as the image, although the network saw less.
            return model.task.decode(resize_maps(maps, shape), scale=scale)
        return _shrink(model.task.decode(maps), shape)


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


def _measured(found: Segmentation) -> ObjectTable:
    return _with_measurements(found, measure_objects(found.labels))


def _with_measurements(
    found: Segmentation, measurements: Mapping[str, npt.NDArray[Any]]
) -> ObjectTable:
    """Join both tables, whose rows are in the same order; class stays a name."""
    added = {name: column for name, column in measurements.items() if name not in found.objects}
    return found.objects.with_columns(added)
