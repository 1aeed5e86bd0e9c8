"""Decoding on the cases that other tools lose: long, large, nested, cut, many, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.flow_shapes import (
    bar,
    degrees_between,
    disc,
    ellipse,
    iou_per_object,
    ring,
    round_trip,
    spiral,
)  # fmt: skip

from pancyte.ops.flow import FlowDecoding, decode_flow, flow_to_labels, labels_to_flow
from pancyte.ops.labels import split_components

FIELDS = ("diffusion", "geodesic")


def scattered(draw, count, side=384):
    """Copies of a shape that do not touch, on a grid of turned cells."""
    labels = np.zeros((side, side), np.int32)
    pitch = side // count
    for k in range(count * count):
        shape = draw(k)
        y, x = (k // count) * pitch + 1, (k % count) * pitch + 1
        height, width = np.minimum(shape.shape, pitch - 2)
        labels[y : y + height, x : x + width] = shape[:height, :width] * (k + 1)
    return labels


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "labels",
    [
        scattered(lambda k: disc(4 + k % 12), 8),
        scattered(lambda k: ellipse(40, 4, 23 * k), 4),
        scattered(lambda k: ring(24 + 3 * k, 16 + 3 * k, 2.0), 3),
        disc(78, side=160)[:160, :160],
        bar(24, 700),
        bar(24, 1000),
    ],
    ids=["discs", "ellipses of aspect 10", "C-arcs", "74 % of the image", "700 px", "1000 px"],
)
def test_perfect_flow_comes_back(labels, field):
    found = round_trip(labels, field=field)
    assert found.max() == labels.max()
    assert (iou_per_object(labels, found) >= 0.99).all()


@pytest.mark.parametrize("field", FIELDS)
def test_flow_of_a_disc_points_at_its_center(field):
    labels = disc(15)
    middle = labels.shape[0] // 2
    yy, xx = np.mgrid[: labels.shape[0], : labels.shape[1]] - middle
    away = degrees_between(labels_to_flow(labels, field=field), -np.stack([yy, xx]).astype(float))
    assert away[(labels > 0) & ((yy != 0) | (xx != 0))].mean() < 5


@pytest.mark.parametrize("size", [13, 21])
def test_smallest_discs_that_are_found(size):
    radius = {13: 2, 21: 2.5}[size]
    labels = disc(radius)
    assert labels.sum() == size
    assert round_trip(labels, decoding=FlowDecoding(min_size=size)).sum() == size
    assert not round_trip(labels, decoding=FlowDecoding(min_size=size + 1)).any()


@pytest.mark.parametrize("field", FIELDS)
def test_no_flow_threshold_changes_nothing_on_perfect_flow(field):
    labels = scattered(lambda k: disc(4 + k % 12), 8)
    tested = round_trip(labels, field=field)
    untested = round_trip(labels, field=field, decoding=FlowDecoding(flow_threshold=None))
    np.testing.assert_array_equal(tested, untested)


def test_flow_threshold_drops_objects_that_do_not_look_like_their_field():
    labels = scattered(lambda _: disc(10), 4)
    flow = labels_to_flow(labels)
    broken = labels == 6
    flow[:, broken] = np.float32(0.3) * flow[:, broken]
    foreground = (labels > 0).astype(np.float32)
    found = decode_flow(foreground, flow)
    assert found.labels.max() == len(found.errors) == 15
    assert not found.labels[broken].any()
    for off in (None, 0):
        assert decode_flow(foreground, flow, FlowDecoding(flow_threshold=off)).labels.max() == 16


@pytest.mark.parametrize("field", FIELDS)
def test_cells_cut_by_the_border_are_kept_with_small_errors(field):
    whole = scattered(lambda _: disc(14), 8)
    cut = whole[9:300, 12:310]
    cut = split_components(np.ascontiguousarray(cut))
    flow = labels_to_flow(cut, field=field)
    found = decode_flow((cut > 0).astype(np.float32), flow, field=field)
    visible = np.bincount(cut.ravel())[1:] >= 15
    assert found.labels.max() == visible.sum()
    assert found.errors.max() < 0.05


@pytest.mark.parametrize("field", FIELDS)
def test_the_field_of_what_reaches_a_side_may_err_twice_as_much(field):
    """A network sees half of a cell and knows that its middle lies outside."""
    labels = scattered(lambda _: disc(14), 4)
    middle = labels.shape[0] // 2
    flow = labels_to_flow(labels, field=field)
    half = np.ascontiguousarray(split_components(labels)[14:middle])
    beyond = np.ascontiguousarray(flow[:, 14:middle])
    foreground = (half > 0).astype(np.float32)
    loose = decode_flow(foreground, beyond, FlowDecoding(flow_threshold=None), field=field)
    largest = float(loose.errors.max())
    assert largest > 0.1
    for threshold, kept in ((0.6 * largest, True), (0.45 * largest, False)):
        found = decode_flow(foreground, beyond, FlowDecoding(flow_threshold=threshold), field=field)
        assert (found.labels.max() == loose.labels.max()) == kept


def test_the_ends_of_a_stack_are_no_sides():
    labels = np.zeros((3, 30, 60), np.int32)
    labels[:, 8:22, 8:22] = 1  # reaches both ends
    labels[:, 8:22, 46:] = 2  # reaches a side too
    flow = labels_to_flow(labels) * np.float32(0.3)  # an error of about a half
    found = decode_flow((labels > 0).astype(np.float32), flow, FlowDecoding(flow_threshold=0.4))
    assert found.labels.max() == 1
    assert (found.labels > 0)[labels == 2].mean() > 0.9


def test_size_limits():
    labels = np.zeros((40, 40), np.int32)
    labels[2:32, 2:32], labels[34:39, 34:39] = 1, 2
    assert round_trip(labels).max() == 2
    assert round_trip(labels, decoding=FlowDecoding(max_size_fraction=0.4)).max() == 1
    assert round_trip(labels, decoding=FlowDecoding(min_size=26)).max() == 1


def test_nested_objects_survive_filling_and_holes_are_filled():
    labels = 2 * ring(20, 12) + disc(6, side=49)
    found = round_trip(labels)
    assert found.max() == 2
    core = found[24, 24]
    np.testing.assert_array_equal(found == core, labels == 1)
    ring_alone = (labels == 2).astype(np.int32)
    assert round_trip(ring_alone)[24, 24] == 1
    np.testing.assert_array_equal(
        round_trip(ring_alone, decoding=FlowDecoding(fill_holes=False)), ring_alone
    )


def test_an_object_in_two_parts_becomes_two():
    labels = bar(10, 10) | np.roll(bar(10, 10), 0)
    labels = np.concatenate([labels, labels], axis=1) * (2**31 - 1)
    found = round_trip(labels)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, labels > 0)


def test_more_than_65535_objects():
    tile = np.zeros((6, 6), np.int32)
    tile[1:5, 1:5] = 1
    ids = np.arange(1, 260 * 260 + 1, dtype=np.int32).reshape(260, 260)
    labels = np.kron(ids, tile)
    found = round_trip(labels)
    assert found.max() == 67_600
    assert (np.bincount(found.ravel())[1:] == 16).all()


def test_predictions_without_flow_or_of_noise_give_valid_objects():
    foreground = np.ones((50, 60), np.float32)
    assert not flow_to_labels(foreground, np.zeros((2, 50, 60), np.float32)).any()
    noise = np.random.default_rng(0).normal(0, 3, (2, 50, 60)).astype(np.float32)
    found = flow_to_labels(foreground, noise, FlowDecoding(flow_threshold=None))
    areas = np.bincount(found.ravel())[1:]
    assert (areas >= 15).all()
    assert split_components(found).max(initial=0) == len(areas)


def test_max_iterations_follows_each_pixel_for_so_many_steps():
    labels = bar(24, 1000)
    assert (iou_per_object(labels, round_trip(labels)) >= 0.99).all()
    cut_short = round_trip(labels, decoding=FlowDecoding(max_iterations=200))
    assert (iou_per_object(labels, cut_short) < 0.5).all()


def test_nothing_writes_into_its_input():
    labels = scattered(lambda _: disc(8), 4)
    labels.setflags(write=False)
    flow = labels_to_flow(labels)
    foreground = (labels > 0).astype(np.float32)
    for array in (flow, foreground):
        array.setflags(write=False)
    assert decode_flow(foreground, flow).labels.max() == 16


def test_decode_flow_drops_what_lies_in_the_frame():
    labels = np.zeros((30, 40), np.int32)
    labels[:8, :9], labels[10:20, 10:20], labels[12:22, 28:38] = 1, 2, 3
    maps = (labels > 0).astype(np.float32), labels_to_flow(labels)
    for width, kept in ((0, 3), (1, 2), (3, 1), (11, 0)):
        found = decode_flow(*maps, FlowDecoding(remove_border=width))
        assert found.labels.max() == len(found.scores) == len(found.errors) == kept
    with pytest.raises(ValueError, match="remove_border from 0 to inf, but got -1"):
        FlowDecoding(remove_border=-1)


@pytest.mark.parametrize("turns", [4, 5])
def test_no_pixel_of_a_wound_up_spiral_is_lost(turns: int) -> None:
    """Heat does not get to its end in any number of steps that serves all other shapes."""
    labels = spiral(turns, 8, 4)
    flow = labels_to_flow(labels)
    lengths = np.hypot(*flow)[labels > 0]
    assert np.count_nonzero(lengths < 0.99) <= 1
    found = decode_flow((labels > 0).astype(np.float32), flow).labels
    assert np.count_nonzero((found > 0) & (labels > 0)) == np.count_nonzero(labels)
    assert found.max() == 1
