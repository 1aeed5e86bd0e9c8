import numpy as np
import pytest
import torch

from pancyte.config import from_mapping, to_mapping
from pancyte.nn.architectures import Compact
from pancyte.ops.flow import FlowDecoding
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks import FlowTask, Task
from pancyte.types import Maps

TWO = ("cell", "nucleus")


def discs(shape=(64, 80)):
    """Two touching cells, and a nucleus inside the first one."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros((2, *shape), dtype=np.int32)
    labels[0][np.hypot(y - 30, x - 25) < 14] = 4
    labels[0][np.hypot(y - 32, x - 53) < 14] = 9
    labels[1][np.hypot(y - 28, x - 24) < 7] = 4
    return labels


def perfect_maps(task, labels):
    targets = task.encode(labels)
    flow = targets["flow"].reshape(len(labels), 2, *labels.shape[1:])
    return Maps(targets["foreground"], flow)


class FixedNetwork(torch.nn.Module):
    """Returns the same maps for every image."""

    def __init__(self, foreground, flow):
        super().__init__()
        self.foreground = torch.nn.Parameter(foreground)
        self.flow = torch.nn.Parameter(flow)

    def forward(self, images):
        return {"foreground": self.foreground, "flow": self.flow}


def batch_of(targets):
    return {name: torch.from_numpy(value)[None] for name, value in targets.items()}


def test_encode_gives_targets_for_each_class():
    labels = discs()

    targets = FlowTask(classes=TWO).encode(labels)

    assert {name: (value.shape, value.dtype.name) for name, value in targets.items()} == {
        "foreground": ((2, 64, 80), "float32"),
        "flow": ((4, 64, 80), "float32"),
        "valid": ((2, 64, 80), "bool"),
    }
    assert (targets["foreground"] == (labels > 0)).all()
    assert not targets["flow"][2:, labels[1] == 0].any()
    # A pixel above the nucleus' center points down, in channel 2 (y of class 1).
    assert targets["flow"][2, 23, 24] > 0.9


def test_encode_keeps_the_valid_mask():
    valid = np.zeros((2, 64, 80), dtype=np.bool_)

    assert FlowTask(classes=TWO).encode(discs(), valid)["valid"] is valid


@pytest.mark.parametrize("field", ["diffusion", "geodesic"])
def test_decode_of_encode_returns_the_objects_of_each_class(field):
    task = FlowTask(classes=TWO, field=field)
    labels = discs()

    found = task.decode(perfect_maps(task, labels))

    assert found.classes == TWO
    assert found.objects["class"].tolist() == ["cell", "cell", "nucleus"]
    assert found.objects["label"].tolist() == [1, 2, 1]
    assert (found.objects["score"] > 0.8).all()
    for plane, truth in zip(found.labels, labels, strict=True):
        for label in np.unique(truth)[1:]:
            same = np.bincount(plane[truth == label]).argmax()
            overlap = ((plane == same) & (truth == label)).sum()
            assert overlap / ((plane == same) | (truth == label)).sum() > 0.9


def test_decode_of_nothing_is_an_empty_table():
    task = FlowTask(classes=TWO)
    maps = Maps(np.zeros((2, 5, 7), np.float32), np.zeros((2, 2, 5, 7), np.float32))

    found = task.decode(maps)

    assert not found.labels.any()
    assert set(found.objects) == {"class", "label", "score", "foreground", "flow_error"}
    assert found.objects.num_objects == 0


def test_decode_tells_mean_foreground_and_error_of_each_object_and_its_score_is_made_of_them():
    task = FlowTask(classes=("cell",))
    labels = np.zeros((1, 40, 40), np.int32)
    labels[0, 4:16, 4:16], labels[0, 20:36, 20:36] = 1, 2
    targets = task.encode(labels)
    foreground = np.where(labels == 1, 0.9, np.where(labels == 2, 0.6, 0.1)).astype(np.float32)
    flow = targets["flow"][None] * np.where(labels == 2, 0.7, 1.0).astype(np.float32)

    objects = task.decode(Maps(foreground, flow)).objects

    sure = np.argmax(objects["foreground"])
    np.testing.assert_allclose(objects["foreground"][[sure, 1 - sure]], [0.9, 0.6], atol=1e-6)
    np.testing.assert_allclose(objects["flow_error"][[sure, 1 - sure]], [0.0, 0.09], atol=0.01)
    expected = objects["foreground"] * (1 - objects["flow_error"])
    np.testing.assert_allclose(objects["score"], expected, atol=1e-6)


def test_decode_measures_the_smallest_size_in_pixels_of_the_network():
    task = FlowTask(decoding=FlowDecoding(min_size=100))
    maps = perfect_maps(task, discs()[1:])

    assert task.decode(maps, scale=1.0).objects.num_objects == 1
    assert task.decode(maps, scale=0.5).objects.num_objects == 0


@pytest.mark.parametrize("loss", ["balanced", "mediar"])
def test_losses_are_smallest_for_the_truth(loss):
    task = FlowTask(classes=TWO, loss=loss)
    targets = batch_of(task.encode(discs()))
    scale = 5.0 if loss == "mediar" else 1.0
    perfect = FixedNetwork(40.0 * targets["foreground"] - 20.0, scale * targets["flow"])

    losses = task.losses(perfect, torch.zeros(1, 3, 64, 80), targets)

    assert set(losses) == ({"bce", "flow"} if loss == "mediar" else {"bce", "dice", "flow"})
    assert all(value.item() == pytest.approx(0.0, abs=1e-5) for value in losses.values())


def test_mediar_loss_is_bce_and_half_of_the_squared_error_of_five_times_the_flow():
    task = FlowTask(classes=TWO, loss="mediar")
    targets = batch_of(task.encode(discs()))
    torch.manual_seed(0)
    logits, flow = torch.randn(1, 2, 64, 80), torch.randn(1, 4, 64, 80)

    losses = task.losses(FixedNetwork(logits, flow), torch.zeros(1, 3, 64, 80), targets)

    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets["foreground"])
    mse = torch.nn.functional.mse_loss(flow, 5 * targets["flow"])
    assert sum(losses.values()).item() == pytest.approx((bce + 0.5 * mse).item(), abs=1e-6)


def test_losses_have_no_gradient_for_a_class_without_annotation():
    task = FlowTask(classes=TWO)
    valid = np.ones((2, 64, 80), dtype=np.bool_)
    valid[1] = False
    targets = batch_of(task.encode(discs(), valid))
    network = FixedNetwork(torch.randn(1, 2, 64, 80), torch.randn(1, 4, 64, 80))

    sum(task.losses(network, torch.zeros(1, 3, 64, 80), targets).values()).backward()

    assert not network.foreground.grad[:, 1].any()
    assert not network.flow.grad[:, 2:].any()
    assert network.flow.grad[:, :2].any()


def test_losses_refuse_targets_of_another_number_of_classes():
    targets = batch_of(FlowTask().encode(discs()[:1]))
    network = FixedNetwork(torch.randn(1, 2, 64, 80), torch.randn(1, 4, 64, 80))

    with pytest.raises(ValueError, match="number of classes of the task and of the labels"):
        FlowTask(classes=TWO).losses(network, torch.zeros(1, 3, 64, 80), targets)


@pytest.mark.parametrize("loss", ["balanced", "mediar"])
def test_infer_gives_probabilities_and_unit_flow_per_class(loss):
    task = FlowTask(classes=TWO, loss=loss)
    logits = torch.tensor([0.0, 100.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 4).bfloat16()
    flow = torch.arange(4.0).reshape(1, 4, 1, 1).expand(1, 4, 3, 4).bfloat16()
    flow = 5 * flow if loss == "mediar" else flow

    maps = task.infer(FixedNetwork(logits, flow), torch.zeros(1, 3, 3, 4))

    assert maps.scalars.dtype == maps.vectors.dtype == torch.float32
    assert maps.scalars[0, :, 0, 0].tolist() == [0.5, 1.0]
    assert maps.vectors.shape == (1, 2, 2, 3, 4)
    assert maps.vectors[0, :, :, 2, 1].tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_task_trains_its_own_network_one_step():
    task = FlowTask(classes=TWO, preprocessing=Preprocessing(channels=2))
    torch.manual_seed(0)
    network = task.network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    # Two images: at the coarsest stride one has a single pixel, too few for batch norm.
    images = torch.rand(2, 2, 32, 32)
    target = batch_of(task.encode(discs()[:, 16:48, 10:42]))
    targets = {name: torch.cat([value, value]) for name, value in target.items()}
    totals = []
    for _ in range(2):
        loss = sum(task.losses(network, images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())

    assert totals[-1] < totals[0]


@pytest.mark.parametrize(
    "task",
    [
        FlowTask(),
        FlowTask(classes=TWO, loss="mediar", preprocessing=Preprocessing(channels=1)),
        FlowTask(field="geodesic", decoding=FlowDecoding(min_size=30)),
    ],
)
def test_task_survives_its_configuration(task):
    assert from_mapping(Task, to_mapping(task), where="task") == task


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ()}, r"one or more different names, but got \(\)"),
        ({"classes": ("a", "a")}, "different names"),
        ({"classes": ("",)}, "different names"),
        ({"background_weight": 1.5}, "background_weight and label_smoothing in 0 to 1, .* 1.5"),
        ({"flow_weight": -1.0}, "at least 0"),
    ],
)
def test_task_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        FlowTask(**settings)


def test_task_refuses_labels_and_maps_of_another_number_of_classes():
    with pytest.raises(ValueError, match=r"\(1, Y, X\), but got \(2, 64, 80\)"):
        FlowTask().encode(discs())
    with pytest.raises(ValueError, match=r"\(2, Y, X\), but got \(1, 64, 80\)"):
        FlowTask(classes=TWO).decode(perfect_maps(FlowTask(), discs()[:1]))


def with_sizes(**settings):
    return FlowTask(classes=TWO, architecture=Compact(sizes=True), **settings)


def test_encode_for_a_network_with_sizes_tells_them_for_every_fourth_pixel():
    targets = with_sizes().encode(discs((63, 80)))

    assert targets["size"].shape == targets["size_kind"].shape == (2, 16, 20)
    assert (targets["size"].dtype, targets["size_kind"].dtype) == (np.float32, np.uint8)
    assert targets["size"][0, 6, 5] == pytest.approx(np.log2(28 / 30), abs=0.1)
    assert targets["size"][1, 6, 5] == pytest.approx(np.log2(14 / 30), abs=0.1)


def test_losses_of_a_network_with_sizes_are_smallest_for_the_truth_and_can_be_trained():
    task = with_sizes(size_weight=2.0)
    targets = batch_of(task.encode(discs()))
    outputs = {
        "foreground": 40.0 * targets["foreground"] - 20.0,
        "flow": targets["flow"],
        "size": targets["size"],
        "coarse": 40.0 * (targets["size_kind"] > 0) - 20.0,
    }

    right = task.loss_terms(outputs, targets)
    wrong = task.loss_terms(outputs | {"size": targets["size"] + 1.0}, targets)

    assert set(right) == {"bce", "dice", "flow", "size", "coarse"}
    assert all(value.item() == pytest.approx(0.0, abs=1e-5) for value in right.values())
    assert wrong["size"].item() == pytest.approx(2.0 * 0.875)
    network = task.network()
    sum(task.losses(network, torch.rand(1, 3, 64, 80), targets).values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_sizes_need_a_diameter():
    with pytest.raises(ValueError, match="architecture.sizes: sizes are relative to preprocessing"):
        with_sizes(preprocessing=Preprocessing(diameter=None))
