"""Fields of volumes: (Z, Y, X) labels to (3, Z, Y, X) vectors and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra
from tests.ops.flow_shapes import disc, euler_tracks, iou_per_object
from tests.ops.flow_volumes import (
    degrees_between,
    ellipsoid,
    in_one_volume,
    rod,
    round_trip,
    shell,
    tube,
)  # fmt: skip
from tests.strategies import label_volumes, spread_ids, voronoi_volume

from pancyte.ops.diffusion import diffusion_field
from pancyte.ops.flow import FlowDecoding, decode_flow, flow_error, labels_to_flow
from pancyte.ops.geodesic import geodesic_field
from pancyte.ops.labels import split_components
from pancyte.ops.sinks import find_components, voxel_sides
from pancyte.ops.tracking import follow_flow

GOLDEN = Path(__file__).parents[1] / "golden"
FIELDS = ("diffusion", "geodesic")
SPACING = (2.5, 1.0, 1.0)
SHAPES = {
    "ball": ellipsoid((7, 7, 7)),
    "ellipsoid": ellipsoid((4, 6, 13)),
    "rod": rod(24, 2),
    "tube": tube(8, 2),
    "thin tube": tube(9, 1.5, 1.0),
    "sheet": np.pad(np.ones((1, 24, 24), np.int32), 2),
    "thin rod": np.pad(np.ones((2, 2, 60), np.int32), 1),
}


def by_definition(labels, sides):
    """The formula of pancyte.ops.diffusion, in float64 on the whole volume, with no short cut."""
    found = find_components(labels, spacing=sides)
    padded = np.pad(found.labels, 1)
    extents = (found.boxes[:, 3:] - found.boxes[:, :3]) * sides
    heat = np.zeros(padded.shape)
    conduction = np.asarray(sides, float) ** -2 / 7
    shifts = [(sign, axis) for axis in range(3) for sign in (-1, 1)]
    same = [np.roll(padded, sign, axis=axis) == padded for sign, axis in shifts]
    for _ in range(6 * int(np.ceil(extents.sum(1).max() + 3))):
        heat[tuple(found.sinks.T + 1)] += 1
        spread = (1 - 2 * conduction.sum()) * heat
        for (sign, axis), equal in zip(shifts, same, strict=True):
            spread += conduction[axis] * np.roll(heat, sign, axis=axis) * equal
        heat = np.where(padded > 0, spread, 0)
    slope = np.stack(
        [(np.roll(heat, -1, axis) - np.roll(heat, 1, axis)) / sides[axis] for axis in range(3)]
    )[:, 1:-1, 1:-1, 1:-1]
    slope /= np.maximum(abs(slope).max(axis=0), 1e-300)
    return np.where(found.labels, slope, 0)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("sides", [(1, 1, 1), SPACING])
def test_flow_of_a_ball_points_at_its_center(field, sides):
    radius = 10 / np.array(sides)
    labels = ellipsoid(radius)
    place = np.stack(np.indices(labels.shape)) - np.reshape(labels.shape, (3, 1, 1, 1)) // 2
    center = -place * np.reshape(sides, (3, 1, 1, 1))
    flow = labels_to_flow(labels, field=field, spacing=sides)
    away = degrees_between(flow, center)[(labels > 0) & (place != 0).any(axis=0)]
    assert away.mean() < (0.1 if field == "geodesic" else 5)


@pytest.mark.parametrize("shape", ["ball", "ellipsoid", "rod", "tube", "sheet"])
@pytest.mark.parametrize("sides", [(1.0, 1.0, 1.0), SPACING])
def test_diffusion_field_is_the_slope_of_heat(shape, sides):
    labels = SHAPES[shape]
    found = find_components(labels, spacing=sides)
    inside = labels > 0
    inside[tuple(found.sinks.T)] = False  # the slope of a symmetric sink is rounding alone
    away = degrees_between(diffusion_field(found), by_definition(labels, sides))[inside]
    assert np.mean(away < 1) >= 0.95
    assert np.mean(away < 5) >= 0.99


def test_diffusion_field_of_touching_cells_is_the_slope_of_heat():
    labels = voronoi_volume((14, 30, 30), 11, np.random.default_rng(4))
    found = find_components(labels)
    inside = labels > 0
    inside[tuple(found.sinks.T)] = False
    away = degrees_between(diffusion_field(found), by_definition(labels, (1, 1, 1)))[inside]
    assert np.mean(away < 1) >= 0.95


@pytest.mark.parametrize("name", ["touching", "apart"])
def test_diffusion_agrees_with_cellpose(name):
    origin = json.loads((GOLDEN / "flow_volume.json").read_text())
    assert origin["cellpose"].startswith("4.")
    golden = np.load(GOLDEN / "flow_volume.npz")
    drawn = golden[f"{name}-labels"].astype(np.int32)
    theirs = np.zeros((3, *drawn.shape), np.float32)
    theirs[:, drawn > 0] = golden[f"{name}-flow"] / np.float32(127)
    sinks = np.zeros(drawn.shape, bool)
    sinks[tuple(find_components(drawn).sinks.T)] = True
    away = degrees_between(labels_to_flow(drawn), theirs)[(drawn > 0) & ~sinks]
    assert np.mean(away < 1) >= 0.95
    assert np.mean(away < 5) >= 0.99
    # On their field we find what they find; neither separates all small cells that touch.
    foreground = (drawn > 0).astype(np.float32)
    found = decode_flow(foreground, theirs, FlowDecoding(flow_threshold=None)).labels
    expected = golden[f"{name}-decoded"].astype(np.int32)
    ours, cellpose = iou_per_object(drawn, found), iou_per_object(drawn, expected)
    assert np.mean(ours >= 0.8) >= np.mean(cellpose >= 0.8)
    if name == "apart":
        assert (iou_per_object(expected, found) >= 0.99).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sides", [None, SPACING])
def test_geodesic_leads_every_voxel_home_inside_the_object_by_a_short_way(shape, sides):
    labels = SHAPES[shape]
    check_tracks(labels, sides)


def check_tracks(labels, spacing, *, longest_step=1.8):
    """Plain tracks end at the sink, do not leave the object, and are hardly longer than needed."""
    found = find_components(labels, spacing=spacing)
    flow = geodesic_field(found)
    sides = voxel_sides(spacing, 3)
    inside = labels > 0
    if not inside.any():
        return
    starts = np.stack(np.nonzero(inside))
    own = found.labels[inside]
    sinks = found.sinks[own - 1].T.astype(float)
    length = np.linalg.norm(flow, axis=0)[inside]
    at_sink = (starts == sinks).all(axis=0)
    np.testing.assert_allclose(length[~at_sink], 1, atol=1e-4)
    assert (length[at_sink] == 0).all()
    in_voxels = flow / sides.reshape(3, 1, 1, 1)
    ends, left, lengths = euler_tracks(in_voxels, starts, sinks, own, found.labels)
    assert np.linalg.norm(ends - sinks, axis=0).max() <= 1
    assert left.sum() <= 0.005 * len(left)
    if spacing is None:
        needed = ways_home(found, longest_step)[inside]
        assert (lengths <= 1.35 * needed + 2).all()


def ways_home(found, longest_step):
    """Length of the shortest way of every voxel to its sink over its neighbors: brute force."""
    places = np.argwhere(found.labels > 0)
    owner = found.labels[tuple(places.T)]
    steps = np.linalg.norm(places[:, None] - places[None], axis=-1)
    steps[(steps > longest_step) | (owner[:, None] != owner)] = 0
    ways = np.zeros(found.labels.shape)
    index = np.full(found.labels.shape, -1)
    index[tuple(places.T)] = np.arange(len(places))
    home = index[tuple(found.sinks.T)]
    far = dijkstra(steps, indices=home, directed=False)
    ways[tuple(places.T)] = far[owner - 1, np.arange(len(places))]
    return ways


@given(volume=label_volumes(max_side=9, kinds=("touching", "blobs", "border", "full", "sheets")))
@settings(max_examples=20, deadline=None)
def test_geodesic_leads_home_in_random_volumes(volume):
    # Noise is left out: reading between the voxels of threads one voxel wide touches what is beside
    # them, so that of its voxels one in a hundred does not arrive.
    # In objects as tight as these, ways keep off squeezes: they are measured over faces.
    check_tracks(volume, None, longest_step=1.0)


@pytest.mark.parametrize("spacing", [None, SPACING])
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_perfect_flow_comes_back(shape, field, spacing):
    labels = SHAPES[shape]
    found = round_trip(labels, field=field, spacing=spacing)
    assert found.max() == 1
    assert iou_per_object(labels, found)[0] >= 0.99


@pytest.mark.parametrize("field", FIELDS)
def test_nested_and_neighboring_objects_come_back(field):
    labels = in_one_volume([shell(11, 8, 4), ellipsoid((5, 5, 5)), tube(8, 2)])
    found = round_trip(labels, field=field, decoding=FlowDecoding(fill_holes=False))
    assert found.max() == labels.max()
    assert (iou_per_object(labels, found) >= 0.99).all()
    filled = round_trip(labels, field=field)
    assert labels[13, 13, 14] == 2
    np.testing.assert_array_equal(filled == filled[13, 13, 14], labels == 2)
    # Opposite the sink of the shell, heat of both sides meets: voxels without a home open it.
    assert (filled[labels == 0] > 0).any() == (field == "geodesic")


@given(seed=st.integers(0, 2**32 - 1), diameter=st.integers(9, 13))
@settings(max_examples=10, deadline=None)
def test_touching_cells_come_back_from_their_geodesic_field(seed, diameter):
    labels = voronoi_volume((14, 24, 24), diameter, np.random.default_rng(seed))
    areas = np.bincount(labels.ravel())[1:]
    found = round_trip(labels, decoding=FlowDecoding(fill_holes=False))
    assert (iou_per_object(labels, found)[areas >= 30] >= 0.9).all()


@pytest.mark.parametrize("field", FIELDS)
def test_objects_cut_by_the_border_come_back(field):
    ball = ellipsoid((8, 8, 8))
    labels = in_one_volume([ball, ball, ball])[6:15, 7:, 8:60]
    labels = split_components(np.ascontiguousarray(labels))
    flow = labels_to_flow(labels, field=field)
    found = decode_flow((labels > 0).astype(np.float32), flow, field=field)
    assert (iou_per_object(labels, found.labels) >= 0.99).all()
    assert found.errors.max() < 0.05


@given(volume=label_volumes(), field=st.sampled_from(FIELDS))
@settings(max_examples=40, deadline=None)
def test_labels_to_flow_is_one_inside_and_zero_outside(volume, field):
    flow = labels_to_flow(volume, field=field)
    assert (flow.shape, flow.dtype) == ((3, *volume.shape), np.float32)
    length = np.linalg.norm(flow, axis=0)
    assert (length[volume == 0] == 0).all()
    still = length[volume > 0] == 0
    np.testing.assert_allclose(length[volume > 0][~still], 1, atol=1e-4)
    if field == "geodesic":
        assert still.sum() == split_components(volume).max(initial=0)


@given(volume=label_volumes(), seed=st.integers(0, 99), field=st.sampled_from(FIELDS))
@settings(max_examples=20, deadline=None)
def test_labels_to_flow_does_not_see_which_ids_objects_have(volume, seed, field):
    renamed = spread_ids(volume, np.random.default_rng(seed))
    np.testing.assert_array_equal(
        labels_to_flow(volume, field=field), labels_to_flow(renamed, field=field)
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    field=st.sampled_from(FIELDS),
    order=st.permutations((0, 1, 2)),
    flipped=st.sets(st.integers(0, 2)),
)
@settings(max_examples=20, deadline=None)
def test_labels_to_flow_turns_with_the_labels(seed, field, order, flipped):
    volume = voronoi_volume((9, 12, 14), 7, np.random.default_rng(seed))
    axes = tuple(flipped)
    turned = np.flip(volume.transpose(order), axes)
    expected = labels_to_flow(volume, field=field)[list(order)]
    expected = np.flip(expected.transpose(0, *(k + 1 for k in order)), [k + 1 for k in axes]).copy()
    expected[list(axes)] *= -1
    away = degrees_between(labels_to_flow(turned, field=field), expected)[turned > 0]
    # Where the mean is as near to two voxels, or two ways are equally short, one is taken.
    assert not len(away) or np.median(away) < 0.1


@given(volume=label_volumes(), field=st.sampled_from(FIELDS))
@settings(max_examples=25, deadline=None)
def test_decode_flow_returns_components_of_the_least_size(volume, field):
    flow = labels_to_flow(volume, field=field)
    found = decode_flow((volume > 0).astype(np.float32), flow, field=field)
    areas = np.bincount(found.labels.ravel())[1:]
    assert len(areas) == len(found.errors) == len(found.scores)
    assert (areas >= 15).all()
    assert split_components(found.labels).max(initial=0) == len(areas)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


@pytest.mark.parametrize("shape", [(0, 0, 0), (0, 3, 4), (1, 1, 1), (3, 1, 5)])
@pytest.mark.parametrize("field", FIELDS)
def test_empty_in_empty_out(shape, field):
    flow = labels_to_flow(np.zeros(shape, np.int32), field=field)
    assert flow.shape == (3, *shape)
    found = decode_flow(np.zeros(shape, np.float32), flow, field=field)
    assert found.labels.shape == shape
    assert not found.labels.any()
    assert len(found.errors) == len(found.scores) == 0


@pytest.mark.parametrize("field", FIELDS)
def test_one_voxel_has_no_direction_and_is_too_small(field):
    labels = np.zeros((3, 4, 5), np.int32)
    labels[1, 2, 3] = 2**31 - 1
    assert not labels_to_flow(labels, field=field).any()
    assert not round_trip(labels, field=field).any()


@pytest.mark.parametrize("field", FIELDS)
def test_a_volume_of_one_slice_is_decoded_like_a_plane(field):
    plane = np.pad(disc(9), ((0, 0), (0, 3))) + 5 * np.pad(disc(5, 27), ((0, 0), (3, 0)))
    plane[plane > 5] = 1
    flow = labels_to_flow(plane[None], field=field)
    assert not flow[0].any()
    if field == "geodesic":
        np.testing.assert_array_equal(flow[1:, 0], labels_to_flow(plane, field=field))
    np.testing.assert_array_equal(round_trip(plane[None], field=field)[0] > 0, plane > 0)


def test_parts_that_share_no_face_have_a_sink_each():
    labels = np.zeros((4, 4, 8), np.int32)
    labels[:2, :2, :4], labels[2:, 2:, 4:] = 2**31 - 1, 2**31 - 1
    assert len(find_components(labels).sinks) == 2
    found = round_trip(labels)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, labels > 0)


@pytest.mark.parametrize("field", FIELDS)
def test_spacing_gives_the_vectors_of_the_volume_cut_into_cubes(field):
    cubes = in_one_volume([ellipsoid((10, 10, 10)), rod(30, 4, (2, 1, 1))])
    slices = cubes[::2]
    inside = slices > 0
    expected = labels_to_flow(cubes, field=field)[:, ::2]
    away = degrees_between(labels_to_flow(slices, field=field, spacing=(4, 2, 2)), expected)
    ignored = degrees_between(labels_to_flow(slices, field=field), expected)
    assert np.median(away[inside]) < 3
    assert away[inside].mean() < 0.6 * ignored[inside].mean()


def test_flow_error_of_a_volume_is_per_id():
    labels = 9 * in_one_volume([ellipsoid((4, 4, 4)), ellipsoid((5, 4, 4))])
    flow = labels_to_flow(labels, spacing=SPACING)
    flow[:, labels == 18] *= -1
    errors = flow_error(labels, flow, spacing=SPACING)
    assert errors[0] == 0
    assert errors[1] > 3.5


def test_errors_say_what_was_expected():
    labels = ellipsoid((2, 2, 2))
    with pytest.raises(ValueError, match=r"three positive numbers z, y, x .* got \(0, 1, 1\)"):
        labels_to_flow(labels, spacing=(0, 1, 1))
    with pytest.raises(ValueError, match="for 2 axes. Leave it out for a plane"):
        labels_to_flow(labels[3], spacing=SPACING)
    with pytest.raises(ValueError, match=r"\(3, Z, Y, X\), but got \(9, 9, 9\) and \(2, 9, 9, 9\)"):
        decode_flow(labels.astype(np.float32), np.zeros((2, 9, 9, 9), np.float32))
    huge = np.broadcast_to(np.zeros(1, bool), (2**11, 2**10, 2**10))
    with pytest.raises(ValueError, match="at most 2147483647 pixels, but got 2147483648"):
        follow_flow(np.zeros((3, 1, 1, 1), np.float32), huge)


@pytest.mark.parametrize(("field", "overlap"), [("geodesic", 0.9), ("diffusion", 0.7)])
def test_real_nuclei_come_back(shared_data, field, overlap):
    # Where nuclei touch, Cellpose's vectors lead to the other one.
    path = shared_data / "mouse_embryo_3d" / "masks" / "train_Emb02_t501.tif"
    labels = split_components(tifffile.imread(path)[10:40, 20:90, 30:100])
    found = round_trip(labels, field=field, spacing=(2.0, 0.8, 0.8))
    large = np.bincount(labels.ravel())[1:] >= 15
    assert large.sum() > 10
    assert np.mean(iou_per_object(labels, found)[large] >= overlap) >= 0.98
