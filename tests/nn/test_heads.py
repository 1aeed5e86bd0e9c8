import pytest
import torch
from torch import nn

from pancyte.nn.architectures import MEDIAR_FORMER, MEDIAR_V, EncoderDecoder
from pancyte.nn.heads import DenseHead, largest_groups


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_heads_of_mediar_former_have_the_published_size():
    assert parameters(DenseHead(64, 1, MEDIAR_FORMER)) == 18_817
    assert parameters(DenseHead(64, 2, MEDIAR_FORMER)) == 19_106


@pytest.mark.parametrize(
    ("num_classes", "logits", "flow"),
    [(1, 18_785, 19_074), (2, 19_074, 19_652), (3, 19_363, 20_230)],
)
def test_heads_of_mediar_v_have_the_published_size(num_classes, logits, flow):
    assert parameters(DenseHead(64, num_classes, MEDIAR_V)) == logits
    assert parameters(DenseHead(64, 2 * num_classes, MEDIAR_V)) == flow


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("order", ["norm_activation", "activation_norm"])
def test_head_computes_its_layers_in_their_order(norm, order):
    torch.manual_seed(0)
    head = DenseHead(16, 3, EncoderDecoder(head_norm=norm, head_order=order)).eval()
    middle = [head.norm, nn.Mish()] if order == "norm_activation" else [nn.Mish(), head.norm]
    x = torch.randn(2, 16, 5, 6)
    expected = nn.Sequential(head.conv1, *middle, head.conv2)(x)
    torch.testing.assert_close(head(x), expected)
    assert (head.conv1.bias is None) == (order == "norm_activation")
    assert isinstance(head.norm, nn.GroupNorm if norm == "group" else nn.BatchNorm2d)


def test_head_that_starts_at_zero_gives_exactly_zero():
    head = DenseHead(16, 3, EncoderDecoder(zero_init_heads=True))
    assert not head(torch.randn(2, 16, 5, 6)).any()
    assert DenseHead(16, 3, EncoderDecoder())(torch.randn(2, 16, 5, 6)).any()


def test_head_enlarges_what_a_coarse_decoder_left():
    head = DenseHead(16, 3, EncoderDecoder(upsample=4))
    assert head(torch.randn(2, 16, 5, 6)).shape == (2, 3, 20, 24)


@pytest.mark.parametrize(
    ("channels", "most", "groups"), [(32, 32, 32), (32, 8, 8), (48, 32, 16), (9, 8, 1), (12, 8, 4)]
)
def test_largest_groups_divides_the_channels(channels, most, groups):
    assert largest_groups(channels, most) == groups


def test_a_default_head_averages_over_channels_and_not_each_alone():
    """32 groups of 32 channels (InstanceNorm) remove what a channel says of the whole tile."""
    norm = DenseHead(64, 1, EncoderDecoder()).norm
    constant = torch.arange(32.0).reshape(1, 32, 1, 1).expand(1, 32, 8, 8)
    assert norm(constant).abs().max() > 1
    assert DenseHead(64, 1, MEDIAR_V).norm(constant).abs().max() < 1e-3
