from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pancyte.errors import CheckpointError
from pancyte.nn.architectures import Compact, EncoderDecoder, build_network
from pancyte.tasks.flow import FlowTask
from pancyte.workflows.initialize import initialize
from pancyte.workflows.models import save_model

TINY = EncoderDecoder(
    encoder="test_convnext", decoder="unet", decoder_channels=(8, 8, 8, 8, 8), head_norm="batch"
)

SMALL = Compact(decoder_channels=(8, 8, 8, 8, 8))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(*, num_classes: int = 1, in_channels: int = 3, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(TINY, num_classes=num_classes, in_channels=in_channels)


def classifier_file(folder: Path, *, suffix: str = "safetensors") -> Path:
    import timm

    torch.manual_seed(5)
    state = timm.create_model("test_convnext", pretrained=False).state_dict()
    path = folder / f"classifier.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": state}, path)
    else:
        safetensors.torch.save_file(state, path)
    return path


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("in_channels", [1, 3, 4])
def test_an_encoder_of_timm_takes_the_weights_of_its_classifier(
    tmp_path: Path, suffix: str, in_channels: int, caplog
) -> None:
    network = tiny(in_channels=in_channels)
    decoder = {n: v.clone() for n, v in network.decoder.state_dict().items()}
    with caplog.at_level(logging.DEBUG):
        report = initialize(network, classifier_file(tmp_path, suffix=suffix), strict=True)
    assert set(report.loaded) == {
        name for name in network.state_dict() if name.startswith("encoder.")
    }
    assert all(name.startswith("head.") for name in report.skipped)
    assert f"Initialized {len(report.loaded)} tensors" in caplog.text
    assert f"skipped: {', '.join(report.skipped)}" in caplog.text
    for name, value in network.decoder.state_dict().items():
        assert torch.equal(value, decoder[name])


def test_a_part_of_an_encoder_is_said_and_strictly_refused(tmp_path: Path, caplog) -> None:
    path = classifier_file(tmp_path)
    weights = safetensors.torch.load_file(path)
    lost = next(name for name in weights if name.startswith("stages.3"))
    del weights[lost]
    safetensors.torch.save_file(weights, path)
    report = initialize(tiny(), path)
    assert any(name.startswith("encoder.model.stages_3") for name in report.lacking)
    assert "lacks 1 tensors of the encoder" in caplog.text
    with pytest.raises(CheckpointError, match=r"classifier.safetensors: .*do not fit the encoder"):
        initialize(tiny(), path, strict=True)


def test_the_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    network = build_network(Compact(), num_classes=1, in_channels=3)
    with pytest.raises(CheckpointError, match="Choose the encoder that the weights are of"):
        initialize(network, classifier_file(tmp_path))


def test_published_weights_load_into_their_network_and_in_part_into_one_of_more_classes(
    tmp_path: Path,
) -> None:
    settings = EncoderDecoder(
        encoder="mit_b0", decoder_channels=(8, 8, 8, 8, 16), attention_channels=8,
        head_norm="batch", head_order="activation_norm",
    )  # fmt: skip
    torch.manual_seed(0)
    source = build_network(settings, num_classes=1, in_channels=3)
    ours_to_theirs = {"foreground_head": "cellprob_head", "flow_head": "gradflow_head"}
    state = {}
    for name, value in source.state_dict().items():
        top, _, rest = name.partition(".")
        rest = rest.replace("conv1.", "0.").replace("norm.", "2.") if "head" in top else rest
        rest = rest.replace("conv2.", "3.") if "head" in top else rest
        state[f"{ours_to_theirs.get(top, top)}.{rest}"] = value
    torch.save(state, tmp_path / "mediar.pth")
    torch.manual_seed(1)
    network = build_network(settings, num_classes=1, in_channels=3)
    assert initialize(network, tmp_path / "mediar.pth", strict=True).missing == ()
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    wider = build_network(settings, num_classes=2, in_channels=3)
    report = initialize(wider, tmp_path / "mediar.pth")
    assert set(report.missing) == {
        f"{head}.conv2.{kind}"
        for head in ("foreground_head", "flow_head")
        for kind in ("weight", "bias")
    }
    with pytest.raises(CheckpointError, match=r"mediar.pth: .* 4 of them do not fit and 4 are"):
        initialize(wider, tmp_path / "mediar.pth", strict=True)


