"""A large image, decoded block by block, gives what it gives at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pancyte.inference.blocks import Blocks
from pancyte.inference.model import Model
from pancyte.inference.tiles import TiledMaps, Tiling
from pancyte.ops.calibration import Calibration
from pancyte.ops.flow import labels_to_flow
from pancyte.ops.linking import Link
from pancyte.ops.overlap import overlap_table
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask

TILING = Tiling(tile=128, overlap=32)


class ReadsMaps(nn.Module):
    """The image is made of the maps that this network gives, so that they are known exactly."""

    def __init__(self, num_classes=1):
        super().__init__()
        self.num_classes = num_classes

    def forward(self, images):
        foreground = images[:, : self.num_classes]
        return {
            "foreground": 20 * foreground - 10,
            "flow": 4 * images[:, self.num_classes :] - 1,
        }


def maps_image(planes, *, noise=0.0):
    """Return an image (3K, Y, X) in 0 to 1 of the foreground and flow of label planes."""
    generator = np.random.default_rng(1)
    foreground = np.stack([plane > 0 for plane in planes]).astype(np.float32)
    flow = np.concatenate([labels_to_flow(plane) for plane in planes])
    flow += noise * generator.normal(size=flow.shape).astype(np.float32)
    image = np.concatenate([foreground, (np.clip(flow, -1, 1) + 1) / 4])
    image[:, 0, 0], image[:, 0, 1] = 0, 1  # the range that normalization finds
    return image.astype(np.float32)


def ellipses(shape, *, radius, seed=0):
    """Ellipses of random axes and directions in a grid, of which some touch."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    step = int(1.8 * radius)
    count = 0
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    for row in range(radius + 1, shape[0] - radius, step):
        for column in range(radius + 1, shape[1] - radius, step):
            angle, ratio = generator.uniform(0, np.pi), generator.uniform(0.4, 1)
            along = y * np.sin(angle) + x * np.cos(angle)
            across = y * np.cos(angle) - x * np.sin(angle)
            inside = along**2 + (across / ratio) ** 2 <= (radius * generator.uniform(0.6, 1)) ** 2
            count += 1
            window = labels[row - radius : row + radius + 1, column - radius : column + radius + 1]
            window[inside & (window == 0)] = count
    return labels


def model(num_classes=1, *, blocks=None, diameter=None, **task):
    preprocessing = Preprocessing(
        channels=3 * num_classes,
        normalization="channel",
        percentiles=(0.0, 100.0),
        diameter=diameter,
    )
    classes = ("cell", "nucleus")[:num_classes]
    return Model(
        FlowTask(classes=classes, preprocessing=preprocessing, **task),
        ReadsMaps(num_classes),
        tiling=TILING,
        blocks=blocks or Blocks(),
    )


def compare(one, other):
    """Return whether both found the same objects, with the same table, up to their numbers."""
    for first, second in zip(one.labels, other.labels, strict=True):
        table = overlap_table(first, second)
        assert len(table.truth_ids) == len(table.prediction_ids) == (table.iou == 1).sum()
    assert set(one.objects) == set(other.objects)
    key = ("class", "bbox-0", "bbox-1", "centroid-0", "centroid-1")
    orders = [np.lexsort([found.objects[name] for name in key]) for found in (one, other)]
    for name in one.objects:
        if name not in {"label", "parent"}:
            values = [
                found.objects[name][order]
                for found, order in zip((one, other), orders, strict=True)
            ]
            if name in {"score", "flow_error"}:
                # The diffusion field that an object is compared with takes as many steps as the
                # largest object needs that is decoded with it, as Cellpose has it.
                np.testing.assert_allclose(*values, atol=0.03)
            elif name == "foreground":  # sums in another order of the objects
                np.testing.assert_allclose(*values, atol=1e-6)
            else:
                np.testing.assert_array_equal(*values, err_msg=name)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_blocks_give_the_objects_and_the_table_of_the_whole(noise):
    image = maps_image([ellipses((500, 430), radius=20)], noise=noise)
    blocks = Blocks(above=1, size=160, halo=64)

    at_once = model().segment(image, axes="CYX")
    in_blocks = model(blocks=blocks).segment(image, axes="CYX")

    assert at_once.objects.num_objects > 100
    compare(at_once, in_blocks)


