from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pancyte.nn.efficientnet import FEATURE_CHANNELS, EfficientNetLite0, _depthwise
from pancyte.nn.weights import encoder_state

GOLDEN = Path(__file__).parents[1] / "golden"


def test_encoder_gives_five_features_at_strides_2_to_32():
    encoder = EfficientNetLite0(in_channels=2).eval()

    features = encoder(torch.zeros(1, 2, 64, 96))

    expected = [
        (1, channels, 64 >> i, 96 >> i) for i, channels in enumerate(FEATURE_CHANNELS, start=1)
    ]
    assert [tuple(feature.shape) for feature in features] == expected


def test_encoder_has_as_many_parameters_as_published_without_its_classifier():
    count = sum(parameter.numel() for parameter in EfficientNetLite0().parameters())

    # timm's tf_efficientnet_lite0 has 4,652,008; its head is a 320 x 1280 convolution, a batch norm
    # and a linear layer of 1280 x 1000.
    assert count == 4_652_008 - 320 * 1280 - 2 * 1280 - 1280 * 1000 - 1000


@pytest.mark.parametrize(("padding", "even"), [("replicate", True), ("zeros", False)])
def test_coarse_stages_keep_even_features_even_with_replicated_padding(padding, even):
    torch.manual_seed(0)
    encoder = EfficientNetLite0(padding=padding).eval()
    x = torch.ones(1, 24, 32, 32)

    with torch.inference_mode():
        for stage in list(encoder.blocks)[2:]:
            x = stage(x)
            # Scaled up again, because random weights make features fade from stage to stage.
            x = x / x.abs().max()
            spread = x.amax(dim=(2, 3)) - x.amin(dim=(2, 3))
            assert (spread.max().item() < 1e-4) == even


def test_encoder_equals_timm_on_a_golden_image(shared_weights):
    encoder = EfficientNetLite0().eval()
    weights = load_file(shared_weights / "tf_efficientnet_lite0_timm.safetensors")
    encoder.load_state_dict(encoder_state(weights, encoder.state_dict()), strict=True)
    golden = np.load(GOLDEN / "encoder_lite0.npz")

    with torch.inference_mode():
        features = encoder(torch.from_numpy(golden["image"]))

    for index, feature in enumerate(features):
        expected = golden[f"stride_{2 << index}"]
        assert np.abs(expected).max() > 1.0
        np.testing.assert_allclose(feature.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_filters_of_each_channel_learn_in_float32_under_bfloat16(stride):
    torch.manual_seed(0)
    layer = _depthwise(8, kernel=3, stride=stride, padding="zeros")
    x = torch.randn(2, 8, 16, 16).bfloat16()
    layer(x.float()).square().sum().backward()
    exact = layer.weight.grad.clone()
    layer.weight.grad = None

    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        with torch.no_grad():
            unlearned = layer(x)
    y.float().square().sum().backward()

    assert y.dtype == unlearned.dtype == torch.bfloat16
    # Only the result was rounded, to 8 bits.
    assert torch.allclose(layer.weight.grad, exact, rtol=0.02, atol=0.02 * exact.abs().max())
    assert torch.allclose(y, unlearned, rtol=0.02, atol=0.02)
