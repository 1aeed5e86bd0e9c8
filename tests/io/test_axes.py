"""Axes, channels and units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pancyte.errors import InputError, UsageError
from pancyte.io.axes import choose_channels, micrometres, resolve_axes, to_image_axes


@given(axes=st.permutations("TCZYX"), num_axes=st.integers(0, 3))
def test_to_image_axes_moves_each_axis_where_it_belongs(axes, num_axes):
    # Of T, C and Z only some are there; T must have length 1.
    present = {"Y", "X", *"CZT"[:num_axes]}
    axes = "".join(letter for letter in axes if letter in present)
    sizes = {"T": 1, "C": 2, "Z": 3, "Y": 4, "X": 5}
    shape = [sizes[letter] for letter in axes]
    array = np.arange(math.prod(shape)).reshape(shape)
    image = to_image_axes(array, axes)
    assert image.shape == tuple(
        {"C": 1, **{letter: sizes[letter] for letter in present}}[letter]
        for letter in "CZYX"
        if letter in present | {"C"}
    )
    index = {"T": 0, "C": 1, "Z": 2, "Y": 3, "X": 1}
    there = tuple(index[letter] for letter in axes)
    here = tuple(
        index[letter] if letter in present else 0 for letter in "CZYX" if letter in present | {"C"}
    )
    assert image[here] == array[there]
    assert np.shares_memory(image, array)


def test_to_image_axes_drops_a_single_slice():
    assert to_image_axes(np.zeros((1, 4, 5)), "ZYX").shape == (1, 4, 5)


def test_to_image_axes_refuses_a_wrong_number_of_letters():
    with pytest.raises(ValueError, match=r"one letter for each axis of shape \(4, 5\).*'CYX'"):
        to_image_axes(np.zeros((4, 5)), "CYX")


def test_resolve_axes_refuses_channels_beside_color_samples():
    with pytest.raises(InputError, match="has channels and color samples at once"):
        resolve_axes((2, 8, 9, 3), "CYXS", axes=None, where="a.tif")
    assert resolve_axes((1, 8, 9, 3), "CYXS", axes=None, where="a.tif") == "QYXC"


def test_resolve_axes_takes_samples_as_another_name_of_channels():
    assert resolve_axes((8, 9, 3), "YXS", axes="yxs", where="a.tif") == "YXC"


@pytest.mark.parametrize(
    ("unit", "length"),
    [("um", 1), ("\u03bcm", 1), ("Micrometer", 1), (r"\u00B5m", 1), ("nm", 1e-3), ("mm", 1e3),
     ("Å", 1e-4), ("inch", None), ("pixel", None), ("", None)],
)  # fmt: skip
def test_micrometres_knows_the_units_of_length(unit, length):
    assert micrometres(unit) == length


def test_choose_channels_prefers_a_name_to_an_index():
    assert choose_channels("1", ["1", "0"], count=2, where="a.tif") == [0]


def test_choose_channels_does_not_choose_between_equal_names():
    with pytest.raises(UsageError, match="Choose from 0 to 1 or the names x, X"):
        choose_channels("x", ["x", "X"], count=2, where="a.tif")


def test_letters_that_a_file_has_twice_are_those_of_its_last_axes():
    assert resolve_axes((1, 1, 1), "XYX", axes=None, where="a.tif") == "QYX"
    with pytest.raises(InputError, match="does not say what each axis is"):
        resolve_axes((4, 5, 6), "XYX", axes=None, where="a.tif")
