"""``FlowTask`` with several classes: settings of each, links, losses, and missing annotation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy.ndimage import label
from tests.ops.flow_shapes import bar, disc, ellipse, iou_per_object, ring
from tests.tasks.test_flow import TWO, FixedNetwork, batch_of, discs, perfect_maps

from pancyte.config import from_mapping, to_mapping
from pancyte.io.label_files import read_labels, write_labels
from pancyte.nn.architectures import Compact
from pancyte.ops.flow import FlowDecoding
from pancyte.ops.linking import Link
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks import FlowTask, Task
from pancyte.types import Part

TINY = Compact(decoder_channels=(16, 8, 8, 8, 8))
LOSSES = [
    {"loss": "balanced"},
    {"loss": "balanced", "dice_weight": 1.0, "label_smoothing": 0.1},
    {"loss": "mediar"},
    {"loss": "mediar", "direction_weight": 1.0},
    {"loss": "bce", "pos_weights": {"nucleus": 3.0}, "class_weights": {"cell": 0.5}},
    {"loss": "focal"},
    {"loss": "dice"},
    {"loss": "mse", "class_weights": {"nucleus": 2.0}},
]
LINK = Link(child="nucleus", parent="cell")


def random_batch(*, size=32, classes=TWO, images=2):
    """Images of bright discs, and their targets."""
    task = FlowTask(classes=classes, preprocessing=Preprocessing(channels=1))
    top = 32 - size // 2
    labels = discs()[:, top : top + size, 10 : 10 + size]
    pixels = (0.3 * (labels > 0).sum(0)[None] + 0.1).astype(np.float32)
    targets = batch_of(task.encode(labels))
    noise = 0.02 * torch.randn(images, 1, size, size, generator=torch.Generator().manual_seed(1))
    return torch.from_numpy(pixels)[None] + noise, {
        name: torch.cat([value] * images) for name, value in targets.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("settings", LOSSES, ids=str)
def test_each_loss_falls_and_changes_every_tensor(settings):
    task = FlowTask(
        classes=TWO, architecture=TINY, preprocessing=Preprocessing(channels=1), **settings
    )
    torch.manual_seed(0)
    network = task.network()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    # No weight decay, which would change a tensor that the loss does not reach. At 32 pixels the
    # deepest features have one, whose bias batch norm removes again.
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    images, targets = random_batch(size=64)
    totals = []
    for _ in range(21):
        loss = sum(task.losses(network, images, targets).values())
        totals.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert totals[20] <= 0.7 * totals[0], totals
    same = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    assert not same


@pytest.mark.parametrize("settings", LOSSES, ids=str)
def test_a_class_that_was_not_annotated_gets_exactly_no_gradient(settings):
    task = FlowTask(
        classes=TWO, architecture=TINY, preprocessing=Preprocessing(channels=1), **settings
    )
    torch.manual_seed(0)
    network = task.network()
    images, targets = random_batch()
    targets["valid"][:, 1] = False
    targets["foreground"][:, 1] = 1  # whatever stands there

    sum(task.losses(network, images, targets).values()).backward()

    # Rows of the last convolution: K of foreground, then 2K of flow.
    for gradient in (network.head.weight.grad, network.head.bias.grad):
        assert (gradient[[1, 4, 5]] == 0).all()
        assert all(row.any() for row in gradient[[0, 2, 3]])


@pytest.mark.parametrize("settings", LOSSES, ids=str)
def test_an_image_without_a_class_leaves_the_loss_of_the_others_as_it_is(settings):
    settings = {key: value for key, value in settings.items() if key != "class_weights"}
    task = FlowTask(classes=TWO, **settings)
    targets = batch_of(task.encode(discs()))
    torch.manual_seed(0)
    logits, flow = torch.randn(1, 2, 64, 80), torch.randn(1, 4, 64, 80)
    targets["valid"][:, 1] = False
    both = task.losses(FixedNetwork(logits, flow), torch.zeros(1, 3, 64, 80), targets)
    single = FlowTask(classes=TWO[:1], **{k: v for k, v in settings.items() if k != "pos_weights"})
    alone = single.losses(
        FixedNetwork(logits[:, :1], flow[:, :2]),
        torch.zeros(1, 3, 64, 80),
        {name: value[:, : value.shape[1] // 2] for name, value in targets.items()},
    )
    assert {k: v.item() for k, v in both.items()} == pytest.approx(
        {k: v.item() for k, v in alone.items()}, rel=1e-5
    )


def test_class_weights_are_those_of_a_weighted_mean():
    targets = batch_of(FlowTask(classes=TWO).encode(discs()))
    torch.manual_seed(0)
    network = FixedNetwork(torch.randn(1, 2, 64, 80), torch.randn(1, 4, 64, 80))

    def terms(**weights):
        task = FlowTask(classes=TWO, loss="mediar", class_weights=weights)
        losses = task.losses(network, torch.zeros(1, 3, 64, 80), targets)
        return np.array([losses["bce"].item(), losses["flow"].item()])

    cell, nucleus = terms(nucleus=0.0), terms(cell=0.0)
    np.testing.assert_allclose(terms(cell=3.0), (3 * cell + nucleus) / 4, rtol=1e-5)
    np.testing.assert_allclose(terms(cell=2.0, nucleus=2.0), terms(), rtol=1e-5)


def test_losses_can_be_replaced_in_a_subclass():
    class Doubled(FlowTask):
        def losses(self, network, images, targets):
            terms = super().losses(network, images, targets)
            return {name: 2 * value for name, value in terms.items()}

    targets = batch_of(FlowTask(classes=TWO).encode(discs()))
    network = FixedNetwork(torch.randn(1, 2, 64, 80), torch.randn(1, 4, 64, 80))
    images = torch.zeros(1, 3, 64, 80)
    plain = FlowTask(classes=TWO).losses(network, images, targets)
    doubled = Doubled(classes=TWO).losses(network, images, targets)
    assert all(doubled[name].item() == 2 * plain[name].item() for name in plain)
    assert from_mapping(Task, to_mapping(Doubled(classes=TWO)), where="task").classes == TWO


def test_decoding_of_a_class_is_its_own():
    task = FlowTask(classes=TWO, class_decoding={"nucleus": {"min_size": 200}})
    maps = perfect_maps(FlowTask(classes=TWO), discs())
    assert task.decode(maps).objects["class"].tolist() == ["cell", "cell"]
    scored = FlowTask(classes=TWO, class_decoding={"cell": {"foreground_threshold": 1.0}})
    assert scored.decode(maps).objects["class"].tolist() == ["nucleus"]


def test_objects_at_the_border_are_dropped_where_asked():
    labels = np.zeros((2, 40, 40), np.int32)
    labels[0, :9, :12], labels[0, 20:30, 20:30] = 1, 2
    labels[1, 1:9, 1:9] = 1
    task = FlowTask(classes=TWO, class_decoding={"cell": {"remove_border": 1}})
    maps = perfect_maps(task, labels)
    found = task.decode(maps)
    assert found.objects["class"].tolist() == ["cell", "nucleus"]
    assert found.objects["label"].tolist() == [1, 1]
    wide = FlowTask(classes=TWO, decoding=FlowDecoding(remove_border=2))
    assert wide.decode(maps).objects["class"].tolist() == ["cell"]
    # The sides of a part are not those of the image.
    part = Part(1600, ((True, True), (True, True)))
    assert wide.decode(maps, part=part).objects.num_objects == 3


def test_decode_links_the_classes():
    task = FlowTask(classes=TWO, links=(LINK,))
    found = task.decode(perfect_maps(task, discs()))
    assert found.objects["parent"].tolist() == [0, 0, 1]
    assert found.objects["parent_class"].tolist() == ["", "", "cell"]
    assert found.objects["area_ratio"][2] == pytest.approx(0.25, abs=0.05)
    part = Part(64 * 80, ((False, False), (False, False)))
    assert "parent" not in task.decode(perfect_maps(task, discs()), part=part).objects


def test_decode_gives_linked_objects_the_same_id_where_asked():
    labels = discs()
    labels[1] = 0
    labels[1, 25:40, 45:60] = 1  # in the second cell
    labels[1, 50:60, 3:13] = 2  # in none
    task = FlowTask(classes=TWO, links=(Link(child="nucleus", parent="cell", share_ids=True),))
    found = task.decode(perfect_maps(task, labels))
    assert found.objects["label"].tolist() == [1, 2, 2, 3]
    assert found.objects["orphan"].tolist() == [False, False, False, True]
    assert np.unique(found.labels[1]).tolist() == [0, 2, 3]
    assert found.labels[1, 30, 50] == found.labels[0, 30, 50] == 2


@pytest.mark.parametrize("field", ["diffusion", "geodesic"])
def test_perfect_maps_of_hard_shapes_in_two_classes_come_back(field):
    whole = disc(62, side=127)
    assert (whole > 0).mean() > 0.74
    rod = ellipse(60, 6, 30)[1:-1, 1:-1]  # aspect 10
    pairs = [(ring(20, 14, 1.5), disc(10, side=49)), (rod, whole)]
    for planes in pairs:
        task = FlowTask(classes=TWO, field=field)
        found = task.decode(perfect_maps(task, np.stack(planes).astype(np.int32)))
        assert found.objects["label"].tolist() == [1, 1]
        for plane, truth in zip(found.labels, planes, strict=True):
            assert iou_per_object(truth, plane)[0] >= 0.9


def test_a_long_bar_comes_back_in_each_class():
    labels = np.stack([bar(24, 1000), np.roll(bar(24, 1000), 3, axis=0)])
    task = FlowTask(classes=TWO)
    found = task.decode(perfect_maps(task, labels))
    assert found.objects["label"].tolist() == [1, 1]
    for plane, truth in zip(found.labels, labels, strict=True):
        assert iou_per_object(truth, plane)[0] >= 0.99


def test_overlapping_classes_and_nested_objects_of_one_class_keep_their_pixels():
    labels = np.zeros((2, 49, 49), np.int32)
    labels[0] = 2 * ring(20, 14)
    labels[0, 19:30, 19:30] = 1  # inside the ring, of the same class
    labels[1] = disc(20, side=49)  # over both
    task = FlowTask(classes=TWO)
    found = task.decode(perfect_maps(task, labels))
    assert found.objects["class"].tolist() == ["cell", "cell", "nucleus"]
    for plane, truth in zip(found.labels, labels, strict=True):
        assert iou_per_object(truth, plane).min() >= 0.9


def test_every_id_is_one_component_of_a_size_that_is_large_enough():
    rng = np.random.default_rng(0)
    task = FlowTask(classes=TWO, class_decoding={"nucleus": {"min_size": 40}})
    maps = perfect_maps(task, discs())
    noisy = (maps.scalars + rng.normal(0, 0.4, maps.scalars.shape)).astype(np.float32)
    turned = (maps.vectors + rng.normal(0, 0.5, maps.vectors.shape)).astype(np.float32)
    found = task.decode(type(maps)(noisy, turned))
    for plane, name, least in zip(found.labels, TWO, (15, 40), strict=True):
        ids = np.unique(plane[plane > 0])
        assert_array_equal(ids, np.arange(1, len(ids) + 1))
        assert_array_equal(ids, found.objects["label"][found.objects["class"] == name])
        for i in ids:
            assert label(plane == i)[1] == 1
            assert (plane == i).sum() >= least


def test_no_flow_threshold_keeps_all_objects():
    for threshold in (0.0, None):
        task = FlowTask(classes=TWO, decoding=FlowDecoding(flow_threshold=threshold))
        assert task.decode(perfect_maps(task, discs())).objects.num_objects == 3


@pytest.mark.slow
def test_more_objects_than_16_bits_hold_come_back_in_each_class(tmp_path):
    side = 258  # 258 * 258 = 66,564 objects of 4 x 4 pixels
    y, x = np.mgrid[: 6 * side, : 6 * side]
    ids = np.where((y % 6 < 4) & (x % 6 < 4), (y // 6) * side + x // 6 + 1, 0).astype(np.int32)
    labels = np.stack([ids, np.roll(ids, 3, axis=0)])
    task = FlowTask(classes=TWO, decoding=FlowDecoding(min_size=5, flow_threshold=None))
    found = task.decode(perfect_maps(task, labels))
    assert found.objects.num_objects == 2 * side**2 > 2 * 65_535
    assert int(found.labels.max()) == side**2
    write_labels(tmp_path / "many.tif", found.labels, TWO)
    assert_array_equal(read_labels(tmp_path / "many.tif").labels, found.labels)


@pytest.mark.parametrize(
    "task",
    [
        FlowTask(classes=TWO, links=(LINK,), class_weights={"cell": 2.0}),
        FlowTask(classes=TWO, class_decoding={"cell": {"max_size_fraction": None}}),
    ],
)
def test_settings_of_classes_survive_their_configuration(task):
    assert from_mapping(Task, to_mapping(task), where="task") == task


def test_settings_of_one_class_are_read_as_those_of_all():
    own = {"fill_holes": "no", "flow_threshold": "none", "min_size": "20"}
    read = from_mapping(
        FlowTask, {"classes": TWO, "class_decoding": {"cell": own}, "decoding": own}, where="task"
    )
    assert read._decoding("cell") == read.decoding == FlowDecoding(
        fill_holes=False, flow_threshold=None, min_size=20
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"links": (Link(child="nucleus", parent="yeast"),)}, "but got 'yeast'"),
        ({"class_weights": {"yeast": 1.0}}, "class_weights to name classes of .* got 'yeast'"),
        ({"pos_weights": {"yeast": 1.0}}, "pos_weights to name classes of .* got 'yeast'"),
        ({"class_decoding": {"yeast": {}}}, "class_decoding to name classes of .* got 'yeast'"),
        ({"class_decoding": {"cell": {"min_sise": 3}}}, "'min_sise' .did you mean 'min_size'"),
        ({"class_decoding": {"cell": {"min_size": -3}}}, "min_size from 0 to inf, but got -3"),
        ({"class_decoding": {"cell": {"fill_holes": "3"}}}, "cell: fill_holes: .* got '3'"),
        ({"class_decoding": {"cell": {"min_size": "abc"}}}, "min_size: .* whole number, got 'abc'"),
        ({"class_weights": {"cell": 0.0, "nucleus": 0.0}}, "one class with a weight above 0"),
        ({"class_weights": {"cell": -1.0}}, "class_weights and pos_weights of at least 0"),
        ({"loss": "dice", "pos_weights": {"cell": 2.0}}, "the loss 'dice' has no BCE"),
        ({"loss": "mse", "label_smoothing": 0.1}, "label_smoothing 0.1: the loss 'mse' has no BCE"),
        ({"label_smoothing": 1.5}, "label_smoothing in 0 to 1"),
        ({"direction_weight": -1.0}, "direction_weight and focal_gamma of at least 0"),
    ],
)
def test_settings_of_classes_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        FlowTask(classes=TWO, **settings)