def segment_3000(noise):
    """Segment a large image at once and in blocks."""
    image = maps_image([ellipses((3000, 3000), radius=30)], noise=noise)
    tiles = Tiling(tile=512, overlap=96)
    at_once = replace(model(), tiling=tiles).segment(image, axes="CYX")
    blocks = Blocks(above=1, size=1024, halo=128)
    in_blocks = replace(model(blocks=blocks), tiling=tiles).segment(image, axes="CYX")
    assert at_once.objects.num_objects > 2500
    return at_once, in_blocks


@pytest.mark.slow
def test_3000_squared_is_the_same_in_blocks_as_at_once():
    compare(*segment_3000(noise=0.0))


@pytest.mark.slow
def test_3000_squared_with_noise_is_nearly_the_same():
    """Tracks are followed in float32, whose rounding depends on where in the array they are."""
    at_once, in_blocks = segment_3000(noise=0.3)

    table = overlap_table(at_once.labels[0], in_blocks.labels[0])
    assert len(table.truth_ids) == len(table.prediction_ids)
    assert (table.iou >= 0.99).sum() >= 0.999 * len(table.truth_ids)
    assert (table.iou == 1).sum() >= 0.999 * len(table.truth_ids)


@pytest.mark.parametrize("scale", [0.5, 1.6])
def test_blocks_of_a_resized_image_are_those_of_the_whole(scale):
    image = maps_image([ellipses((300, 340), radius=30)])

    at_once = model(diameter=30.0).segment(image, axes="CYX", diameter=30.0 / scale)
    blocks = Blocks(above=1, size=150, halo=90)
    in_blocks = model(diameter=30.0, blocks=blocks).segment(
        image, axes="CYX", diameter=30.0 / scale
    )

    assert at_once.scale == in_blocks.scale == scale
    assert at_once.objects.num_objects > 15
    compare(at_once, in_blocks)


@pytest.mark.parametrize("share_ids", [False, True])
def test_classes_are_linked_after_the_blocks_were_joined(share_ids):
    cells = ellipses((300, 330), radius=20)
    nuclei = cells.copy()
    for axis, step in ((0, 4), (0, -4), (1, 4), (1, -4)):
        nuclei[np.roll(cells, step, axis) != cells] = 0
    links = (Link(child="nucleus", parent="cell", share_ids=share_ids),)
    image = maps_image([cells, nuclei])

    at_once = model(2, links=links).segment(image, axes="CYX")
    blocks = Blocks(above=1, size=100, halo=50)
    in_blocks = model(2, links=links, blocks=blocks).segment(image, axes="CYX")

    compare(at_once, in_blocks)
    table = in_blocks.objects
    children = table["class"] == "nucleus"
    assert (table["parent"][children] > 0).mean() > 0.9
    if share_ids:
        paired = children & (table["parent"] > 0)
        assert (table["parent"][paired] == table["label"][paired]).all()


def test_the_border_of_the_image_is_no_seam():
    image = maps_image([ellipses((300, 330), radius=20)])
    decoding = {"remove_border": 12}
    task = model().task
    settings = replace(task.decoding, **decoding)

    at_once = model(decoding=settings).segment(image, axes="CYX")
    blocks = Blocks(above=1, size=100, halo=50)
    in_blocks = model(decoding=settings, blocks=blocks).segment(image, axes="CYX")

    assert in_blocks.objects.num_objects < model().segment(image, axes="CYX").objects.num_objects
    compare(at_once, in_blocks)


def test_an_object_larger_than_the_halo_is_one():
    labels = np.zeros((150, 400), np.int32)
    labels[60:90, 20:380] = 1
    labels[10:30, 30:60] = 2
    image = maps_image([labels])

    found = model(blocks=Blocks(above=1, size=100, halo=40)).segment(image, axes="CYX")

    table = overlap_table(labels, found.labels[0])
    assert found.objects.num_objects == 2
    assert table.iou.min() >= 0.99
    assert found.objects["score"].min() > 0
    is_large = found.objects["area"] > 1000
    np.testing.assert_array_equal(np.isnan(found.objects["flow_error"]), is_large)


