"""Labels to flow and back: every pixel of an object points to its sink; those that meet are one.

:func:`labels_to_flow` draws the vectors that a network learns, :func:`decode_flow` follows
predicted ones and returns the objects, and :func:`flow_error` draws them again for
these and compares::

    labels   1 1 1 . 2 2        flow   > o < . > o        ends   1 at each o, the sinks
    labels  <- pixels that end at one sink, as one component, of a plausible size and field

Planes (Y, X) and volumes (Z, Y, X) go through the same functions. Two fields are known.
``diffusion`` is Cellpose's (:mod:`pancyte.ops.diffusion`), so that its recipes can be reproduced.
``geodesic`` (:mod:`pancyte.ops.geodesic`) points along a short way inside the object, has length 1
on every shape, and never points into another object.

Vectors are directions in space: with a ``spacing``, the sides of a voxel, they have length 1 in
its unit, as if the volume were resampled to cubes. Cellpose does that with ``anisotropy``, which is
``spacing=(anisotropy, 1, 1)`` here.

References
----------
Stringer, Wang, Michaelos, Pachitariu 2021, Cellpose, doi:10.1038/s41592-020-01018-x. Written from
the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from pancyte.ops.diffusion import diffusion_field
from pancyte.ops.geodesic import geodesic_field
from pancyte.ops.ids import as_labels, compact_ids, map_ids
from pancyte.ops.labels import fill_holes, keep_largest_component, touches_border
from pancyte.ops.object_means import mean_per_object, mean_squared_difference
from pancyte.ops.sinks import Components, find_components, locate_components
from pancyte.ops.tracking import follow_flow, label_sinks
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.types import BoolArray, FloatArray, IntArray, Part

FlowField = Literal["diffusion", "geodesic"]
"""How the vectors of an object are drawn."""

# How much more the field of what is cut by a side of the image may err.
_AT_SIDES = 2.0
# Fewest tracks that make a sink, as in Cellpose; fewer only where smaller objects are asked for.
_SINK_COUNT = 11
_LEAST_SINK_COUNT = 3


@params
class FlowDecoding:
    """How objects are found in a foreground probability and a flow."""

    foreground_threshold: float = 0.5
    """Pixels with a higher probability are followed; 0 to 1."""
    flow_threshold: float | None = 0.4
    """Largest error of an object, up to 4; 0 and None keep all objects, as in Cellpose. Twice as
    much is let pass at the sides of the image: a network that sees the half of a cell points beyond
    them, and a quarter of the nuclei there would be lost. Of volumes Cellpose tests none, since its
    vectors lead astray where objects touch."""
    max_iterations: int | None = None
    """Most steps of one pixel; None follows each until it arrives."""
    min_size: int = 15
    """Smallest object in pixels (voxels of a volume)."""
    max_size_fraction: float | None = None
    """Largest object as a part of the image, 0 to 1; None sets no limit."""
    fill_holes: bool = True
    """Whether to fill holes, in a volume cavities, never over other objects."""
    remove_border: int = 0
    """Objects with a pixel in a frame of this width, in pixels of the image, are left out; 0 keeps
    those that the border cuts."""

    def __post_init__(self) -> None:
        ranges = {
            "foreground_threshold": (self.foreground_threshold, 0, 1),
            "flow_threshold": (self.flow_threshold, 0, 4),
            "max_iterations": (self.max_iterations, 1, np.inf),
            "min_size": (self.min_size, 0, np.inf),
            "max_size_fraction": (self.max_size_fraction, 0, 1),
            "remove_border": (self.remove_border, 0, np.inf),
        }
        for name, (value, low, high) in ranges.items():
            if value is not None and not low <= value <= high:
                msg = f"Expected {name} from {low} to {high}, but got {value}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFlow:
    """The n objects of one class."""

    labels: IntArray
    """([Z,] Y, X) ids 1..n."""
    errors: FloatArray
    """(n,) mean squared difference of the flow from the object's own field, 0 to 4."""
    foreground: FloatArray
    """(n,) mean probability of being inside an object, 0 to 1."""
    scores: FloatArray
    """(n,) mean foreground times (1 - error), 0 to 1."""


