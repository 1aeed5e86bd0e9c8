"""The geodesic field on shapes that are hard for a field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.flow_shapes import (
    bar,
    blobs,
    disc,
    euler_tracks,
    ring,
    spiral,
    turned_bar,
)  # fmt: skip

from pancyte.ops.geodesic import geodesic_field
from pancyte.ops.sinks import find_components

SHAPES = {
    "bar 2 x 500": bar(2, 500),
    "bar 6 x 1000": bar(6, 1000),
    "line": bar(1, 60),
    "diagonal line": np.eye(40, dtype=np.int32),
    "bar at 17 degrees": turned_bar(200, 6, 17),
    "bar at 30 degrees": turned_bar(150, 3, 30),
    "spiral": spiral(3),
    "narrow spiral": spiral(4, 8, 4),
    "ring": ring(30, 22),
    "thin ring": ring(25, 23),
    "C-arc": ring(40, 30, 2.0),
    "disc": disc(12),
}


def check_tracks(labels, *, may_leave=0):
    """Every vector has length 1, and every track ends at its sink without leaving its object."""
    components = find_components(labels)
    flow = geodesic_field(components)
    inside = labels > 0
    starts = np.stack(np.nonzero(inside))
    own = components.labels[inside]
    sinks = components.sinks[own - 1].T.astype(float)
    at_sink = (starts == sinks).all(axis=0)
    length = np.hypot(*flow)[inside]
    np.testing.assert_allclose(length[~at_sink], 1, atol=0.01)
    assert (length[at_sink] == 0).all()
    ends, left, _ = euler_tracks(flow, starts, sinks, own, components.labels)
    assert np.hypot(*(ends - sinks)).max() <= 1
    assert left.sum() <= may_leave


@pytest.mark.parametrize("shape", SHAPES)
def test_geodesic_field_leads_every_pixel_to_its_sink_inside_the_object(shape):
    check_tracks(SHAPES[shape])


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from((1.5, 2.0, 3.0, 4.0)))
@settings(max_examples=15, deadline=None)
def test_geodesic_field_leads_home_in_random_blobs(seed, size):
    labels = blobs(seed, size)
    # A track that grazes the corner of a pixel outside may cut it by a hundredth of a pixel.
    check_tracks(labels, may_leave=0.005 * (labels > 0).sum())


def test_geodesic_field_gives_each_part_of_an_object_its_own_sink():
    labels = np.zeros((9, 40), np.int32)
    labels[1:8, 1:12], labels[2:7, 20:38] = 3, 3
    flow = geodesic_field(find_components(labels))
    assert flow[1, 4, 1] == 1
    assert flow[1, 4, 11] == -1
    assert flow[1, 4, 20] == 1
    assert flow[1, 4, 37] == -1


def test_geodesic_field_goes_around_a_corner():
    labels = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]], np.int32)
    components = find_components(labels)
    assert components.sinks.tolist() == [[0, 1]]
    flow = geodesic_field(components)
    assert flow[:, 2, 2].tolist() == [0, -1]
    assert flow[:, 1, 0].tolist() == [-1, 0]
    assert flow[:, 0, 0].tolist() == [0, 1]
