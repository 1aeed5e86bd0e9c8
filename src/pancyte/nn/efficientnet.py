"""EfficientNet-Lite0 as an encoder: ReLU6, no squeeze-and-excitation, stem and head not scaled.

- Seven stages of inverted residual blocks; features are taken at strides 2, 4, 8, 16 and 32.
- Parameters are named as in timm's ``tf_efficientnet_lite0``, so that its ImageNet weights load;
  batch norm has epsilon 1e-3 and padding is TensorFlow's "same", as those weights need.
- Padding with zeros, as published, tells a network where the border of its input is, and at stride
  32 a few zeros reach 200 pixels far. ``replicate`` repeats the outermost features instead, from
  stride 8 on, so that what the network says depends less on where an image was cut into tiles.

References
----------
Tan, Le 2019, EfficientNet, arXiv:1905.11946; Liu 2020, "Higher accuracy on vision models with
EfficientNet-Lite" (TensorFlow blog), for the Lite variants; Sandler et al. 2018, arXiv:1801.04381,
for the inverted residual block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURE_CHANNELS: Final = (16, 24, 40, 112, 320)
"""Channels of the features at strides 2, 4, 8, 16, 32."""

STRIDE: Final = 32
"""Height and width of the input must be multiples of this."""

# expansion, kernel, stride, channels, repeats of each stage: table 1 of the paper.
_STAGES: Final = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_FEATURE_STAGES: Final = (0, 1, 2, 4, 6)
# The first stage at stride 8; before it, a border reaches a few pixels only and padding costs time.
_FIRST_COARSE_STAGE: Final = 2

Padding = Literal["zeros", "replicate"]


class EfficientNetLite0(nn.Module):
    """Turn images into features at five scales; 3.4 million parameters.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    padding : "zeros" or "replicate"
        What lies beyond the border for the stages from stride 8 on.

    Notes
    -----
    Shapes: B batch, C channels, Y and X multiples of 32.
    """

    def __init__(self, in_channels: int = 3, *, padding: Padding = "zeros") -> None:
        super().__init__()
        self.conv_stem = StridedConv(in_channels, 32, 3, stride=2, bias=False)
        self.bn1 = _norm(32)
        stages = []
        channels = 32
        for index, (expansion, kernel, stride, out_channels, repeats) in enumerate(_STAGES):
            coarse_padding = padding if index >= _FIRST_COARSE_STAGE else "zeros"
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                block = (
                    SeparableConv(channels, out_channels, kernel=kernel)
                    if expansion == 1
                    else InvertedResidual(
                        (channels, out_channels),
                        expansion=expansion,
                        kernel=kernel,
                        stride=step,
                        padding=coarse_padding,
                    )
                )
                blocks.append(block)
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features at strides 2, 4, 8, 16, 32, finest first."""
        x = F.relu6(self.bn1(self.conv_stem(images)), inplace=True)  # (B, 32, Y/2, X/2)
        features = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in _FEATURE_STAGES:
                features.append(x)  # (B, FEATURE_CHANNELS[i], Y/2^(i+1), X/2^(i+1))
        return features


class SeparableConv(nn.Module):
    """A depthwise and a pointwise convolution: the inverted residual block without expansion."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(in_channels, kernel=kernel, stride=1, padding="zeros")
        self.bn1 = _norm(in_channels)
        self.conv_pw = _pointwise(in_channels, out_channels)
        self.bn2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X)."""
        x = F.relu6(self.bn1(self.conv_dw(x)), inplace=True)
        normed: Tensor = self.bn2(self.conv_pw(x))
        return normed


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the shape stays."""

    def __init__(
        self,
        channels: tuple[int, int],
        *,
        expansion: int,
        kernel: int,
        stride: int,
        padding: Padding,
    ) -> None:
        super().__init__()
        in_channels, out_channels = channels
        wide = in_channels * expansion
        self.conv_pw = _pointwise(in_channels, wide)
        self.bn1 = _norm(wide)
        self.conv_dw = _depthwise(wide, kernel=kernel, stride=stride, padding=padding)
        self.bn2 = _norm(wide)
        self.conv_pwl = _pointwise(wide, out_channels)
        self.bn3 = _norm(out_channels)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y/stride, X/stride)."""
        y = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.relu6(self.bn2(self.conv_dw(y)), inplace=True)
        projected: Tensor = self.bn3(self.conv_pwl(y))
        return projected + x if self.residual else projected


class StridedConv(nn.Conv2d):
    """A convolution of stride 2 padded as TensorFlow does it for inputs of even size.

    The padding is (kernel - 2) in all, the odd pixel of it behind: one pixel off from PyTorch's.
    With a filter for each channel, it is learned in float32 on a CPU, as :class:`DepthwiseConv`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, Y, X) to (B, C', Y/2, X/2)."""
        return _learn_in_float32(self._convolve, x) if self.groups > 1 else self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - 2
        before, after = total // 2, total - total // 2
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        padded = F.pad(x, (before, after, before, after), mode=mode)
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class DepthwiseConv(nn.Conv2d):
    """A convolution of stride 1 with a filter for each channel, learned in float32 on a CPU.

    The gradient of a depthwise convolution in bfloat16 takes up to twelve times that in float32
    there, and was half of a training step.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, Y, X) to (B, C, Y, X)."""
        return _learn_in_float32(super().forward, x)


def _learn_in_float32(convolve: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Convolve bfloat16 in float32 where a gradient is wanted on a CPU; the result has x's type."""
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or not torch.is_grad_enabled():
        return convolve(x)
    with torch.autocast("cpu", enabled=False):
        return convolve(x.float()).to(x.dtype)


def _depthwise(channels: int, *, kernel: int, stride: int, padding: Padding) -> nn.Conv2d:
    kind, around = (DepthwiseConv, kernel // 2) if stride == 1 else (StridedConv, 0)
    return kind(
        channels,
        channels,
        kernel,
        stride=stride,
        padding=around,
        groups=channels,
        bias=False,
        padding_mode=padding,
    )


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
