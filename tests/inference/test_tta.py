"""Flips, turns and several networks: what is averaged means the same in all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inference.stubs import BrightNetwork, BrightTask, whole_maps
from torch import nn

from pancyte.errors import CheckpointError
from pancyte.inference.tiles import Tiling
from pancyte.inference.tta import Predictor
from pancyte.inference.view import View
from pancyte.ops.symmetry import SYMMETRIES, choose_symmetries
from pancyte.runtime import using_threads
from pancyte.tasks.flow import FlowTask
from pancyte.types import Maps


class Gradient(nn.Module):
    """The slope of the image as a field, which turns with it; an equivariant network.

    Differences to both sides are taken, since a difference to one side has a handedness.
    """

    def forward(self, images):
        plane = nn.functional.pad(images[:, :1], (1, 1, 1, 1), mode="replicate")
        down = plane[:, :, 2:, 1:-1] - plane[:, :, :-2, 1:-1]
        right = plane[:, :, 1:-1, 2:] - plane[:, :, 1:-1, :-2]
        return {"foreground": images[:, :1], "flow": torch.cat([down, right], dim=1)}


class Handed(nn.Module):
    """Says how far right and down a pixel lies, whatever the image shows."""

    def forward(self, images):
        size, _, height, width = images.shape
        down = torch.linspace(-1, 1, height)[:, None].expand(height, width)
        right = torch.linspace(0, 1, width)[None].expand(height, width)
        flow = torch.stack([down, right]).expand(size, 2, height, width)
        return {"foreground": right.expand(size, 1, height, width), "flow": flow}


def image_view(pixels):
    channels, height, width = pixels.shape
    unchanged = np.zeros(channels), np.ones(channels)
    window = slice(0, height), slice(0, width)
    return View(pixels, unchanged, channels, window, (height, width))


def random_image(shape, channels=1):
    return np.random.RandomState(0).uniform(size=(channels, *shape)).astype(np.float32)


@given(
    st.sampled_from([3, 4, 8, ("turn_90",), ("flip_x", "anti_transpose", "turn_270")]),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
@settings(max_examples=20, deadline=None)
def test_an_equivariant_network_gives_the_same_with_and_without(flips, shape):
    """Exactly the same, on tiles that are not square too."""
    task, view = FlowTask(), image_view(random_image(shape))
    tiling = Tiling(tile=64, overlap=16, batch=2)
    members = ((task, Gradient()),)

    alone = whole_maps(Predictor(members), view, tiling=tiling)
    together = whole_maps(Predictor(members, choose_symmetries(flips)), view, tiling=tiling)

    np.testing.assert_array_equal(together.scalars, alone.scalars)
    np.testing.assert_array_equal(together.vectors, alone.vectors)


def test_the_mean_is_that_of_the_maps_turned_back():
    task, view = FlowTask(), image_view(random_image((32, 64)))
    network = Handed()

    three = whole_maps(Predictor(((task, network),), choose_symmetries(3)), view)

    # Flipped along x, right is left: the foreground averages, and the vector has the other sign.
    with torch.inference_mode():
        plain = task.infer(network, torch.zeros(1, 1, 32, 64))
    f, (down, right) = plain.scalars[0, 0].numpy(), plain.vectors[0, 0].numpy()
    np.testing.assert_allclose(three.scalars[0], (f + f + f[:, ::-1]) / 3, atol=1e-6)
    np.testing.assert_allclose(three.vectors[0, 0], (down + down - down[::-1]) / 3, atol=1e-6)
    np.testing.assert_allclose(three.vectors[0, 1], (right + right - right[:, ::-1]) / 3, atol=1e-6)


def test_all_eight_leave_no_handedness():
    predictor = Predictor(((FlowTask(), Handed()),), choose_symmetries(8))

    maps = whole_maps(predictor, image_view(random_image((64, 64))))

    for symmetry in SYMMETRIES.values():
        turned = symmetry.maps(maps)
        np.testing.assert_allclose(turned.scalars, maps.scalars, atol=1e-6)
        np.testing.assert_allclose(turned.vectors, maps.vectors, atol=1e-6)


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        return torch.full_like(images[:, :1], self.value)


@pytest.mark.parametrize("flips", [1, 8])
def test_networks_are_averaged_each_by_its_own_task(flips):
    class Doubled(BrightTask):
        def infer(self, network, images):
            maps = super().infer(network, images)
            return Maps(2 * maps.scalars, maps.vectors)

    members = ((BrightTask(), Constant(0.25)), (Doubled(), Constant(0.5)))
    predictor = Predictor(members, choose_symmetries(flips))

    maps = whole_maps(predictor, image_view(random_image((40, 90))))

    assert (maps.scalars == np.float32(0.625)).all()


def test_networks_are_left_in_the_mode_that_they_were_in():
    first, second = BrightNetwork().train(), BrightNetwork().eval()
    predictor = Predictor(((BrightTask(), first), (BrightTask(), second)))

    predictor.predict(random_image((32, 32))[None])

    assert first.training
    assert not second.training


def test_lanes_share_a_network_that_stays_in_evaluation():
    class Mode(BrightNetwork):
        def forward(self, images):
            seen.append(self.training)
            return super().forward(images)

    seen = []
    network = Mode().train()
    predictor = Predictor(((BrightTask(), network),))
    tiles = [random_image((16, 16))[None] * factor for factor in (0.2, 0.4, 0.6, 0.8)]
    with using_threads(2):
        found = list(predictor.predict_each(tiles, count=4))

    assert seen == [False] * 4
    assert network.training
    for tile, maps in zip(tiles, found, strict=True):
        np.testing.assert_array_equal(maps.scalars, predictor.predict(tile).scalars)


def test_one_bad_network_is_enough_to_stop():
    members = ((BrightTask(), Constant(0.25)), (BrightTask(), Constant(float("nan"))))

    with pytest.raises(CheckpointError, match="not finite"):
        Predictor(members).predict(random_image((32, 32))[None])
