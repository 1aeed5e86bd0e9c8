from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pancyte.nn.architectures import MEDIAR_FORMER, MEDIAR_V, EncoderDecoder, build_network
from pancyte.nn.compact import CompactNet, pad_to_multiple
from pancyte.nn.encoder_decoder import EncoderDecoderNet, count_parameters

TINY = {"encoder": "tu-test_convnext", "attention_channels": 8}
WIDTHS = {"manet": (16, 16, 16, 8, 8), "unet": (16, 16, 16, 8, 8), "fpn": (16, 32)}


def tiny(decoder="manet", *, num_classes=1, in_channels=3, **changes) -> EncoderDecoderNet:
    torch.manual_seed(0)
    chosen = {"decoder_channels": WIDTHS[decoder], "decoder": decoder, **TINY, **changes}
    network = build_network(
        EncoderDecoder(**chosen), num_classes=num_classes, in_channels=in_channels
    )
    assert isinstance(network, EncoderDecoderNet)
    return network.eval()


@pytest.mark.parametrize("num_classes", [1, 2, 3, 5])
@pytest.mark.parametrize("decoder", ["manet", "unet", "fpn"])
def test_network_has_one_foreground_and_two_flow_channels_per_class(decoder, num_classes) -> None:
    network = tiny(decoder, num_classes=num_classes)
    with torch.inference_mode():
        outputs = network(torch.rand(2, 3, 40, 70))
    assert outputs["foreground"].shape == (2, num_classes, 40, 70)
    assert outputs["flow"].shape == (2, 2 * num_classes, 40, 70)


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("encoder", ["mit_b0", "tu-test_resnet"])
def test_network_takes_any_number_of_channels(encoder, in_channels) -> None:
    network = tiny(encoder=encoder, in_channels=in_channels)
    with torch.inference_mode():
        assert network(torch.rand(1, in_channels, 32, 32))["flow"].isfinite().all()


@pytest.fixture(scope="module")
def networks() -> dict[str, EncoderDecoderNet]:
    return {decoder: tiny(decoder) for decoder in WIDTHS}


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 2), (17, 130)])
@pytest.mark.parametrize("decoder", sorted(WIDTHS))
def test_network_takes_any_size(networks, decoder, size) -> None:
    with torch.inference_mode():
        outputs = networks[decoder](torch.rand(1, 3, *size))
    assert outputs["foreground"].shape == (1, 1, *size)
    assert outputs["flow"].isfinite().all()


def test_output_of_an_aligned_image_does_not_depend_on_padding_it_itself(networks) -> None:
    image = torch.rand(1, 3, 50, 64)
    with torch.inference_mode():
        alone = networks["manet"](image)["flow"]
        padded = networks["manet"](pad_to_multiple(image, 32))["flow"][..., :50, :]
    torch.testing.assert_close(alone, padded)


@pytest.mark.parametrize("upsample", [2, 4])
@pytest.mark.parametrize("decoder", ["manet", "unet"])
def test_a_decoder_may_end_early_and_the_output_has_the_size_of_the_image(
    decoder, upsample
) -> None:
    network = tiny(decoder, upsample=upsample, decoder_channels=None)
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 33, 47))["flow"].shape == (1, 2, 33, 47)
    assert len(network.decoder.blocks) == {2: 4, 4: 3}[upsample]


def test_activations_and_groups_of_the_decoder_are_the_chosen_ones() -> None:
    def kinds(network: nn.Module, kind: type[nn.Module]) -> int:
        return sum(isinstance(module, kind) for module in network.modules())

    mish, relu = tiny(encoder="tu-test_resnet"), tiny(encoder="tu-test_resnet", activation="relu")
    assert kinds(mish.decoder, nn.ReLU) == 0
    assert kinds(mish.decoder, nn.Mish) == kinds(relu.decoder, nn.ReLU) > 10
    pyramid = tiny("fpn", head_groups=8).decoder
    groups = {m.num_groups for m in pyramid.modules() if isinstance(m, nn.GroupNorm)}
    assert groups == {8}


def test_network_that_starts_at_zero_gives_exactly_zero() -> None:
    outputs = tiny(zero_init_heads=True)(torch.rand(1, 3, 40, 40))
    assert not outputs["foreground"].any()
    assert not outputs["flow"].any()


def test_the_encoder_sees_the_input_on_the_scale_it_was_made_for() -> None:
    plain, scaled = tiny(), tiny(input_mean=0.45, input_std=0.225)
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            scaled(image)["flow"], plain((image - 0.45) / 0.225)["flow"], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("decoder", ["manet", "unet", "fpn"])
def test_every_tensor_learns(decoder) -> None:
    network = tiny(decoder, num_classes=2).train()
    outputs = network(torch.rand(2, 3, 64, 64))
    (outputs["foreground"].square().mean() + outputs["flow"].square().mean()).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert silent == []


@pytest.mark.parametrize(
    "network", [lambda: tiny(in_channels=2), lambda: CompactNet(1, in_channels=2).eval()]
)
def test_embed_gives_one_vector_per_image_that_its_neighbors_in_the_batch_do_not_change(
    network,
) -> None:
    network = network()
    images = torch.rand(3, 2, 50, 70)
    with torch.inference_mode():
        together = network.embed(images)
        alone = network.embed(images[1:2])
    assert together.shape[0] == 3
    assert together.ndim == 2
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"\(B, 2, Y, X\), but got \(1, 3, 32, 32\)"):
        network.embed(torch.zeros(1, 3, 32, 32))


def test_network_refuses_another_number_of_channels(networks) -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, Y, X\), but got \(1, 1, 32, 32\)"):
        networks["unet"](torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize("numbers", [{"num_classes": 0}, {"in_channels": 0}])
def test_network_refuses_no_classes_or_channels(numbers) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(numbers))} to be at least 1, but got 0"):
        build_network(EncoderDecoder(**TINY), **{"num_classes": 1, "in_channels": 3, **numbers})


@pytest.mark.slow
def test_mediar_former_has_its_published_size_and_runs() -> None:
    network = build_network(MEDIAR_FORMER, num_classes=1, in_channels=3).eval()
    assert count_parameters(network) == 121_303_587
    assert count_parameters(network.encoder) == 81_443_008
    assert count_parameters(network.decoder) == 39_822_656
    assert sum(isinstance(m, nn.Mish) for m in network.decoder.modules()) == 22
    assert sum(isinstance(m, nn.Sigmoid) for m in network.modules()) == 6
    trunk = [n for n in network.state_dict() if n.startswith(("encoder.", "decoder."))]
    assert len(trunk) == 1_180
    assert len(network.state_dict()) == 1_180 + 18
    with torch.inference_mode():
        outputs = network(torch.rand(1, 3, 64, 64))
    assert outputs["flow"].shape == (1, 2, 64, 64)
    assert outputs["foreground"].isfinite().all()


@pytest.mark.slow
def test_mediar_v_has_its_published_size_with_any_number_of_classes() -> None:
    network = build_network(MEDIAR_V, num_classes=2, in_channels=3).eval()
    trunk = count_parameters(network.encoder) + count_parameters(network.decoder)
    heads = count_parameters(network) - trunk
    assert count_parameters(network) == 121_302_656 + 2 * 867
    assert (trunk + heads - 2 * 867) == 121_302_656
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 32, 96))["flow"].shape == (1, 4, 32, 96)
    # One more class: 867 more multiplications per pixel, below 0.2 % of all.
    network.to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 512, 512, device="meta"))
    assert 0.002 * counter.get_total_flops() / 2 > 867 * 512**2
