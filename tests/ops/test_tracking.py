"""Following vectors and finding where they gather."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.flow_shapes import bar, blobs

from pancyte.ops.flow import labels_to_flow
from pancyte.ops.tracking import follow_flow, label_sinks


def test_follow_flow_comes_to_rest_between_pixels_that_point_at_each_other():
    flow = np.zeros((2, 1, 6), np.float32)
    flow[1, 0] = [1, 1, 1, -1, -1, -1]
    ends = follow_flow(flow, np.ones((1, 6), bool))
    assert set(ends.ravel().tolist()) <= {2, 3}


def test_follow_flow_ends_a_whirl_on_one_of_its_pixels():
    yy, xx = np.mgrid[-12:13, -12:13].astype(np.float32)
    around = np.stack([xx, -yy]) / np.maximum(np.hypot(yy, xx), 1)
    ends = follow_flow(around, np.hypot(yy, xx) <= 10)
    assert (ends[np.hypot(yy, xx) <= 10] >= 0).all()
    assert (ends[np.hypot(yy, xx) > 10] == -1).all()


def test_follow_flow_cuts_long_vectors_and_stays_in_the_image():
    flow = np.full((2, 9, 9), 50, np.float32)
    ends = follow_flow(flow, np.ones((9, 9), bool))
    assert (ends == 80).all()


@pytest.mark.parametrize("labels", [blobs(0, 3.0), blobs(1, 2.0), bar(7, 90)])
def test_joined_tracks_end_where_single_ones_do(labels):
    flow = labels_to_flow(labels, field="geodesic")
    joined = follow_flow(flow, labels > 0)
    single = follow_flow(flow, labels > 0, max_iterations=20_000)
    np.testing.assert_array_equal(joined, single)


def test_label_sinks_grows_seeds_into_their_neighborhood():
    ends = np.full((12, 24), -1, np.int32)
    ends[0, :12] = 5 * 24 + 5  # 12 ends at (5, 5)
    ends[1, :4] = 5 * 24 + 6  # 4 beside it
    ends[2, :12] = 5 * 24 + 18  # another sink
    ends[3, :2] = 5 * 24 + 19  # too few to be taken in
    labels = label_sinks(ends, min_count=11)
    assert (labels[0, :12] == 1).all()
    assert (labels[1, :4] == 1).all()
    assert (labels[2, :12] == 2).all()
    assert not labels[3:].any()