def test_broken_published_weights_are_one_sentence(tmp_path: Path) -> None:
    torch.save({"cellprob_head.0.weight": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a.pth: MEDIAR-Former: cellprob_head: expected two"):
        initialize(tiny(), tmp_path / "a.pth")


@pytest.mark.parametrize("architecture", [SMALL, TINY], ids=["compact", "encoder_decoder"])
def test_outputs_of_classes_are_found_by_name(tmp_path: Path, architecture, caplog) -> None:
    source = FlowTask(classes=("cell", "nucleus"), architecture=architecture)
    torch.manual_seed(0)
    network = source.network().eval()
    save_model(tmp_path, source, network, name="a", provenance={})
    images = torch.rand(1, 3, 32, 32)
    expected = network(images)
    swapped = replace(source, classes=("nucleus", "cell"))
    torch.manual_seed(1)
    other = swapped.network().eval()
    initialize(other, tmp_path, classes=swapped.classes, strict=True)
    found = other(images)
    torch.testing.assert_close(found["foreground"], expected["foreground"][:, [1, 0]])
    torch.testing.assert_close(found["flow"], expected["flow"][:, [2, 3, 0, 1]])
    more = replace(source, classes=("yeast", "nucleus", "bud"))
    wider = more.network().eval()
    fresh = wider.state_dict()
    fresh = {name: value.clone() for name, value in fresh.items()}
    with caplog.at_level(logging.WARNING):
        report = initialize(wider, tmp_path, classes=more.classes)
    assert report.lacking == ()
    with pytest.raises(CheckpointError, match="expected the classes yeast, .* got cell, nucleus"):
        initialize(wider, tmp_path, classes=more.classes, strict=True)
    text = "classes nucleus are taken over by name; new and random: yeast, bud; left out: cell"
    assert text in caplog.text
    found = wider(images)
    torch.testing.assert_close(found["foreground"][:, 1], expected["foreground"][:, 1])
    torch.testing.assert_close(found["flow"][:, 2:4], expected["flow"][:, 2:4])
    name = next(n for n in ("head.weight", "flow_head.conv2.weight") if n in fresh)
    first, last = (3, -1) if name == "head.weight" else (0, -1)
    for row in (first, last):
        assert torch.equal(wider.state_dict()[name][row], fresh[name][row])


def test_one_class_takes_the_outputs_of_one_of_any_name(tmp_path: Path, caplog) -> None:
    source = FlowTask(classes=("cell",), architecture=SMALL)
    network = source.network()
    save_model(tmp_path, source, network, name="a", provenance={})
    other = source.network()
    initialize(other, tmp_path, classes=("nucleus",))
    assert torch.equal(other.head.weight, network.head.weight)
    assert "outputs of its class 'cell' become those of 'nucleus'" in caplog.text


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointError, match="found none of the right shape for"):
        initialize(tiny(), Path("generalist"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "file"),
    [
        ("tiny_vit_5m_224", "tiny_vit_5m_mobilesam_timm"),
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0_timm"),
    ],
)
def test_weights_as_published_by_timm_fill_the_encoder(shared_weights, encoder, file) -> None:
    path = shared_weights / f"{file}.safetensors"
    settings = EncoderDecoder(encoder=encoder, decoder="unet")
    network = build_network(settings, num_classes=1, in_channels=3).eval()
    report = initialize(network, path, strict=True)
    assert not any(name.startswith("encoder.") for name in report.lacking)
    with torch.inference_mode():
        # Not the size that the encoder was trained with.
        assert network(torch.rand(1, 3, 70, 130))["flow"].isfinite().all()
