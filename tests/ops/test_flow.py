"""Field to labels and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.flow_shapes import apart, bar, degrees_between, iou_per_object, round_trip
from tests.strategies import cells, labels, spread_ids

from pancyte.ops.flow import (
    FlowDecoding,
    decode_flow,
    flow_error,
    flow_to_labels,
    labels_to_flow,
)
from pancyte.ops.labels import keep_largest_component, split_components, touches_border

GOLDEN = Path(__file__).parents[1] / "golden"
FIELDS = st.sampled_from(("diffusion", "geodesic"))


def test_labels_to_flow_points_at_the_middle_of_one_cell():
    flow = labels_to_flow(np.ones((3, 3), np.int32), field="geodesic")
    s = np.float32(np.sqrt(0.5))
    np.testing.assert_allclose(flow[0], [[s, 1, s], [0, 0, 0], [-s, -1, -s]])
    np.testing.assert_allclose(flow[1], [[s, 0, -s], [1, 0, -1], [s, 0, -s]])


def test_flow_to_labels_tells_two_touching_cells_apart():
    drawn = np.zeros((9, 16), np.int32)
    drawn[1:8, 1:8], drawn[1:8, 8:15] = 5, 3
    found = flow_to_labels((drawn > 0).astype(np.float32), labels_to_flow(drawn))
    assert found.dtype == np.int32
    assert len(np.unique(found[drawn == 5])) == len(np.unique(found[drawn == 3])) == 1
    np.testing.assert_array_equal(found > 0, drawn > 0)


@given(plane=cells(), field=FIELDS)
@settings(max_examples=30, deadline=None)
def test_decode_flow_finds_again_what_was_drawn(plane, field):
    # Where objects touch, Cellpose's vectors mix both sides, which small objects do not survive.
    plane = keep_largest_component(apart(plane) if field == "diffusion" else plane)
    areas = np.bincount(plane.ravel())[1:]
    overlap = iou_per_object(plane, round_trip(plane, field=field))
    lost = np.count_nonzero(overlap[areas >= 21] < 0.8)
    # Heat leaves a sliver of two pixels so fast that its slope may lead to the wrong end.
    allowed = np.ceil(np.count_nonzero(areas >= 21) / 10) if field == "diffusion" else 0
    assert lost <= allowed


@given(plane=labels(max_side=32), field=FIELDS)
@settings(max_examples=40, deadline=None)
def test_labels_to_flow_is_one_inside_and_zero_outside(plane, field):
    flow = labels_to_flow(plane, field=field)
    assert (flow.shape, flow.dtype) == ((2, *plane.shape), np.float32)
    length = np.hypot(*flow)
    assert (length[plane == 0] == 0).all()
    still = length[plane > 0] == 0
    np.testing.assert_allclose(length[plane > 0][~still], 1, atol=1e-4)
    if field == "geodesic":
        assert still.sum() == split_components(plane, connectivity=2).max()


@given(plane=labels(max_side=32), seed=st.integers(0, 99), field=FIELDS)
@settings(max_examples=25, deadline=None)
def test_labels_to_flow_does_not_see_which_ids_objects_have(plane, seed, field):
    renamed = spread_ids(plane, np.random.default_rng(seed))
    np.testing.assert_array_equal(
        labels_to_flow(plane, field=field), labels_to_flow(renamed, field=field)
    )


@given(plane=cells(), field=FIELDS, turns=st.integers(1, 3), flip=st.booleans())
@settings(max_examples=20, deadline=None)
def test_labels_to_flow_turns_with_the_labels(plane, field, turns, flip):
    def turn(array):
        return np.rot90(array[..., ::-1] if flip else array, turns, axes=(-2, -1))

    y, x = labels_to_flow(plane, field=field)
    x = -x if flip else x
    for _ in range(turns):
        y, x = -x, y
    away = degrees_between(labels_to_flow(turn(plane), field=field), turn(np.stack([y, x])))
    # Where the mean lies half way between two pixels, or two ways are equally short, one is taken.
    inside = turn(plane) > 0
    assert np.median(away[inside]) < 0.1 if inside.any() else True


@given(plane=labels(max_side=32), field=FIELDS)
@settings(max_examples=30, deadline=None)
def test_decode_flow_returns_components_in_order_of_the_least_size(plane, field):
    found = decode_flow(
        (plane > 0).astype(np.float32), labels_to_flow(plane, field=field), field=field
    )
    areas = np.bincount(found.labels.ravel())[1:]
    assert len(areas) == len(found.errors) == len(found.scores)
    assert (areas >= 15).all()
    assert split_components(found.labels).max(initial=0) == len(areas)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (1, 1), (5, 4)])
@pytest.mark.parametrize("field", ["diffusion", "geodesic"])
def test_empty_in_empty_out(shape, field):
    flow = labels_to_flow(np.zeros(shape, np.int32), field=field)
    assert flow.shape == (2, *shape)
    assert not flow.any()
    found = decode_flow(np.zeros(shape, np.float32), flow, field=field)
    assert found.labels.shape == shape
    assert not found.labels.any()
    assert len(found.errors) == len(found.scores) == 0


@pytest.mark.parametrize("plane", ["touching", "small", "apart"])
def test_diffusion_and_decoding_agree_with_cellpose(plane):
    origin = json.loads((GOLDEN / "flow.json").read_text())
    assert origin["cellpose"].startswith("4.")
    golden = np.load(GOLDEN / "flow.npz")
    drawn = golden[f"{plane}-labels"].astype(np.int32)
    theirs = np.zeros((2, *drawn.shape), np.float32)
    theirs[:, drawn > 0] = golden[f"{plane}-flow"] / np.float32(127)
    ours = labels_to_flow(drawn)
    away = degrees_between(ours, theirs)[drawn > 0]
    assert np.mean(away < 1) >= 0.95
    assert np.mean(away < 5) >= 0.99
    expected = golden[f"{plane}-decoded"].astype(np.int32)
    foreground = (drawn > 0).astype(np.float32)
    for found in (
        flow_to_labels(foreground, theirs),
        flow_to_labels(foreground, ours),
        golden[f"{plane}-ours_decoded"].astype(np.int32),
    ):
        assert (iou_per_object(expected, found) >= 0.9).all()
        # At the sides Cellpose drops objects whose field errs by more than ours may.
        more = found.max() - expected.max()
        assert 0 <= more <= np.isin(touches_border(found, width=1), found[expected == 0]).sum()


def test_flow_error_is_per_id():
    drawn = np.zeros((12, 30), np.int32)
    drawn[1:11, 1:11], drawn[1:11, 12:22] = 7, 900
    flow = labels_to_flow(drawn)
    flow[:, :, 12:22] *= -1
    errors = flow_error(drawn, flow)
    assert errors[0] == 0
    assert errors[1] > 3.5


def test_scores_are_the_foreground_less_what_the_flow_errs():
    drawn = np.zeros((12, 30), np.int32)
    drawn[1:11, 1:11], drawn[1:11, 12:22] = 1, 2
    flow = labels_to_flow(drawn)
    flow[:, :, 12:22] *= 0.5
    found = decode_flow(np.where(drawn > 0, np.float32(0.8), np.float32(0)), flow)
    np.testing.assert_array_equal(found.labels, drawn)
    np.testing.assert_allclose(found.errors, [0, 0.25], atol=1e-2)
    np.testing.assert_allclose(found.scores, 0.8 * (1 - found.errors), atol=1e-6)


def test_errors_say_what_was_expected():
    plane = bar(4, 4)
    with pytest.raises(ValueError, match=r"one class, but got \(1, 1, 14, 14\)"):
        labels_to_flow(plane[None, None])
    with pytest.raises(ValueError, match="field of diffusion, geodesic, but got 'radial'"):
        labels_to_flow(plane, field="radial")
    with pytest.raises(ValueError, match=r"but got \(14, 14\) and \(2, 3, 3\)"):
        decode_flow(plane.astype(np.float32), np.zeros((2, 3, 3), np.float32))
    with pytest.raises(ValueError, match=r"flow of shape \(2, 14, 14\)"):
        flow_error(plane, np.zeros((2, 3, 3), np.float32))
    with pytest.raises(ValueError, match="flow_threshold from 0 to 4, but got 5"):
        FlowDecoding(flow_threshold=5)