def labels_to_flow(
    labels: npt.ArrayLike,
    *,
    field: FlowField = "diffusion",
    spacing: Sequence[float] | None = None,
) -> FloatArray:
    """Draw the field of every object of one class.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X), of an integer type, with any ids up to 2**31 - 1.
    field
        ``diffusion`` or ``geodesic``.
    spacing
        Size of a voxel along z, y, x, in micrometre or any other unit; None for cubes.

    Returns
    -------
    FloatArray
        (ndim, [Z,] Y, X) unit vectors [z,] y, x towards the sink of the object; 0 in background.

    Raises
    ------
    ValueError
        If the labels have other axes, the spacing does not fit, or the field is unknown.

    Notes
    -----
    An object in several parts (no shared edge or corner; in a volume, no shared face) has a sink in
    each. Sinks have no direction: their vector is 0, except for ``diffusion`` where heat around
    them is not symmetric.

    Examples
    --------
    >>> labels_to_flow(np.array([[0, 4, 4, 4, 0]]), field="geodesic")[1]
    array([[ 0.,  1.,  0., -1.,  0.]], dtype=float32)
    """
    return _draw(find_components(_check_labels(labels), spacing=spacing), field)


def decode_flow(
    foreground: FloatArray,
    flow: FloatArray,
    settings: FlowDecoding | None = None,
    *,
    field: FlowField = "diffusion",
    part: Part | None = None,
    spacing: Sequence[float] | None = None,
) -> DecodedFlow:
    """Find the objects of one class, with their errors and scores.

    Parameters
    ----------
    foreground
        ([Z,] Y, X) probability of being inside an object.
    flow
        (ndim, [Z,] Y, X) vectors [z,] y, x of length 1 inside objects.
    settings
        Thresholds and limits; None for the defaults.
    field
        The field that the flow was trained on, for its error.
    part
        Which part of an image the maps show; None means all of it. Objects that reach an open side
        are not tested for their error, and the image's size is that of the whole.
    spacing
        Size of a voxel along z, y, x as in :func:`labels_to_flow`; None for cubes.

    Returns
    -------
    DecodedFlow
        Labels with ids 1..n, each one connected component; nothing found gives no object.

    Raises
    ------
    ValueError
        If the shapes do not agree, or the spacing does not fit.

    Notes
    -----
    In order: follow the flow, label the sinks, keep the largest component of each, drop by size,
    drop by error, fill holes, drop at the border (not in a part, whose sides need not be those of
    the image). A sink needs 11 tracks, or ``min_size`` where that is less, so that objects of fewer
    pixels are never found. Perfect flows come back at IoU 0.9 from discs of 13 px upward. Extra
    memory is below 30 bytes per pixel or voxel.

    Examples
    --------
    >>> labels = np.zeros((8, 8), np.int32)
    >>> labels[1:7, 2:6] = 9
    >>> found = decode_flow((labels > 0).astype(np.float32), labels_to_flow(labels))
    >>> int(found.labels.max()), bool(((found.labels > 0) == (labels > 0)).all())
    (1, True)
    """
    settings = FlowDecoding() if settings is None else settings
    _check_maps(foreground, flow)
    labels = _gather(foreground, flow, settings, spacing)
    labels = _keep(labels, _has_size(labels, settings, part))
    # The objects are components already: drawing them needs no search for parts and no copies.
    components = locate_components(labels, spacing=spacing)
    boxes = components.boxes
    own = _draw(components, field)
    errors = mean_squared_difference(labels, own, flow, int(labels.max(initial=0)))
    del own, components
    if settings.flow_threshold:
        limit = np.where(_at_sides(boxes, labels.shape), _AT_SIDES, 1.0) * settings.flow_threshold
        passed = errors <= limit
        if part is not None:
            passed |= part.cut(boxes, labels.shape)
        labels, errors = _keep(labels, passed), errors[passed]
    if settings.fill_holes:
        labels = fill_holes(labels)
    if settings.remove_border and part is None:
        at_border = touches_border(labels, width=settings.remove_border)
        inside = ~np.isin(np.arange(1, len(errors) + 1), at_border)
        labels, errors = _keep(labels, inside), errors[inside]
    means = mean_per_object(labels, foreground, len(errors))
    return DecodedFlow(labels, errors, means, _scores(means, errors))


def flow_to_labels(
    foreground: FloatArray,
    flow: FloatArray,
    settings: FlowDecoding | None = None,
    *,
    field: FlowField = "diffusion",
    spacing: Sequence[float] | None = None,
) -> IntArray:
    """Return the labels alone of :func:`decode_flow`."""
    return decode_flow(foreground, flow, settings, field=field, spacing=spacing).labels


