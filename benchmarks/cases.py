"""What is measured, on which arrays, beside whom, and what is promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

from arrays import (
    SMALL_PITCH,
    Array,
    noisy_prediction,
    touching_cells,
    touching_cells_in_volume,
)
from pancyte.metrics.matching import match
from pancyte.ops.flow import FlowDecoding, decode_flow, labels_to_flow
from pancyte.viz.errors import error_picture
from pancyte.viz.overlay import overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Inputs = tuple[Array, ...]
MEGAPIXEL = 1e6
VOLUME = (64, 256, 256)
MEGAVOXELS = 64 * 256 * 256 / 1e6
THREE = (0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Case:
    """One function on one input, its peers, and what is promised."""

    name: str
    inputs: Callable[[], Inputs]
    ours: Callable[..., object]
    peers: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    """Name of the package to the same work in it."""
    faster: float | None = None
    """Promised ratio to the first peer."""
    seconds: float | None = None
    """Promised CPU time."""
    megabytes: float | None = None
    """Promised memory above the inputs."""
    slow: bool = False
    """The first peer takes more than ten seconds."""


def cells(side: int) -> Inputs:
    """One label image."""
    return (touching_cells(side),)


def cell_pair(side: int) -> Inputs:
    """An annotation and a prediction of the same cells."""
    return touching_cells(side), touching_cells(side, shift=2.0)


def crowded_pair() -> Inputs:
    """The same with 100,000 objects each in 4096 x 4096."""
    truth, found = (
        touching_cells(4096, pitch=SMALL_PITCH, num_objects=100_000, shift=shift)
        for shift in (0.0, 1.0)
    )
    return truth, found


def many_pair() -> Inputs:
    """Two images of 20,000 objects each in 2048 x 2048, half of which overlap by chance."""
    truth, found = (
        touching_cells(2048, pitch=SMALL_PITCH, num_objects=20_000, shift=shift)
        for shift in (0.0, 4.0)
    )
    return truth, found


def phase_picture() -> Inputs:
    """About 500 cells in 1944 x 2592, the size of a Glioma C6 image, with a prediction of them."""
    truth, found = (touching_cells(2592, pitch=100.0, shift=shift)[:1944] for shift in (0.0, 8.0))
    rng = np.random.default_rng(0)
    return truth, found, rng.random((1, 1944, 2592)).astype(np.float32)


def error_png(truth: Array, found: Array, pixels: Array) -> object:
    """The picture of what was found, invented and missed, as the bytes of a PNG."""
    return imagecodecs.png_encode(error_picture(pixels, truth, found), level=6)


def contours(truth: Array, _: Array, pixels: Array) -> object:
    """The picture of the contours of all objects."""
    return overlay(pixels, truth[None])


def predicted_maps(side: int) -> Inputs:
    """A noisy field (2, Y, X) and a foreground probability (Y, X)."""
    labels = touching_cells(side)
    return noisy_prediction(labels_to_flow(labels), (labels > 0).astype(np.float32))


def volume() -> Inputs:
    """One label volume."""
    return (touching_cells_in_volume(VOLUME),)


def predicted_volume() -> Inputs:
    """A noisy field (3, Z, Y, X) and a foreground probability (Z, Y, X)."""
    (labels,) = volume()
    return noisy_prediction(labels_to_flow(labels), (labels > 0).astype(np.float32))


def geodesic(labels: Array) -> object:
    """Our other field."""
    return labels_to_flow(labels, field="geodesic")


def decode(flow: Array, foreground: Array) -> object:
    """Objects with the error check at its default threshold."""
    return decode_flow(foreground, flow, FlowDecoding())


def match_at(*thresholds: float) -> Callable[..., object]:
    """Our matching at these thresholds."""
    return lambda truth, found: match(truth, found, thresholds)


def cellpose_flow(labels: Array) -> object:
    """Cellpose's field; its one function for all devices runs on the CPU by default."""
    from cellpose import dynamics

    return dynamics.masks_to_flows_gpu(labels)


def cellpose_decode(flow: Array, foreground: Array) -> object:
    """Cellpose's decoding, which takes vectors of length 5 and the logit of the probability."""
    from cellpose import dynamics

    logit = np.log(foreground / (1 - foreground))
    return dynamics.compute_masks(5 * flow, logit, flow_threshold=0.4, min_size=15)


