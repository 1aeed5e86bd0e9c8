"""Objects of blocks are put together; blocks are cut out of labels that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.ops.labels import make_consecutive, split_components
from pancyte.ops.overlap import overlap_table
from pancyte.ops.seams import SeamJoiner, plan_blocks


def join(labels, *, size, halo, spoil=None):
    """Show each block its window of the labels, its objects numbered anew, and join them."""
    plane = np.zeros(labels.shape, np.int32)
    joiner = SeamJoiner(plane)
    for index, block in enumerate(plan_blocks(labels.shape, size=size, halo=halo)):
        seen = split_components(labels[block.window])
        joiner.add(block, seen if spoil is None else make_consecutive(spoil(index, seen)))
    return joiner.result()


def same_partition(first, second):
    """Whether both divide the plane into the same objects, whatever their numbers."""
    table = overlap_table(first, second)
    return (
        len(table.truth_ids) == len(table.prediction_ids) == len(table.iou)
        and (table.iou == 1).all()
    )


def rectangles(shape, side, gap=1, *, seed=0):
    """Rectangles in rows, of sides up to ``side``, that do not touch."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    count = 0
    for y in range(0, shape[0], side + gap):
        for x in range(0, shape[1], side + gap):
            height, width = generator.integers(1, side + 1, 2)
            count += 1
            labels[y : y + height, x : x + width] = count
    return labels


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.integers(5, 30),
    st.integers(2, 12),
    st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_objects_smaller_than_the_halo_come_out_as_they_were(shape, size, side, seed):
    labels = rectangles(shape, side, seed=seed)

    found = join(labels, size=size, halo=side)

    assert same_partition(labels, found.labels)
    assert sorted(set(found.owners.tolist())) == list(range(1, found.labels.max(initial=0) + 1))
    assert len(found.pieces) == found.labels.max(initial=0)
    assert found.areas.sum() == (labels > 0).sum()


@given(st.integers(0, 20), st.integers(8, 25), st.integers(4, 9))
@settings(max_examples=30, deadline=None)
def test_objects_larger_than_the_halo_are_put_together(seed, size, halo):
    labels = rectangles((60, 70), 40, seed=seed)

    found = join(labels, size=size, halo=halo)

    assert same_partition(labels, found.labels)


def test_a_ring_around_a_block_is_one_object():
    labels = np.zeros((90, 90), np.int32)
    labels[10:80, 10:80] = 1
    labels[20:70, 20:70] = 0
    labels[40:50, 40:50] = 2

    found = join(labels, size=30, halo=6)

    assert same_partition(labels, found.labels)
    assert len(found.pieces) > 2


def test_an_owned_object_replaces_what_another_block_saw_of_it():
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 16:26] = 1  # its anchor, column 20.5, lies in the second block

    def spoil(index, seen):
        if index == 0:
            seen[5, 16:26] = 0  # the first block sees a row less
        return seen

    found = join(labels, size=20, halo=10, spoil=spoil)

    assert same_partition(labels, found.labels)
    assert found.pieces.tolist() == [1]


def test_a_piece_that_no_other_block_confirms_is_dropped():
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 12:26] = 1

    def spoil(index, seen):
        return seen * (index == 0)

    assert join(labels, size=20, halo=4, spoil=spoil).labels.max() == 0
    assert join(labels, size=20, halo=4).labels.max() == 1


def test_touching_objects_stay_apart_and_whole_ones_do_not_take_from_each_other():
    labels = np.repeat(np.arange(1, 11, dtype=np.int32), 4)[None].repeat(20, axis=0)
    plane = np.zeros(labels.shape, np.int32)
    joiner = SeamJoiner(plane)
    for index, block in enumerate(plan_blocks(labels.shape, size=20, halo=9)):
        seen = make_consecutive(labels[block.window])
        if index == 1:
            seen[:, 8] += seen[:, 8] > 0  # a column that the first block gave to another object
        joiner.add(block, seen)

    found = joiner.result()

    table = overlap_table(labels, found.labels)
    assert found.labels.max() == 10
    assert table.iou.max() == 1
    assert np.sort(table.iou)[-10:].min() >= 0.7


def test_an_object_that_lost_pixels_is_one_component():
    plane = np.zeros((3, 40), np.int32)
    joiner = SeamJoiner(plane)
    first, second = plan_blocks(plane.shape, size=20, halo=10)
    left = np.zeros((3, 30), np.int32)
    left[:, 8:24] = 1
    left[:, 24] = 0
    right = np.zeros((3, 30), np.int32)
    right[1, 8:30] = 1  # whole, and owned, but crossed by what the first block owns
    right[:, 29] = 0
    joiner.add(first, left)
    joiner.add(second, right)

    found = joiner.result()

    assert split_components(found.labels).max() == found.labels.max() == 2


def test_no_objects_give_no_objects():
    found = join(np.zeros((50, 60), np.int32), size=20, halo=5)

    assert not found.labels.any()
    assert len(found.pieces) == len(found.owners) == len(found.areas) == 0


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(1, 40), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_cores_cover_the_image_once(shape, size, halo):
    cover = np.zeros(shape, int)

    for block in plan_blocks(shape, size=size, halo=halo):
        cover[block.core] += 1
        for core, window, length, (before, after) in zip(
            block.core, block.window, shape, block.part.open_sides, strict=True
        ):
            assert window.start == max(0, core.start - halo)
            assert window.stop == min(length, core.stop + halo)
            assert (before, after) == (window.start > 0, window.stop < length)
            assert core.stop - core.start <= size
        assert block.part.image_size == shape[0] * shape[1]

    assert (cover == 1).all()


@pytest.mark.parametrize(
    ("shape", "size", "halo"), [((0, 5), 4, 1), ((5, 5), 0, 1), ((5, 5), 4, -1)]
)
def test_plan_blocks_refuses_sizes(shape, size, halo):
    with pytest.raises(ValueError, match="size of at least 1 and a halo of at least 0, but got"):
        plan_blocks(shape, size=size, halo=halo)
