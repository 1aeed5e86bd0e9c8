from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from pancyte.config import from_mapping, to_mapping
from pancyte.errors import ConfigError
from pancyte.nn.architectures import (
    MEDIAR_FORMER,
    MEDIAR_V,
    Architecture,
    Compact,
    EncoderDecoder,
    build_network,
)
from pancyte.nn.compact import CompactNet
from pancyte.tasks.flow import FlowTask


@pytest.mark.parametrize(
    "settings",
    [Compact(padding="replicate"), EncoderDecoder(decoder="fpn"), MEDIAR_FORMER, MEDIAR_V],
    ids=lambda settings: settings.kind,
)
def test_architecture_survives_its_configuration(settings) -> None:
    assert from_mapping(Architecture, to_mapping(settings), where="architecture") == settings


def test_the_published_networks_are_config_files_of_a_few_lines() -> None:
    lines = {"encoder": "mit_b5", "decoder_channels": [1024, 512, 256, 128, 64]}
    lines |= {"kind": "encoder_decoder", "attention_channels": 256, "head_groups": 32}
    assert from_mapping(Architecture, lines, where="architecture") == MEDIAR_V


def test_names_may_be_written_in_any_letter_case() -> None:
    task = from_mapping(
        FlowTask, {"architecture": {"kind": "Encoder_Decoder", "decoder": "UNet"}}, where="file"
    )
    assert task.architecture == EncoderDecoder(decoder="unet")


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            {"kind": "encodr_decoder", "encoder": "resnet34"},
            r"^a.toml: architecture.kind: expected 'compact' or .* .did you mean 'encoder_decoder'",
        ),
        (
            {"kind": "encoder_decoder", "decoder": "mannet"},
            r"^a.toml: architecture.decoder: .* got 'mannet' \(did you mean 'manet'\?\)$",
        ),
        (
            {"kind": "compact", "encoder": "resnet34"},
            "^a.toml: unknown key 'architecture.encoder' .a setting of another table or kind.$",
        ),
    ],
)
def test_a_wrong_architecture_is_one_sentence_about_the_kind_that_was_chosen(
    architecture, message
) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(FlowTask, {"architecture": architecture}, where="a.toml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder_channels": (1, 2, 3, 4, 0)}, "decoder_channels to be positive"),
        ({"decoder_channels": ()}, "decoder_channels to be positive"),
        ({"decoder_channels": (64, 32)}, "5 numbers, one width for each stride from 16 down to 1"),
        ({"decoder_channels": (64,) * 5, "upsample": 2}, "4 numbers.* from 16 down to 2"),
        ({"decoder": "fpn", "decoder_channels": (64,)}, "2 numbers, the widths of its pyramid"),
        ({"decoder": "fpn", "decoder_channels": (64, 40)}, "a multiple of 32 wide, but got 40"),
        ({"decoder": "fpn", "upsample": 1}, "upsample of 4 or none with an fpn decoder, but got 1"),
        ({"attention_channels": 0}, "attention_channels, head_groups and input_std above 0"),
        ({"head_groups": 0}, "above 0, but got 64, 0 and 1.0"),
        ({"input_std": 0.0}, "above 0, but got 64, 8 and 0.0"),
    ],
)
def test_encoder_decoder_refuses_settings_out_of_range(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderDecoder(**settings)


def test_compact_refuses_no_width() -> None:
    with pytest.raises(ValueError, match="decoder_channels to be positive"):
        Compact(decoder_channels=(1, 2, 3, 4, 0))


def test_build_network_hands_the_settings_to_the_compact_network() -> None:
    settings = Compact(decoder_channels=(8, 7, 6, 5, 4), padding="replicate")
    torch.manual_seed(0)
    network = build_network(settings, num_classes=2, in_channels=4)
    torch.manual_seed(0)
    same = CompactNet(2, in_channels=4, decoder_channels=(8, 7, 6, 5, 4), padding="replicate")
    assert isinstance(network, CompactNet)
    for name, value in network.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name


def test_a_task_names_the_key_of_an_encoder_that_does_not_exist() -> None:
    task = FlowTask(architecture=EncoderDecoder(encoder="resnet43"))
    with pytest.raises(ConfigError, match=r"^task.architecture: There is no encoder 'resnet43'"):
        task.network()


def test_the_compact_network_is_built_without_the_libraries_of_the_others() -> None:
    program = """
import sys
from pancyte.config import from_mapping
from pancyte.tasks import Task
task = from_mapping(Task, {"architecture": {"kind": "compact"}}, where="test")
task.network()
loaded = {"timm", "segmentation_models_pytorch", "torchvision"} & set(sys.modules)
assert not loaded, loaded
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
