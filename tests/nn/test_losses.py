import pytest
import torch

from pancyte.nn.losses import (
    binary_cross_entropy,
    dice_loss,
    flow_loss,
    scaled_flow_loss,
    size_loss,
)


def maps(num_classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, num_classes, 5, 6)
    logits = torch.randn(shape, generator=generator).requires_grad_()
    flow = torch.randn((2, 2 * num_classes, 5, 6), generator=generator).requires_grad_()
    truth = (torch.rand(shape, generator=generator) > 0.5).float()
    target = torch.randn(flow.shape, generator=generator)
    valid = torch.rand(shape, generator=generator) > 0.3
    valid[:, 1] = False
    return logits, flow, truth, target, valid


def all_losses(logits, flow, truth, target, valid):
    return {
        "bce": binary_cross_entropy(logits, truth, valid),
        "dice": dice_loss(logits, truth, valid),
        "flow": flow_loss(flow, target, truth, valid, background_weight=0.15),
        "scaled": scaled_flow_loss(flow, target, valid, scale=5.0),
    }


@pytest.mark.parametrize("name", ["bce", "dice", "flow", "scaled"])
def test_gradient_is_exactly_zero_where_nothing_is_annotated(name):
    logits, flow, truth, target, valid = maps()

    all_losses(logits, flow, truth, target, valid)[name].backward()

    gradient = logits.grad if name in ("bce", "dice") else flow.grad
    mask = valid if name in ("bce", "dice") else valid.repeat_interleave(2, dim=1)
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).any()


@pytest.mark.parametrize("name", ["bce", "dice", "flow", "scaled"])
def test_values_where_nothing_is_annotated_change_nothing(name):
    logits, flow, truth, target, valid = maps()
    before = all_losses(logits, flow, truth, target, valid)[name]

    truth = torch.where(valid, truth, 1 - truth)
    target = torch.where(valid.repeat_interleave(2, dim=1), target, 7.0)

    assert all_losses(logits, flow, truth, target, valid)[name] == before


def test_losses_of_no_annotated_pixel_are_zero():
    logits, flow, truth, target, valid = maps()

    losses = all_losses(logits, flow, truth, target, torch.zeros_like(valid))

    assert {name: value.item() for name, value in losses.items()} == {
        "bce": 0.0, "dice": 0.0, "flow": 0.0, "scaled": 0.0,
    }  # fmt: skip


def test_losses_equal_their_formulas():
    logits, flow, truth, target, valid = (tensor[:, :1] for tensor in maps())
    flow, target = maps()[1][:, :2], maps()[3][:, :2]
    expected_bce, expected_flow, expected_scaled, count = 0.0, 0.0, 0.0, 0
    for b in range(2):
        for y in range(5):
            for x in range(6):
                if not valid[b, 0, y, x]:
                    continue
                count += 1
                p = torch.sigmoid(logits[b, 0, y, x]).double()
                t = truth[b, 0, y, x]
                expected_bce -= torch.log(p if t else 1 - p)
                f, g = flow[b, :, y, x], target[b, :, y, x]
                expected_flow += (1.0 if t else 0.15) * ((f - g) ** 2).sum()
                expected_scaled += ((f - 5 * g) ** 2).sum() / 2

    losses = all_losses(logits, flow, truth, target, valid)

    assert losses["bce"].item() == pytest.approx((expected_bce / count).item(), rel=1e-5)
    assert losses["flow"].item() == pytest.approx((expected_flow / count).item(), rel=1e-5)
    assert losses["scaled"].item() == pytest.approx((expected_scaled / count).item(), rel=1e-5)


def test_dice_is_zero_for_the_truth_and_one_for_its_opposite():
    truth = torch.zeros(1, 1, 20, 20)
    truth[..., :10] = 1
    valid = torch.ones_like(truth)

    assert dice_loss(100 * (2 * truth - 1), truth, valid).item() == pytest.approx(0.0, abs=1e-6)
    assert dice_loss(100 * (1 - 2 * truth), truth, valid).item() == pytest.approx(1.0, abs=0.01)


def test_losses_of_bfloat16_are_computed_in_float32():
    logits, flow, truth, target, valid = maps()

    losses = all_losses(logits.bfloat16(), flow.bfloat16(), truth, target, valid)

    assert all(value.dtype == torch.float32 for value in losses.values())


@pytest.mark.parametrize("name", ["bce", "dice", "flow", "scaled"])
def test_losses_refuse_another_number_of_classes(name):
    logits, flow, truth, target, valid = maps()
    calls = {
        "bce": lambda: binary_cross_entropy(logits, truth[:, :1], valid),
        "dice": lambda: dice_loss(logits, truth, valid[:, :1]),
        "flow": lambda: flow_loss(flow, target[:, :2], truth, valid, background_weight=0.15),
        "scaled": lambda: scaled_flow_loss(flow[:, :2], target, valid, scale=5.0),
    }

    with pytest.raises(ValueError, match="same shape, but got .* number of classes"):
        calls[name]()


def test_size_loss_counts_only_what_is_too_small_for_a_cut_object():
    target = torch.zeros(1, 1, 1, 4)
    sizes = torch.tensor([[[[-1.0, 1.0, -1.0, 1.0]]]], requires_grad=True)
    whole = torch.tensor([[[[True, True, False, False]]]])

    loss = size_loss(sizes, target, whole, ~whole)
    loss.backward()

    # Linear beyond a quarter: 1 - 0.25 / 2, for three of four pixels.
    assert loss.item() == pytest.approx(3 / 4 * (1 - 0.125))
    assert sizes.grad.flatten().tolist() == [-0.25, 0.25, -0.25, 0.0]


def test_size_loss_of_no_object_is_zero():
    sizes = torch.randn(1, 2, 3, 3, requires_grad=True)
    nothing = torch.zeros(1, 2, 3, 3, dtype=torch.bool)

    loss = size_loss(sizes, torch.zeros(1, 2, 3, 3), nothing, nothing)
    loss.backward()

    assert loss.item() == 0.0
    assert not sizes.grad.any()


def test_size_loss_weighs_classes():
    sizes, target = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    whole = torch.ones(1, 2, 1, 1, dtype=torch.bool)

    loss = size_loss(sizes, target, whole, ~whole, class_weight=torch.tensor([1.0, 3.0]))

    assert loss.item() == pytest.approx((0.875 + 3 * 2.875) / 4)


def test_size_loss_refuses_another_number_of_classes():
    one, two = torch.zeros(1, 1, 3, 3), torch.zeros(1, 2, 3, 3)

    with pytest.raises(ValueError, match="number of classes of the task and of the labels"):
        size_loss(one, two, two, two)
