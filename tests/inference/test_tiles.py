import numpy as np
import pytest
import torch
from tests.inference.stubs import BrightNetwork, BrightTask, whole_maps
from torch import nn

from pancyte.errors import CheckpointError
from pancyte.inference.tiles import Tiling
from pancyte.inference.tta import Predictor
from pancyte.inference.view import View
from pancyte.nn.compact import CompactNet
from pancyte.ops.resample import Shape
from pancyte.tasks import FlowTask
from pancyte.types import Maps


def predict(task, network, pixels, precision="float32", **settings):
    """Predict tiles of pixels that are taken as they are, normalized already."""
    channels, height, width = pixels.shape
    window = slice(0, height), slice(0, width)
    unchanged = np.zeros(channels), np.ones(channels)
    view = View(pixels, unchanged, channels, window, (height, width))
    return whole_maps(Predictor(((task, network),), precision=precision), view, **settings)


def random_image(shape: Shape, channels=3):
    return np.random.RandomState(0).uniform(size=(channels, *shape)).astype(np.float32)


class ConvNetwork(nn.Module):
    """Convolutions that see ``radius`` pixels to each side, with zero padding at the border."""

    def __init__(self, radius, num_classes=2):
        super().__init__()
        self.num_classes = num_classes
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 3 * num_classes, 2 * radius - 1, padding=radius - 1),
        )

    def forward(self, images):
        out = self.layers(images)
        return {"foreground": out[:, : self.num_classes], "flow": out[:, self.num_classes :]}


def whole(task, network, pixels):
    with torch.inference_mode():
        maps = task.infer(network, torch.from_numpy(pixels)[None])
    return Maps(maps.scalars[0].numpy(), maps.vectors[0].numpy())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(96, 160), (100, 333), (31, 200), (64, 64)])
def test_tiles_equal_the_whole_image_for_a_network_that_fits_into_the_overlap(shape, batch):
    torch.manual_seed(0)
    task = FlowTask(classes=("a", "b"))
    network = ConvNetwork(radius=12).eval()  # 3/8 of the overlap of 32
    # A multiple of 32, since tiles extend the image by mirroring where zero padding does not.
    padded = tuple(-(-size // 32) * 32 for size in shape)
    pixels = random_image(padded)

    tiled = predict(task, network, pixels, tiling=Tiling(tile=64, overlap=32, batch=batch))

    expected = whole(task, network, pixels)
    np.testing.assert_allclose(tiled.scalars, expected.scalars, atol=1e-5)
    np.testing.assert_allclose(tiled.vectors, expected.vectors, atol=1e-5)
    assert tiled.vectors.shape == (2, 2, *padded)


def test_a_network_that_sees_farther_than_the_overlap_differs_at_seams():
    torch.manual_seed(0)
    network = ConvNetwork(radius=16).eval()
    task = FlowTask(classes=("a", "b"))
    pixels = random_image((64, 160))

    tiled = predict(task, network, pixels, tiling=Tiling(tile=64, overlap=16))

    assert np.abs(tiled.vectors - whole(task, network, pixels).vectors).max() > 1e-3


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (40, 33), (130, 130)])
def test_compact_network_gives_maps_of_any_size(shape):
    task = FlowTask()
    network = task.network()

    maps = predict(task, network, random_image(shape), tiling=Tiling(tile=128, overlap=32))

    assert maps.scalars.shape == (1, *shape)
    assert maps.vectors.shape == (1, 2, *shape)
    assert maps.scalars.dtype == maps.vectors.dtype == np.float32


def test_an_image_smaller_than_a_tile_is_what_the_network_says_of_it():
    torch.manual_seed(0)
    task = FlowTask()
    network = CompactNet(1).eval()
    pixels = random_image((50, 70))

    maps = predict(task, network, pixels)

    np.testing.assert_allclose(maps.vectors, whole(task, network, pixels).vectors, atol=1e-5)


def test_a_constant_field_is_reproduced_exactly_at_seams():
    pixels = np.full((3, 150, 130), 0.3, dtype=np.float32)

    maps = predict(BrightTask(), BrightNetwork(), pixels, tiling=Tiling(tile=64, overlap=16))

    assert (maps.scalars == np.float32(0.3)).all()
    assert (maps.vectors[:, 1] == -np.float32(0.3)).all()


def test_bfloat16_stays_close_and_returns_float32():
    torch.manual_seed(0)
    task = FlowTask()
    network = CompactNet(1).eval()
    pixels = random_image((64, 64))

    exact = predict(task, network, pixels)
    short = predict(task, network, pixels, precision="bfloat16")

    assert short.vectors.dtype == np.float32
    difference = np.abs(short.scalars - exact.scalars)
    assert 0 < difference.max() < 0.05


def test_the_network_is_evaluated_and_left_as_it_was():
    task = FlowTask()
    network = task.network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = random_image((32, 32))
    pixels.setflags(write=False)

    predict(task, network, pixels)

    assert network.training
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_progress_is_reported_for_each_batch():
    calls = []

    predict(
        BrightTask(),
        BrightNetwork(),
        np.zeros((3, 64, 150), dtype=np.float32),
        tiling=Tiling(tile=64, overlap=0, batch=2),
        on_tile=lambda done, total: calls.append((done, total)),
    )

    assert calls == [(2, 3), (3, 3)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_an_error(value):
    class Broken(nn.Module):
        def forward(self, images):
            return torch.full_like(images[:, :1], value)

    with pytest.raises(CheckpointError, match="not finite.*precision=float32"):
        predict(BrightTask(), Broken(), np.zeros((3, 9, 9), dtype=np.float32))


def test_maps_of_another_size_than_the_tile_are_an_error():
    class Shrinking(nn.Module):
        def forward(self, images):
            return images[:, :1, ::2, ::2]

    with pytest.raises(ValueError, match=r"as large as the tile \(32, 64\), but got"):
        predict(BrightTask(), Shrinking(), np.zeros((3, 32, 64), dtype=np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 100}, "tile to be a multiple of 32, but got 100"),
        ({"tile": 0}, "tile to be a multiple of 32, but got 0"),
        ({"tile": 64, "overlap": 40}, "half of the tile of 64, but got 40"),
        ({"overlap": -1}, "overlap to lie in 0 to half .* got -1"),
        ({"batch": 0}, "batch to be at least 1, but got 0"),
    ],
)
def test_tiling_refuses_values_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Tiling(**settings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_maps():
    torch.manual_seed(0)
    task = FlowTask()
    network = CompactNet(1).eval()
    pixels = random_image((100, 90))
    expected = predict(task, network, pixels)

    found = predict(task, network.cuda(), pixels)

    np.testing.assert_allclose(found.scalars, expected.scalars, atol=1e-2)
