from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.ops.tiling import Blender, covered_window, cut_tile, tile_grid

grids = st.tuples(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([(8, 0, 1), (8, 4, 1), (8, 4, 2), (16, 6, 4), (12, 4, 4), (32, 16, 8)]),
)


def reader(image):
    return lambda rows, columns: image[:, rows, columns]


def make_grid(case):
    shape, (tile, overlap, multiple) = case
    return tile_grid(shape, tile=tile, overlap=overlap, multiple=multiple)


@given(grids)
@settings(max_examples=50, deadline=None)
def test_cutting_and_blending_the_identity_returns_the_image(case):
    grid = make_grid(case)
    image = np.random.RandomState(0).normal(size=(2, *grid.image)).astype(np.float32)
    blender = Blender(grid, 2)

    for tile in grid.tiles:
        blender.add(tile, cut_tile(reader(image), grid, tile))

    np.testing.assert_allclose(blender.result(), image, atol=1e-6)


@given(grids, st.data())
@settings(max_examples=50, deadline=None)
def test_a_window_is_blended_as_the_whole_is(case, data):
    grid = make_grid(case)
    window = []
    for size in grid.image:
        start = data.draw(st.integers(0, size - 1))
        window.append(slice(start, data.draw(st.integers(start + 1, size))))
    values = np.random.RandomState(0).normal(size=(len(grid.tiles), 2, *grid.tile))
    whole, part = Blender(grid, 2), Blender(grid, 2, tuple(window))

    for tile, value in zip(grid.tiles, values.astype(np.float32), strict=True):
        whole.add(tile, value)
        rows, columns = covered_window(grid, tile)
        part.add(tile, value)
        assert rows.start >= tile.start[0]
        assert columns.stop <= grid.image[1]

    assert np.array_equal(part.result(), whole.result()[:, *window])


@given(grids, st.floats(width=32, allow_nan=False, min_value=-(2.0**100), max_value=2.0**100))
@settings(max_examples=50, deadline=None)
def test_blending_a_constant_is_exact(case, value):
    grid = make_grid(case)
    blender = Blender(grid, 1)

    for tile in grid.tiles:
        blender.add(tile, np.full((1, *grid.tile), value, dtype=np.float32))

    assert (blender.result() == np.float32(value)).all()


@given(grids)
@settings(max_examples=50, deadline=None)
def test_weights_of_all_tiles_sum_to_one(case):
    grid = make_grid(case)
    extended = np.zeros(np.add(grid.image, grid.tile))

    for tile in grid.tiles:
        y, x = tile.start
        extended[y : y + grid.tile[0], x : x + grid.tile[1]] += np.outer(tile.rows, tile.columns)

    height, width = grid.image
    np.testing.assert_allclose(extended[:height, :width], 1.0, atol=1e-9)


@given(grids)
@settings(max_examples=50, deadline=None)
def test_tiles_are_aligned_and_the_outer_overlap_has_no_weight(case):
    _, (_, overlap, multiple) = case
    grid = make_grid(case)

    for tile in grid.tiles:
        assert all(start % multiple == 0 for start in tile.start)
        for weights, start, size in zip(
            (tile.rows, tile.columns), tile.start, grid.image, strict=True
        ):
            margin = int(overlap * 3 / 8)
            if start > 0:
                assert not any(weights[:margin])
            if start + len(weights) < size:
                assert not any(weights[len(weights) - margin :])


@given(grids)
@settings(max_examples=50, deadline=None)
def test_tiles_share_the_overlap_and_are_as_small_as_their_number_allows(case):
    shape, (tile, overlap, multiple) = case
    grid = make_grid(case)

    for size, length, axis in zip(shape, grid.tile, (0, 1), strict=True):
        starts = sorted({part.start[axis] for part in grid.tiles})
        assert length <= tile
        assert all(b - a <= length - overlap for a, b in pairwise(starts))
        smaller = length - multiple
        if len(starts) > 1 and smaller >= max(2 * overlap, multiple + overlap):
            more = tile_grid((size, 1), tile=smaller, overlap=overlap, multiple=multiple)
            assert len(more.tiles) > len(starts)


def test_tiles_of_usual_images_are_few_and_small():
    for size, tile, count in ((700, 704, 1), (800, 448, 2), (1024, 576, 2), (2048, 768, 3)):
        grid = tile_grid((size, 32), tile=768, overlap=96, multiple=32)

        assert (grid.tile[0], len(grid.tiles)) == (tile, count)


def test_blending_mixes_smoothly_in_the_middle_of_the_overlap():
    grid = tile_grid((8, 48), tile=32, overlap=16)
    assert [tile.start for tile in grid.tiles] == [(0, 0), (0, 16)]
    blender = Blender(grid, 1)

    for value, tile in enumerate(grid.tiles):
        blender.add(tile, np.full((1, *grid.tile), value, dtype=np.float32))

    row = blender.result()[0, 3]
    assert not row[:22].any()
    assert (row[26:] == 1).all()
    np.testing.assert_allclose(row[22:26], [0.043, 0.316, 0.684, 0.957], atol=1e-3)


def test_cut_tile_mirrors_beyond_the_image_and_repeats_where_it_cannot():
    image = np.array([[[1, 2, 3, 4, 5]]], dtype=np.float32)
    grid = tile_grid((1, 5), tile=8, overlap=0, multiple=8)

    tile = cut_tile(reader(image), grid, grid.tiles[0])

    assert tile.shape == (1, 8, 8)
    assert tile[0, 0].tolist() == [1, 2, 3, 4, 5, 4, 3, 2]
    assert (tile[0] == tile[0, :1]).all()


@pytest.mark.parametrize(
    ("shape", "tile", "overlap", "message"),
    [
        ((0, 5), 8, 0, r"at least one pixel, but got shape \(0, 5\)"),
        ((5, 5), 6, 0, "multiple of 4 pixels .* got tile 6 and overlap 0"),
        ((5, 5), 8, 5, "at most half of it, but got tile 8 and overlap 5"),
        ((5, 5), 8, -1, "but got tile 8 and overlap -1"),
    ],
)
def test_tile_grid_refuses_sizes(shape, tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        tile_grid(shape, tile=tile, overlap=overlap, multiple=4)
