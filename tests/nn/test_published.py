"""Weights made to the published names and shapes load whole, and the network computes the same.

The networks of the two systems are made here from their descriptions: the trunk by the library that
they use, the heads layer by layer.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pancyte.nn.architectures import MEDIAR_FORMER, MEDIAR_V, build_network
from pancyte.nn.published import is_mediar, is_mediar_v, mediar_state, mediar_v_state
from pancyte.nn.weights import load_matching

SMALL = (32, 24, 16, 16, 16)
PUBLISHED = (1024, 512, 256, 128, 64)


class Published(nn.Module):
    """Trunk and heads as the two systems describe them."""

    def __init__(self, encoder: str, channels: tuple[int, ...], heads: dict[str, nn.Module]):
        super().__init__()
        from segmentation_models_pytorch import MAnet

        trunk = MAnet(
            encoder, encoder_weights=None, decoder_channels=channels,
            decoder_pab_channels=256 if channels == PUBLISHED else 16,
        )  # fmt: skip
        self.encoder, self.decoder = trunk.encoder, trunk.decoder
        relus = [n for n, m in self.decoder.named_modules() if isinstance(m, nn.ReLU)]
        for name in relus:
            parent, _, last = name.rpartition(".")
            setattr(self.decoder.get_submodule(parent), last, nn.Mish())
        for name, head in heads.items():
            self.add_module(name, head)

    def forward(self, images):
        x = self.decoder(self.encoder(images))
        return {name: head(x) for name, head in self.named_children() if name.endswith("head")}


def mediar(encoder="mit_b0", channels=SMALL) -> nn.Module:
    def head(out):
        width = channels[-1] // 2
        return nn.Sequential(
            nn.Conv2d(channels[-1], width, 3, padding=1), nn.Mish(), nn.BatchNorm2d(width),
            nn.Conv2d(width, out, 3, padding=1), nn.Identity(), nn.Identity(),
        )  # fmt: skip

    torch.manual_seed(1)
    network = Published(encoder, channels, {"cellprob_head": head(1), "gradflow_head": head(2)})
    return filled(network)


def mediar_v(num_classes, *, encoder="mit_b0", channels=SMALL, norm="group") -> nn.Module:
    def head(out):
        width = channels[-1] // 2
        return nn.Sequential(
            nn.Conv2d(channels[-1], width, 3, padding=1, bias=False),
            nn.GroupNorm(width, width) if norm == "group" else nn.BatchNorm2d(width),
            nn.Mish(), nn.Conv2d(width, out, 3, padding=1),
        )  # fmt: skip

    torch.manual_seed(1)
    heads = {"logits_head": head(num_classes), "gradflow_head": head(2 * num_classes)}
    return filled(Published(encoder, channels, heads))


def filled(network: nn.Module) -> nn.Module:
    """Give normalizations other values than those they start with."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.1, 0.1)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def assert_same_outputs(theirs, ours, heads, size=(32, 64)) -> None:
    image = torch.rand(1, 3, *size)
    with torch.inference_mode():
        expected, outputs = theirs(image), ours.eval()(image)
    torch.testing.assert_close(outputs["foreground"], expected[heads[0]], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outputs["flow"], expected[heads[1]], rtol=1e-4, atol=1e-4)


def check_mediar(theirs: nn.Module) -> None:
    weights = theirs.state_dict()
    assert len(weights) == len(set(weights))
    converted = mediar_state({f"module.{n}": v for n, v in weights.items()})
    assert converted.skipped == ()
    assert set(converted.names) == {f"module.{n}" for n in weights}
    assert (converted.num_classes, converted.in_channels) == (1, 3)
    torch.manual_seed(2)
    ours = build_network(converted.architecture, num_classes=1, in_channels=3)
    report = load_matching(ours, converted.state, strict=True)
    assert len(report.loaded) == len(weights)
    assert_same_outputs(theirs, ours, ("cellprob_head", "gradflow_head"))


def test_weights_of_mediar_all_load_and_compute_the_same() -> None:
    theirs = mediar()
    check_mediar(theirs)
    converted = mediar_state(theirs.state_dict())
    assert converted.architecture.encoder == "mit_b0"
    # The head of the foreground is mapped, not lost; the trunk keeps its names.
    assert set(converted.renamed) == {n for n in theirs.state_dict() if "_head." in n}
    assert len(converted.renamed) == 18
    assert converted.renamed["cellprob_head.3.weight"] == "foreground_head.conv2.weight"
    assert converted.renamed["gradflow_head.0.bias"] == "flow_head.conv1.bias"


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_weights_of_mediar_v_all_load_and_compute_the_same(num_classes, norm) -> None:
    theirs = mediar_v(num_classes, norm=norm)
    converted = mediar_v_state(theirs.state_dict())
    assert converted.skipped == ()
    assert converted.num_classes == num_classes
    assert converted.architecture.head_norm == norm
    ours = build_network(converted.architecture, num_classes=num_classes, in_channels=3)
    load_matching(ours, converted.state, strict=True)
    assert_same_outputs(theirs, ours, ("logits_head", "gradflow_head"))


def test_a_tensor_without_a_place_is_named() -> None:
    weights = {**mediar().state_dict(), "segmentation_head.0.weight": torch.zeros(3)}
    assert mediar_state(weights).skipped == ("segmentation_head.0.weight",)


def test_the_two_systems_are_told_apart_by_their_heads() -> None:
    names = {"module.cellprob_head.0.weight": torch.zeros(1)}
    assert is_mediar(names)
    assert not is_mediar_v(names)
    assert is_mediar_v({"logits_head.0.weight": torch.zeros(1)})


def test_weights_of_something_else_are_refused() -> None:
    weights = mediar().state_dict()
    with pytest.raises(
        ValueError, match="Mediar-V: logits_head: expected two convolutions and one"
    ):
        mediar_v_state(weights)
    without = {n: v for n, v in weights.items() if not n.startswith("decoder.center")}
    with pytest.raises(ValueError, match="MEDIAR-Former: expected the decoder of MA-Net"):
        mediar_state(without)
    other = {n.replace("patch_embed1", "stem"): v for n, v in weights.items()}
    with pytest.raises(ValueError, match="none of mit_b0 to mit_b5. Say which one it is"):
        mediar_state(other)
    assert mediar_state(other, encoder="resnet34").architecture.encoder == "resnet34"


@pytest.mark.slow
def test_weights_of_mediar_of_the_published_size_all_load() -> None:
    theirs = mediar("mit_b5", PUBLISHED)
    weights = theirs.state_dict()
    assert sum(name.startswith(("encoder.", "decoder.")) for name in weights) == 1_180
    assert len(weights) == 1_198
    converted = mediar_state(weights)
    assert converted.architecture == _with_groups(MEDIAR_FORMER)
    check_mediar(theirs)


@pytest.mark.slow
def test_weights_of_mediar_v_of_the_published_size_all_load() -> None:
    theirs = mediar_v(2, encoder="mit_b5", channels=PUBLISHED)
    converted = mediar_v_state(theirs.state_dict())
    assert converted.architecture == MEDIAR_V
    ours = build_network(converted.architecture, num_classes=2, in_channels=3)
    assert len(load_matching(ours, converted.state, strict=True).loaded) == 1_190
    assert_same_outputs(theirs, ours, ("logits_head", "gradflow_head"))


def _with_groups(settings):
    """Batch norm has no groups: what the setting says of them does not matter."""
    from dataclasses import replace

    return replace(settings, head_groups=32)
