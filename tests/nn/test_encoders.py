from __future__ import annotations

import socket

import pytest
import torch

from pancyte.nn.encoders import build_encoder, find_encoder, list_encoders


@pytest.fixture(autouse=True)
def _no_network(monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an encoder asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_encoders_of_both_libraries_are_listed() -> None:
    names = list_encoders()
    assert {"resnet34", "mit_b5", "tu-convnext_tiny", "tu-tiny_vit_5m_224"} <= set(names)
    assert not any(name.startswith("timm-") for name in names)
    assert list_encoders("MIT_B") == [f"mit_b{size}" for size in range(6)]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("resnet34", "resnet34"),
        ("ResNet34", "resnet34"),
        ("MiT_B0", "mit_b0"),
        ("convnext_tiny", "tu-convnext_tiny"),
        ("TU-ConvNeXt_Tiny", "tu-convnext_tiny"),
        ("tu-resnet34", "tu-resnet34"),
    ],
)
def test_find_encoder_needs_no_letter_case_and_no_mark(given: str, found: str) -> None:
    assert find_encoder(given) == found


@pytest.mark.parametrize(
    ("name", "near"), [("resnet43", "resnet34"), ("convnext_tinny", "tu-convnext_tiny")]
)
def test_an_unknown_encoder_gets_a_near_miss_and_how_to_list(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"no encoder '{name}'.*{near}.*list_encoders"):
        build_encoder(name, in_channels=3)


def test_an_encoder_that_is_like_no_other_gets_no_near_miss() -> None:
    with pytest.raises(ValueError, match=r"no encoder 'qqq'\. pancyte.nn.encoders.list_encoders"):
        find_encoder("qqq")


def test_an_encoder_without_a_pyramid_is_one_sentence() -> None:
    with pytest.raises(
        ValueError, match=r"'tu-test_vit' cannot be used: .* strides 4, 8, 16 and 32 .*convnext"
    ):
        build_encoder("test_vit", in_channels=3)


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["mit_b0", "tu-test_resnet", "tu-test_convnext"])
def test_features_halve_from_the_input_on(name: str, in_channels: int) -> None:
    encoder = build_encoder(name, in_channels=in_channels).eval()
    with torch.inference_mode():
        features = encoder(torch.rand(2, in_channels, 32, 64))
    assert [f.shape[2:] for f in features] == [(32 // s, 64 // s) for s in (1, 2, 4, 8, 16, 32)]
    assert [f.shape[1] for f in features] == encoder.out_channels
    assert encoder.training is False
    assert build_encoder(name, in_channels=in_channels).training


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet18", "vgg11", "densenet121", "mobilenet_v2", "efficientnet-b0", "mobileone_s0",
        "tu-tiny_vit_5m_224", "tu-swin_tiny_patch4_window7_224", "tu-tf_efficientnet_lite0",
        "tu-tresnet_m", "tu-dla34", "tu-mobilenetv4_conv_small", "tu-hrnet_w18_small",
    ],
)  # fmt: skip
def test_families_of_encoders_take_images_they_were_not_made_for(name: str) -> None:
    encoder = build_encoder(name, in_channels=2).eval()
    with torch.inference_mode():
        features = encoder(torch.rand(1, 2, 96, 160))
    assert [f.shape[-1] for f in features] == [160, 80, 40, 20, 10, 5]
    assert features[-1].isfinite().all()