def flow_error(
    labels: npt.ArrayLike,
    flow: FloatArray,
    *,
    field: FlowField = "diffusion",
    spacing: Sequence[float] | None = None,
) -> FloatArray:
    """Compare the flow inside each object with the object's own field.

    Parameters
    ----------
    labels
        Labels of shape (Y, X) or (Z, Y, X).
    flow
        (ndim, [Z,] Y, X) vectors [z,] y, x of length 1.
    field
        The field that the flow was trained on.
    spacing
        Size of a voxel along z, y, x as in :func:`labels_to_flow`; None for cubes.

    Returns
    -------
    FloatArray
        (n,) mean over the object of the squared difference, one value per id, in the order of ids:
        0 where they agree, 2 at right angles, 4 where all vectors are opposite.

    Raises
    ------
    ValueError
        If the shapes do not agree.

    Examples
    --------
    >>> labels = np.array([[1, 1, 1, 0, 2, 2, 2]])
    >>> flow = labels_to_flow(labels)
    >>> flow[:, 0, 4:] *= -1
    >>> flow_error(labels, flow).round(2)
    array([0.  , 2.67], dtype=float32)
    """
    compact, ids = compact_ids(_check_labels(labels))
    expected = (compact.ndim, *compact.shape)
    if flow.shape != expected:
        msg = f"Expected flow of shape {expected} for these labels, but got {flow.shape}"
        raise ValueError(msg)
    own = labels_to_flow(compact, field=field, spacing=spacing)
    return mean_squared_difference(compact, own, flow, len(ids) - 1)


def _scores(foreground: FloatArray, errors: FloatArray) -> FloatArray:
    """Return the mean foreground of objects times (1 - error), not below 0."""
    scores: FloatArray = (foreground * (1 - np.minimum(errors, 1))).astype(np.float32)
    return scores


def _check_labels(labels: npt.ArrayLike) -> IntArray:
    array = as_labels(labels)
    if array.ndim not in (2, 3):
        msg = f"Expected labels of shape (Y, X) or (Z, Y, X), one class, but got {array.shape}"
        raise ValueError(msg)
    return array


def _check_maps(foreground: FloatArray, flow: FloatArray) -> None:
    ndim = foreground.ndim
    if ndim not in (2, 3) or flow.shape != (ndim, *foreground.shape):
        msg = (
            "Expected foreground of shape (Y, X) and flow of shape (2, Y, X), or (Z, Y, X) and "
            f"(3, Z, Y, X), but got {foreground.shape} and {flow.shape}"
        )
        raise ValueError(msg)


def _draw(components: Components, field: FlowField) -> FloatArray:
    if field not in get_args(FlowField):
        msg = f"Expected a field of {', '.join(get_args(FlowField))}, but got {field!r}"
        raise ValueError(msg)
    if field == "geodesic":
        return geodesic_field(components)
    flow = diffusion_field(components)
    lost = (components.labels != 0) & ~flow.any(axis=0)
    # A sink with symmetric heat has no direction. Where more is lost no heat got that far, and the
    # pixels would be trained towards belonging nowhere.
    if np.count_nonzero(lost) > len(components.boxes):
        flow[:, lost] = geodesic_field(components)[:, lost]
    return flow


def _gather(
    foreground: FloatArray,
    flow: FloatArray,
    settings: FlowDecoding,
    spacing: Sequence[float] | None,
) -> IntArray:
    """Label the pixels that end at one sink, the largest component of them."""
    inside = foreground > settings.foreground_threshold
    ends = follow_flow(flow, inside, max_iterations=settings.max_iterations, spacing=spacing)
    sink_count = max(min(_SINK_COUNT, settings.min_size), _LEAST_SINK_COUNT)
    return keep_largest_component(label_sinks(ends, min_count=sink_count))


def _at_sides(boxes: npt.NDArray[np.int64], shape: tuple[int, ...]) -> BoolArray:
    """Return which boxes reach a side of the plane, (n,); the ends of a stack are none."""
    low, high = boxes[:, len(shape) - 2 : len(shape)], boxes[:, -2:]
    return np.asarray(((low == 0) | (high == shape[-2:])).any(axis=1))


def _has_size(labels: IntArray, settings: FlowDecoding, part: Part | None) -> BoolArray:
    sizes = np.bincount(labels.ravel(), minlength=1)[1:]
    limit = 1.0 if settings.max_size_fraction is None else settings.max_size_fraction
    image_size = labels.size if part is None else part.image_size
    kept: BoolArray = (sizes >= max(settings.min_size, 1)) & (sizes <= limit * image_size)
    return kept


def _keep(labels: IntArray, kept: BoolArray) -> IntArray:
    """Drop the other objects and close the gaps that this leaves in the ids."""
    table = np.zeros(len(kept) + 1, dtype=np.int32)
    table[1:] = np.cumsum(kept) * kept
    return map_ids(labels, table)
