import pytest
import torch
from torch import nn

from pancyte.nn.efficientnet import EfficientNetLite0
from pancyte.nn.encoders import build_encoder
from pancyte.nn.weights import adapt_channels, encoder_names, encoder_state, load_matching


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 5])
def test_encoder_state_keeps_the_response_to_gray(in_channels):
    weights = {**EfficientNetLite0().state_dict(), "classifier.weight": torch.zeros(2, 2)}
    stem = weights["conv_stem.weight"]
    encoder = EfficientNetLite0(in_channels)

    state = encoder_state(weights, encoder.state_dict())

    encoder.load_state_dict(state, strict=True)
    torch.testing.assert_close(state["conv_stem.weight"].sum(dim=1), stem.sum(dim=1))


def test_adapt_channels_takes_the_filters_in_turn():
    filters = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    four = adapt_channels(filters, 4).flatten()
    torch.testing.assert_close(four, torch.tensor([1.0, 2.0, 3.0, 1.0]) - 0.25)
    torch.testing.assert_close(adapt_channels(filters, 1).flatten(), torch.tensor([6.0]))


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet", "test_efficientnet"])
def test_weights_under_the_names_of_a_timm_classifier_fill_its_encoder(name):
    import timm

    classifier = timm.create_model(name, pretrained=False)
    encoder = build_encoder(name, in_channels=2)
    target = encoder.state_dict()

    state = encoder_state(classifier.state_dict(), target)

    assert set(state) == set(target)
    encoder.load_state_dict(state, strict=True)


def test_weights_of_a_whole_network_give_those_of_its_encoder_alone():
    weights = {"encoder.a": torch.ones(1), "decoder.a": torch.zeros(1), "a": torch.zeros(1)}
    assert encoder_state(weights, {"model.a": torch.zeros(1)}) == {"model.a": torch.ones(1)}
    assert encoder_names(weights, {"model.a": torch.zeros(1)}) == {"model.a": "encoder.a"}


def test_an_encoder_tensor_of_another_shape_is_left_out():
    assert encoder_state({"a": torch.ones(2)}, {"a": torch.zeros(1)}) == {}


def test_load_matching_reports_what_was_loaded_skipped_and_missing():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.BatchNorm1d(1))
    weights = {
        "0.weight": torch.ones(3, 2),
        "0.bias": torch.ones(4),
        "2.running_mean": torch.ones(1),
        "3.weight": torch.ones(1),
    }

    report = load_matching(network, weights)

    assert report.loaded == ("0.weight", "2.running_mean")
    assert report.skipped == ("0.bias", "3.weight")
    missing = ("0.bias", "1.weight", "1.bias", "2.weight", "2.bias", "2.running_var")
    assert report.missing == (*missing, "2.num_batches_tracked")
    assert report.lacking == missing
    assert torch.equal(network[0].weight, torch.ones(3, 2))


def test_load_matching_strictly_takes_all_or_nothing():
    network = nn.Linear(2, 1)
    before = network.weight.detach().clone()
    with pytest.raises(ValueError, match="1 of them do not fit and 1 are missing: other, bias"):
        load_matching(network, {"weight": torch.ones(1, 2), "other": torch.ones(1)}, strict=True)
    assert torch.equal(network.weight, before)
    whole = {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
    assert load_matching(network, whole, strict=True).missing == ()
