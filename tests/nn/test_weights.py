import pytest
import torch
from torch import nn

from pancyte.nn.efficientnet import EfficientNetLite0
from pancyte.nn.weights import encoder_state, load_matching


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 5])
def test_encoder_state_keeps_the_response_to_gray(in_channels):
    weights = {**EfficientNetLite0().state_dict(), "classifier.weight": torch.zeros(2, 2)}
    stem = weights["conv_stem.weight"]

    state = encoder_state(weights, in_channels=in_channels)

    EfficientNetLite0(in_channels).load_state_dict(state, strict=True)
    torch.testing.assert_close(state["conv_stem.weight"].sum(dim=1), stem.sum(dim=1))


def test_load_matching_reports_what_was_loaded_skipped_and_missing():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights = {
        "0.weight": torch.ones(3, 2),
        "0.bias": torch.ones(4),
        "2.weight": torch.ones(1),
    }

    report = load_matching(network, weights)

    assert report.loaded == ("0.weight",)
    assert report.skipped == ("0.bias", "2.weight")
    assert report.missing == ("0.bias", "1.weight", "1.bias")
    assert torch.equal(network[0].weight, torch.ones(3, 2))