def test_a_calibrated_score_does_not_depend_on_blocks():
    y, x = np.mgrid[:340, :340]
    image = maps_image([(np.hypot(y - 170, x - 170) <= 140).astype(np.int32)])
    calibration = Calibration(
        intercept=3.0,
        weights={"flow_error": -5.0},
        limits={"flow_error": (0.0, 2.0)},
        middles={"flow_error": 0.02},
    )
    scores = [
        replace(model(blocks=blocks), calibration=calibration)
        .segment(image, axes="CYX")
        .objects["score"]
        for blocks in (Blocks(), Blocks(above=1, size=128, halo=32))
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=0.01)


def test_the_largest_part_of_an_image_is_that_of_the_whole_image():
    image = maps_image([ellipses((300, 330), radius=20)])
    settings = replace(model().task.decoding, max_size_fraction=0.009)

    at_once = model(decoding=settings).segment(image, axes="CYX")
    blocks = Blocks(above=1, size=100, halo=50)
    in_blocks = model(decoding=settings, blocks=blocks).segment(image, axes="CYX")

    assert 0 < at_once.objects.num_objects < model().segment(image, axes="CYX").objects.num_objects
    compare(at_once, in_blocks)


def test_every_tile_is_predicted_once_and_in_batches(monkeypatch):
    image = maps_image([ellipses((400, 430), radius=20)])
    calls, kept = [], []
    read = TiledMaps.read

    def watched(self, *args, **options):
        maps = read(self, *args, **options)
        kept.append(len(self._kept))
        return maps

    monkeypatch.setattr(TiledMaps, "read", watched)
    network = model(blocks=Blocks(above=1, size=110, halo=50))
    replace(network, tiling=replace(TILING, batch=3)).segment(
        image, axes="CYX", on_tile=lambda done, total: calls.append((done, total))
    )

    total = calls[-1][1]
    assert calls[-1] == (total, total)
    assert len(calls) < total
    assert total == 4 * 5
    assert max(kept) < total  # only what the seams need
    assert kept[-1] == 0


def test_an_empty_image_gives_no_objects():
    blocks = Blocks(above=1, size=100, halo=50)

    found = model(2, blocks=blocks).segment(np.zeros((6, 230, 210), np.uint8), axes="CYX")

    assert not found.labels.any()
    assert found.objects.num_objects == 0
    assert "area" in found.objects


def test_the_halo_fits_large_objects_where_none_is_given():
    assert Blocks().halo_for(None) == 256
    assert Blocks().halo_for(100.0) == 256
    assert Blocks().halo_for(300.5) == 601
    assert Blocks().halo_for(5000.0) == 2048
    assert Blocks(halo=20).halo_for(300.0) == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"above": 0}, "above to be at least 1 pixel, but got 0"),
        ({"size": 63}, "size to be at least 64 pixels, but got 63"),
        ({"halo": 15}, "halo to be at least 16 pixels, but got 15"),
    ],
)
def test_blocks_refuse_values_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Blocks(**settings)


def test_flips_and_blocks_go_together():
    image = maps_image([ellipses((160, 120), radius=14)])
    blocks = Blocks(above=1, size=80, halo=40)

    class Equivariant(nn.Module):
        def forward(self, images):
            probability = images[:, :1]
            padded = nn.functional.pad(probability, (1, 1, 1, 1), mode="replicate")
            down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
            right = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
            return {"foreground": 20 * probability - 10, "flow": torch.cat([down, right], 1)}

    plain = replace(model(blocks=blocks), network=Equivariant()).segment(image, axes="CYX")
    flipped = replace(model(blocks=blocks), network=Equivariant(), flips=8).segment(
        image, axes="CYX"
    )

    np.testing.assert_array_equal(plain.labels, flipped.labels)
    np.testing.assert_array_equal(plain.objects["score"], flipped.objects["score"])
