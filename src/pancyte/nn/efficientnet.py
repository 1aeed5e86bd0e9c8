"""EfficientNet-Lite0 as an encoder: ReLU6, no squeeze-and-excitation, stem and head not scaled.

- Seven stages of inverted residual blocks; features are taken at strides 2, 4, 8, 16 and 32.
- Parameters are named as in timm's ``tf_efficientnet_lite0``, so that its ImageNet weights load;
  batch norm has epsilon 1e-3 and padding is TensorFlow's "same", as those weights need.

References
----------
Tan, Le 2019, EfficientNet, arXiv:1905.11946; Liu 2020, "Higher accuracy on vision models with
EfficientNet-Lite" (TensorFlow blog), for the Lite variants; Sandler et al. 2018, arXiv:1801.04381,
for the inverted residual block.
"""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

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


class EfficientNetLite0(nn.Module):
    """Turn images into features at five scales; 3.4 million parameters.

    Parameters
    ----------
    in_channels : int
        Channels of the input.

    Notes
    -----
    Shapes: B batch, C channels, Y and X multiples of 32.
    """

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.conv_stem = _conv(in_channels, 32, kernel=3, stride=2)
        self.bn1 = _norm(32)
        stages = []
        channels = 32
        for expansion, kernel, stride, out_channels, repeats in _STAGES:
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                block = (
                    SeparableConv(channels, out_channels, kernel=kernel)
                    if expansion == 1
                    else InvertedResidual(
                        channels, out_channels, expansion=expansion, kernel=kernel, stride=step
                    )
                )
                blocks.append(block)
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features at strides 2, 4, 8, 16, 32, finest first."""
        x = F.relu6(self.bn1(self.conv_stem(images)))  # (B, 32, Y/2, X/2)
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
        self.conv_dw = _conv(in_channels, in_channels, kernel=kernel, groups=in_channels)
        self.bn1 = _norm(in_channels)
        self.conv_pw = _conv(in_channels, out_channels, kernel=1)
        self.bn2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X)."""
        x = F.relu6(self.bn1(self.conv_dw(x)))
        normed: Tensor = self.bn2(self.conv_pw(x))
        return normed


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the shape stays."""

    def __init__(
        self, in_channels: int, out_channels: int, *, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.conv_pw = _conv(in_channels, wide, kernel=1)
        self.bn1 = _norm(wide)
        self.conv_dw = _conv(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.bn2 = _norm(wide)
        self.conv_pwl = _conv(wide, out_channels, kernel=1)
        self.bn3 = _norm(out_channels)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y/stride, X/stride)."""
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        projected: Tensor = self.bn3(self.conv_pwl(y))
        return projected + x if self.residual else projected


class StridedConv(nn.Conv2d):
    """A convolution of stride 2 padded as TensorFlow does it for inputs of even size.

    The padding is (kernel - 2) in all, the odd pixel of it behind: one pixel off from PyTorch's.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, Y, X) to (B, C', Y/2, X/2)."""
        total = self.kernel_size[0] - 2
        before, after = total // 2, total - total // 2
        return super().forward(F.pad(x, (before, after, before, after)))


def _conv(
    in_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(
            in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False
        )
    return StridedConv(in_channels, out_channels, kernel, stride=stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