def cellpose_flow_in_volume(labels: Array) -> object:
    """Cellpose's field of a volume."""
    from cellpose import dynamics

    return dynamics.masks_to_flows_gpu_3d(labels)


def cellpose_decode_in_volume(flow: Array, foreground: Array) -> object:
    """Cellpose's decoding of a volume, which makes no check of errors."""
    from cellpose import dynamics

    logit = np.log(foreground / (1 - foreground))
    return dynamics.compute_masks(5 * flow, logit, do_3D=True, min_size=15)


def cellpose_precision(truth: Array, found: Array) -> object:
    """Cellpose's average precision at three thresholds."""
    from cellpose import metrics

    return metrics.average_precision(truth, found, threshold=list(THREE))


def stardist_matching(thresholds: Any) -> Callable[..., object]:  # noqa: ANN401 - one or several
    """StarDist's matching; several thresholds share its table of overlaps."""

    def run(truth: Array, found: Array) -> object:
        from stardist.matching import matching

        return matching(truth, found, thresh=thresholds)

    return run


CASES = (
    Case(
        "labels to diffusion field, 1024",
        lambda: cells(1024),
        labels_to_flow,
        {"cellpose": cellpose_flow},
        faster=150,
    ),
    Case(
        "labels to diffusion field, 2048",
        lambda: cells(2048),
        labels_to_flow,
        {"cellpose": cellpose_flow},
        faster=400,
        slow=True,
    ),
    Case(
        "labels to geodesic field, 1024",
        lambda: cells(1024),
        geodesic,
        {"our diffusion": labels_to_flow},
        faster=1,
    ),
    Case(
        "labels to geodesic field, 2048",
        lambda: cells(2048),
        geodesic,
        {"our diffusion": labels_to_flow},
        faster=1,
    ),
    Case(
        "decode with error check, 1024",
        lambda: predicted_maps(1024),
        decode,
        {"cellpose": cellpose_decode},
        faster=100,
        megabytes=30 * 1024**2 / MEGAPIXEL,
        slow=True,
    ),
    Case(
        "decode with error check, 2048",
        lambda: predicted_maps(2048),
        decode,
        megabytes=30 * 2048**2 / MEGAPIXEL,
    ),
    Case(
        "labels to diffusion field, 64 x 256 x 256",
        volume,
        labels_to_flow,
        {"cellpose": cellpose_flow_in_volume},
        faster=100,
        megabytes=25 * MEGAVOXELS,
        slow=True,
    ),
    Case(
        "labels to geodesic field, 64 x 256 x 256",
        volume,
        geodesic,
        {"our diffusion": labels_to_flow},
        faster=1,
        megabytes=25 * MEGAVOXELS,
    ),
    Case(
        "decode with error check, 64 x 256 x 256",
        predicted_volume,
        decode,
        {"cellpose": cellpose_decode_in_volume},
        faster=20,
        megabytes=30 * MEGAVOXELS,
        slow=True,
    ),
    Case(
        "match at 1 threshold, 2048",
        lambda: cell_pair(2048),
        match_at(0.5),
        {"stardist": stardist_matching(0.5)},
        faster=40,
    ),
    Case(
        "match at 3 thresholds, 2048",
        lambda: cell_pair(2048),
        match_at(*THREE),
        {"stardist": stardist_matching(THREE), "cellpose": cellpose_precision},
        faster=40,
    ),
    Case(
        "match 100,000 objects at 3 thresholds, 4096",
        crowded_pair,
        match_at(*THREE),
        seconds=2.0,
        megabytes=300,
    ),
    Case(
        "match 100,000 objects at IoU 0.3, 4096",
        crowded_pair,
        match_at(0.3),
        seconds=2.0,
        megabytes=300,
    ),
    Case(
        "match 20,000 objects at IoU 0.1, 2048",
        many_pair,
        match_at(0.1),
        seconds=10.0,
    ),
    Case(
        "picture of contours of 500 cells, 1944 x 2592",
        phase_picture,
        contours,
        seconds=2.0,
    ),
    Case(
        "picture of errors of 500 cells, 1944 x 2592",
        phase_picture,
        error_png,
        seconds=2.0,
    ),
)
