"""Size, place and brightness of every object, in one pass over labels and pixels.

Columns are named as in scikit-image's ``regionprops_table``, with ``class`` in front. Boxes are
half-open. The diameter is that of the circle with the object's area. Columns in micrometre end in
``_um`` or ``_um2`` and exist only where the spacing is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from pancyte.ops.ids import compact_ids
from pancyte.ops.labels import touches_border

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.types import Column, FloatArray, IntArray, Pixels

_BAND = 512  # rows that are measured at once, so that no second copy of a large plane is made


def measure_objects(
    labels: npt.NDArray[np.integer],
    pixels: Pixels | None = None,
    spacing: tuple[float, ...] | None = None,
) -> dict[str, Column]:
    """Measure every object of every class plane.

    Parameters
    ----------
    labels
        Labels of shape (K, Y, X), one plane per class.
    pixels
        Image of shape (C, Y, X), whose mean is taken inside each object; None leaves that out.
    spacing
        Micrometre per pixel along y and x, or None.

    Returns
    -------
    dict of str to ndarray of shape (num_objects,)
        ``class`` (index of the plane), ``label``, ``area``, ``centroid-0``, ``centroid-1``,
        ``bbox-0`` to ``bbox-3`` (y0, x0, y1, x1), ``diameter``, ``intensity_mean-<c>`` for each
        channel, ``touches_border``, and with a spacing ``area_um2``, ``diameter_um``,
        ``centroid-0_um``, ``centroid-1_um``. Rows are ordered by class, then by label; none for
        empty labels.

    Raises
    ------
    ValueError
        If a shape is not as above, or the sizes of labels and pixels differ.

    Examples
    --------
    >>> table = measure_objects(np.array([[[0, 1, 1], [0, 1, 1], [0, 0, 0]]]), spacing=(0.5, 0.5))
    >>> table["area"], table["centroid-1"], table["bbox-3"], table["area_um2"]
    (array([4.]), array([1.5]), array([3]), array([1.]))
    """
    _check_shapes(labels, pixels, spacing)
    channels = np.zeros((0, *labels.shape[1:]), np.float32) if pixels is None else pixels
    planes = [_measure_plane(plane, k, channels) for k, plane in enumerate(labels)]
    columns = {name: np.concatenate([plane[name] for plane in planes]) for name in planes[0]}
    if spacing is not None:
        columns |= _in_micrometre(columns, spacing)
    return columns


def _check_shapes(
    labels: npt.NDArray[np.integer],
    pixels: Pixels | None,
    spacing: tuple[float, ...] | None,
) -> None:
    if labels.ndim != 3 or labels.shape[0] == 0:
        msg = f"Expected labels of shape (K, Y, X) with at least one class, but got {labels.shape}"
        raise ValueError(msg)
    if pixels is not None and (pixels.ndim != 3 or pixels.shape[1:] != labels.shape[1:]):
        msg = (
            f"Expected pixels of shape (C, Y, X) as large as the labels {labels.shape}, "
            f"but got {pixels.shape}"
        )
        raise ValueError(msg)
    if spacing is not None and len(spacing) != 2:
        msg = f"Expected a spacing for y and x, but got {spacing}"
        raise ValueError(msg)


def _measure_plane(
    plane: npt.NDArray[np.integer], class_index: int, pixels: Pixels
) -> dict[str, Column]:
    bands = [slice(y, y + _BAND) for y in range(0, len(plane), _BAND)]
    ids = np.unique(np.concatenate([np.zeros(1, np.int32), *_ids_of(plane, bands)]))
    num_objects = len(ids) - 1
    sums = np.zeros((num_objects + 1, 3 + len(pixels)))
    boxes = _no_boxes(num_objects)
    for rows in bands:
        compact, present = compact_ids(plane[rows])
        place = np.searchsorted(ids, present)
        band_sums, band_boxes = np.zeros((len(place), sums.shape[1])), _no_boxes(len(place) - 1)
        channels = np.ascontiguousarray(pixels[:, rows], dtype=np.float32)
        _accumulate(compact, channels, rows.start, band_sums, band_boxes)
        sums[place] += band_sums
        boxes[place, :2] = np.minimum(boxes[place, :2], band_boxes[:, :2])
        boxes[place, 2:] = np.maximum(boxes[place, 2:], band_boxes[:, 2:])
    area = sums[1:, 0]
    means = sums[1:, 1:] / area[:, None]
    return {
        "class": np.full(num_objects, class_index, dtype=np.int32),
        "label": ids[1:],
        "area": area,
        "centroid-0": means[:, 0],
        "centroid-1": means[:, 1],
        **{f"bbox-{side}": boxes[1:, side] for side in range(4)},
        "diameter": 2.0 * np.sqrt(area / np.pi),
        **{f"intensity_mean-{c}": means[:, 2 + c] for c in range(len(pixels))},
        "touches_border": np.isin(ids[1:], touches_border(plane)),
    }


def _ids_of(plane: npt.NDArray[np.integer], bands: Sequence[slice]) -> list[IntArray]:
    return [compact_ids(plane[rows])[1] for rows in bands]


def _no_boxes(num_objects: int) -> npt.NDArray[np.int64]:
    boxes = np.zeros((num_objects + 1, 4), dtype=np.int64)
    boxes[:, :2] = np.iinfo(np.int64).max
    return boxes


def _in_micrometre(columns: dict[str, Column], spacing: tuple[float, ...]) -> dict[str, Column]:
    area = columns["area"] * spacing[0] * spacing[1]
    return {
        "area_um2": area,
        "diameter_um": 2.0 * np.sqrt(area / np.pi),
        "centroid-0_um": columns["centroid-0"] * spacing[0],
        "centroid-1_um": columns["centroid-1"] * spacing[1],
    }


@njit(cache=True, nogil=True)
def _accumulate(
    labels: IntArray,
    pixels: FloatArray,
    first_row: int,
    sums: npt.NDArray[np.float64],
    boxes: npt.NDArray[np.int64],
) -> None:
    # sums: area, sum of y, sum of x, sum of each channel. A run of one id along x is added at once.
    height, width = labels.shape
    for y in range(height):
        x = 0
        while x < width:
            label, start = labels[y, x], x
            while x < width and labels[y, x] == label:
                x += 1
            if label:
                length = x - start
                sums[label, 0] += length
                sums[label, 1] += length * (first_row + y)
                sums[label, 2] += 0.5 * length * (start + x - 1)
                for c in range(pixels.shape[0]):
                    total = 0.0
                    for place in range(start, x):
                        total += pixels[c, y, place]
                    sums[label, 3 + c] += total
                boxes[label, 0] = min(boxes[label, 0], first_row + y)
                boxes[label, 1] = min(boxes[label, 1], start)
                boxes[label, 2] = max(boxes[label, 2], first_row + y + 1)
                boxes[label, 3] = max(boxes[label, 3], x)
