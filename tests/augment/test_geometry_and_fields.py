"""A sample that is turned, mirrored or magnified has the field of the original, turned with it."""

from __future__ import annotations

import cc3d
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import binary_dilation
from tests.strategies import SEEDS, cells

from pancyte.augment.spatial import MEDIAR_SPATIAL, draw_matrix
from pancyte.ops.flow import labels_to_flow
from pancyte.ops.warp import Window, warp_image, warp_labels

SETTINGS = settings(deadline=None, max_examples=20)
FIELDS = st.sampled_from(("diffusion", "geodesic"))
TURNS_AND_FLIPS = [
    np.linalg.matrix_power(np.array([[0.0, 1.0], [-1.0, 0.0]]), turns) @ np.diag([1.0, flip])
    for turns in range(4)
    for flip in (1.0, -1.0)
]


def window_of(shape, matrix):
    """The window that shows all of an image after a turn by right angles."""
    size = np.abs(matrix) @ shape
    return Window(tuple((np.array(shape) - 1) / 2), matrix, (int(size[0]), int(size[1])))


def transformed(flow, window):
    """A field (2, Y, X) seen in the window: its pixels move, and its vectors turn back."""
    moved = warp_image(flow, window)
    turned = np.tensordot(np.linalg.inv(window.matrix), moved, axes=1)
    return turned / np.sqrt(abs(np.linalg.det(np.linalg.inv(window.matrix))))


@SETTINGS
@given(cells(max_side=64), FIELDS, st.sampled_from(TURNS_AND_FLIPS))
def test_fields_of_turned_and_mirrored_labels_are_turned_and_mirrored(plane, field, matrix) -> None:
    window = window_of(plane.shape, matrix)
    labels = warp_labels(plane[None], window)[0]
    assert_array_equal(np.bincount(labels.ravel()), np.bincount(plane.ravel()))
    expected = transformed(labels_to_flow(plane, field=field), window)
    found = labels_to_flow(labels, field=field)
    apart = np.abs(found - expected).max(axis=0)
    decided = has_one_sink(labels)
    assert (apart[labels == 0] == 0).all()
    if field == "diffusion":
        assert (apart[decided] <= 1e-3).all()
    elif decided.any():
        # Where two ways inside an object are equally short, one is taken.
        assert (apart[decided] <= 1e-3).mean() > 0.8


def has_one_sink(labels):
    """The pixels of parts of objects whose sink is no matter of ties, without the sink.

    It is the pixel nearest to the rounded mean. Slopes reach one pixel into objects that touch.
    """
    undecided = labels > 0
    out = np.zeros(labels.shape, bool)
    parts = cc3d.connected_components(labels, connectivity=8)
    for part in range(1, parts.max() + 1):
        places = np.argwhere(parts == part)
        mean = places.mean(axis=0)
        away = np.square(places - np.round(mean)).sum(axis=1)
        if np.abs(mean % 1 - 0.5).min() > 1e-9 and (away == away.min()).sum() == 1:
            out[tuple(places.T)] = True
            out[tuple(places[away.argmin()])] = False
            undecided[tuple(places.T)] = False
    return out & ~binary_dilation(undecided)


@SETTINGS
@given(st.floats(0.6, 1.5), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_fields_of_magnified_discs_are_magnified(scale, dy, dx) -> None:
    yy, xx = np.mgrid[:80, :80]
    disc = (np.hypot(yy - 40 - dy, xx - 40 - dx) < 24).astype(np.int32)
    window = Window((39.5, 39.5), np.eye(2) / scale, (120, 120))
    labels = warp_labels(disc[None], window)[0]
    expected, found = transformed(labels_to_flow(disc), window), labels_to_flow(labels)
    # Where the original is a unit vector that neighbors share, away from the sink and the border.
    v, u = np.mgrid[:120, :120]
    radius = np.hypot(v - 59.5 - (0.5 + dy) * scale, u - 59.5 - (0.5 + dx) * scale)
    ring = (radius > 8 * scale) & (radius < 21 * scale)
    cosine = (expected * found).sum(axis=0)[ring] / np.hypot(*expected)[ring]
    assert np.median(cosine) > 0.999
    assert np.percentile(cosine, 1) > 0.98


@SETTINGS
@given(SEEDS)
def test_image_and_labels_move_together_under_mediars_geometry(seed) -> None:
    rng = np.random.default_rng(seed)
    plane = np.kron(rng.integers(0, 3, (6, 6)), np.ones((16, 16))).astype(np.int32)
    window = Window((47.5, 47.5), draw_matrix(MEDIAR_SPATIAL, rng), (48, 48))
    image = warp_image(plane[None].astype(np.float32), window)[0]
    labels = warp_labels(plane[None], window)[0]
    v, u = np.mgrid[:48, :48]
    y = window.origin[0] + window.matrix[0, 0] * v + window.matrix[0, 1] * u
    x = window.origin[1] + window.matrix[1, 0] * v + window.matrix[1, 1] * u
    inner = (y > 0) & (y < 95) & (x > 0) & (x < 95)
    # Within half a window pixel and half an image pixel of an edge the two may differ.
    reach = 0.5 + 0.5 * np.abs(window.matrix).sum(axis=1).max()
    flat = np.all([np.abs((p + 0.5) % 16 - 8) < 8 - reach for p in (y, x)], axis=0)
    assert_allclose(image[flat & inner], labels[flat & inner], atol=1e-5)
