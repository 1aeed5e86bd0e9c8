import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.ops.symmetry import SYMMETRIES, choose_symmetries
from pancyte.types import Maps

names = st.sampled_from(sorted(SYMMETRIES))
shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))


def random_maps(shape, seed=0):
    generator = np.random.default_rng(seed)
    return Maps(
        generator.normal(size=(2, *shape)).astype(np.float32),
        generator.normal(size=(3, 2, *shape)).astype(np.float32),
    )


@given(names, shapes)
@settings(max_examples=50, deadline=None)
def test_the_inverse_undoes_images_and_vectors(name, shape):
    maps = random_maps(shape)
    symmetry = SYMMETRIES[name]

    back = symmetry.inverse.maps(symmetry.maps(maps))

    np.testing.assert_array_equal(back.scalars, maps.scalars)
    np.testing.assert_array_equal(back.vectors, maps.vectors)


@given(names, shapes)
@settings(max_examples=50, deadline=None)
def test_vectors_point_to_the_pixels_that_they_pointed_to(name, shape):
    """A field towards one place, moved, points towards the moved place."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    place = np.zeros(shape, np.float32)
    place[shape[0] // 2, shape[1] // 3] = 1
    towards = np.stack([shape[0] // 2 - y, shape[1] // 3 - x])
    symmetry = SYMMETRIES[name]

    moved = symmetry.vectors(towards)

    ((row, column),) = np.argwhere(symmetry.pixels(place))
    y, x = np.mgrid[: moved.shape[1], : moved.shape[2]]
    np.testing.assert_array_equal(moved, np.stack([row - y, column - x]))


@given(names, names)
@settings(max_examples=64, deadline=None)
def test_two_in_a_row_are_one_of_the_eight(first, second):
    maps = random_maps((3, 4))
    both = SYMMETRIES[second].maps(SYMMETRIES[first].maps(maps))

    found = [s.maps(maps) for s in SYMMETRIES.values()]

    same = [
        f.scalars.shape == both.scalars.shape
        and np.array_equal(f.scalars, both.scalars)
        and np.array_equal(f.vectors, both.vectors)
        for f in found
    ]
    assert sum(same) == 1


@given(names, shapes)
@settings(max_examples=30, deadline=None)
def test_tensors_are_moved_as_arrays_are_and_inputs_stay(name, shape):
    maps = random_maps(shape)
    kept = maps.vectors.copy()
    tensors = Maps(torch.from_numpy(maps.scalars.copy()), torch.from_numpy(maps.vectors.copy()))

    moved, expected = SYMMETRIES[name].maps(tensors), SYMMETRIES[name].maps(maps)

    np.testing.assert_array_equal(moved.scalars.numpy(), expected.scalars)
    np.testing.assert_array_equal(moved.vectors.numpy(), expected.vectors)
    np.testing.assert_array_equal(tensors.vectors.numpy(), kept)
    np.testing.assert_array_equal(maps.vectors, kept)


@pytest.mark.parametrize(("number", "count"), [(1, 1), (3, 3), (4, 4), (8, 8)])
def test_usual_numbers_of_symmetries(number, count):
    chosen = choose_symmetries(number)

    assert len(set(chosen)) == count
    assert chosen[0] == SYMMETRIES["identity"]
    assert set(choose_symmetries(3)) == {SYMMETRIES[n] for n in ("identity", "flip_y", "flip_x")}


@pytest.mark.parametrize("chosen", [0, 2, 16, (), ("flip_z",), ("flip_x", "flip_x")])
def test_other_choices_are_refused(chosen):
    with pytest.raises(ValueError, match=r"flips to be 1, 3, 4, 8, or different ones of identity,"):
        choose_symmetries(chosen)
