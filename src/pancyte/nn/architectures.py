"""``Architecture``: what networks there are, as settings, and how one is built from them.

A union of settings classes told apart by ``kind``; a configuration chooses one by naming it. Every
network maps images (B, C, Y, X) of any size to ``foreground`` (B, K, Y, X) logits and ``flow``
(B, 2K, Y, X), y before x, class c at 2c and 2c + 1, and has ``embed(images) -> (B, D)``.

The libraries that some networks come from are imported when such a network is built, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pancyte.nn.compact import CompactNet
from pancyte.nn.efficientnet import Padding
from pancyte.params import params

if TYPE_CHECKING:
    from torch import nn

Decoder = Literal["manet", "unet", "fpn"]
"""Multi-scale attention net (Fan et al. 2020, doi:10.1109/ACCESS.2020.3025372), U-Net (Ronneberger
et al. 2015, arXiv:1505.04597), feature pyramid (Lin et al. 2017, arXiv:1612.03144)."""

_DEFAULT_CHANNELS: Final = (256, 128, 64, 32, 32)
_DEFAULT_PYRAMID: Final = (256, 128)
_FPN_STRIDE: Final = 4


def _check_channels(channels: tuple[int, ...]) -> None:
    if not channels or min(channels) < 1:
        msg = f"Expected decoder_channels to be positive, but got {channels}"
        raise ValueError(msg)


@params
class Compact:
    """The small network made for CPUs; see :mod:`pancyte.nn.compact`."""

    kind: Literal["compact"] = "compact"
    decoder_channels: tuple[int, int, int, int, int] = (128, 64, 48, 32, 16)
    """Width of the decoder at strides 16, 8, 4, 2, 1."""
    padding: Padding = "zeros"
    """What lies beyond the border for the coarse features of the network: ``replicate`` makes
    results depend less on how an image is cut into tiles. A network is used as it was trained."""
    sizes: bool = False
    """Whether the network also tells how large objects are, so that prediction finds the scale of
    an image in a fraction of a pass. Needs ``task.preprocessing.diameter``."""

    def __post_init__(self) -> None:
        _check_channels(self.decoder_channels)


@params
class EncoderDecoder:
    """An encoder by name, a decoder and two heads; see :mod:`pancyte.nn.encoder_decoder`."""

    kind: Literal["encoder_decoder"] = "encoder_decoder"
    encoder: str = "resnet34"
    """An encoder of segmentation-models-pytorch (``resnet34``, ``mit_b5``) or of timm
    (``convnext_tiny``, or ``tu-convnext_tiny``). Built without weights: nothing is downloaded."""
    decoder: Decoder = "manet"
    """``manet``, ``unet`` or ``fpn``."""
    decoder_channels: tuple[int, ...] | None = None
    """``manet`` and ``unet``: widths at strides 16, 8, 4, 2, 1, as far as ``upsample``; None is
    256, 128, 64, 32, 32. ``fpn``: widths of its pyramid and of its output; None is 256, 128."""
    attention_channels: int = 64
    """Width of the position attention of ``manet``; 256 as published by MEDIAR."""
    activation: Literal["mish", "relu"] = "mish"
    """Of the decoder and the heads (Misra 2019, arXiv:1908.08681, for Mish)."""
    upsample: Literal[1, 2, 4] | None = None
    """The decoder ends at this stride and the outputs of the heads are enlarged by it, bilinearly:
    2 and 4 save time at the price of fine contours. None is 1, and 4 for ``fpn``, which has no
    other."""
    head_norm: Literal["group", "batch"] = "group"
    """Normalization in the heads."""
    head_groups: int = 8
    """At most so many groups; fewer where that does not divide the width. As many groups as
    channels, such as the 32 of Mediar-V, make the output depend on the content of each tile."""
    head_order: Literal["norm_activation", "activation_norm"] = "norm_activation"
    """``activation_norm``, with a bias before it, is that of MEDIAR-Former."""
    zero_init_heads: bool = False
    """Whether the last convolutions start at 0, so that the first output is exactly 0."""
    input_mean: float = 0.0
    input_std: float = 1.0
    """The encoder sees ``(image - input_mean) / input_std`` of an image in which dark is about 0
    and bright about 1. ImageNet weights of most encoders were trained with 0.45 and 0.225."""

    def __post_init__(self) -> None:
        _check_channels(self.widths)
        if self.decoder == "fpn" and self.upsample not in {None, _FPN_STRIDE}:
            msg = f"Expected upsample of 4 or none with an fpn decoder, but got {self.upsample}"
            raise ValueError(msg)
        if len(self.widths) != self._steps:
            what = "the widths of its pyramid and its output" if self.decoder == "fpn" else (
                f"one width for each stride from 16 down to {self.stride}"
            )  # fmt: skip
            msg = (
                f"Expected decoder_channels of {self.decoder} to be {self._steps} numbers, {what}, "
                f"but got {list(self.widths)}"
            )
            raise ValueError(msg)
        if self.decoder == "fpn" and self.widths[1] % 32:
            msg = (
                f"Expected the output of fpn to be a multiple of 32 wide, but got {self.widths[1]}"
            )
            raise ValueError(msg)
        if self.attention_channels < 1 or self.head_groups < 1 or self.input_std <= 0:
            msg = (
                "Expected attention_channels, head_groups and input_std above 0, but got "
                f"{self.attention_channels}, {self.head_groups} and {self.input_std}"
            )
            raise ValueError(msg)

    @property
    def stride(self) -> int:
        """The stride at which the decoder ends."""
        if self.upsample is not None:
            return self.upsample
        return _FPN_STRIDE if self.decoder == "fpn" else 1

    @property
    def widths(self) -> tuple[int, ...]:
        """``decoder_channels``, or what None stands for."""
        if self.decoder_channels is not None:
            return self.decoder_channels
        return _DEFAULT_PYRAMID if self.decoder == "fpn" else _DEFAULT_CHANNELS[: self._steps]

    @property
    def _steps(self) -> int:
        # Each step of the decoder doubles the resolution, from stride 32.
        return 2 if self.decoder == "fpn" else 6 - self.stride.bit_length()


Architecture: TypeAlias = Compact | EncoderDecoder
"""Every network that a configuration can name."""

MEDIAR_FORMER: Final = EncoderDecoder(
    encoder="mit_b5",
    decoder_channels=(1024, 512, 256, 128, 64),
    attention_channels=256,
    head_norm="batch",
    head_order="activation_norm",
)
"""MEDIAR-Former (Lee et al. 2023, arXiv:2212.03465): 121,303,587 parameters with one class."""

MEDIAR_V: Final = EncoderDecoder(
    encoder="mit_b5",
    decoder_channels=(1024, 512, 256, 128, 64),
    attention_channels=256,
    head_groups=32,
)
"""Mediar-V, its extension to K classes: 121,302,656 + 867 K parameters."""


def build_network(settings: Architecture, *, num_classes: int, in_channels: int) -> nn.Module:
    """Return a new, untrained network; nothing is downloaded.

    Parameters
    ----------
    settings
        Which network.
    num_classes
        K, at least 1.
    in_channels
        Channels of the input, at least 1.

    Raises
    ------
    ValueError
        There is no such encoder, or it cannot be used for segmentation.
    """
    if isinstance(settings, Compact):
        return CompactNet(
            num_classes,
            in_channels=in_channels,
            decoder_channels=settings.decoder_channels,
            padding=settings.padding,
            sizes=settings.sizes,
        )
    # Imported here, since it brings timm and segmentation-models-pytorch along.
    from pancyte.nn.encoder_decoder import build_encoder_decoder  # noqa: PLC0415

    return build_encoder_decoder(settings, num_classes=num_classes, in_channels=in_channels)
