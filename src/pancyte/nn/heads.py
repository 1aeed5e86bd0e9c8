"""``DenseHead``: two convolutions from a decoder's feature map to one kind of output.

Both heads of a network are shared by its classes; only their last convolution is of one class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from pancyte.nn.architectures import EncoderDecoder

_LEAST_WIDTH = 8


class DenseHead(nn.Module):
    """Halve the width, normalize, and map to the channels of the output.

    Parameters
    ----------
    in_channels, out_channels : int
        C of the feature map and C' of the output.
    settings
        Activation, normalization, order, enlargement and start of the head.

    Notes
    -----
    Shapes: B batch, Y and X of the feature map, s the stride at which the decoder ended.

    References
    ----------
    Lee et al. 2023, MEDIAR, arXiv:2212.03465, for a head of this shape.
    """

    def __init__(self, in_channels: int, out_channels: int, settings: EncoderDecoder) -> None:
        super().__init__()
        width = max(_LEAST_WIDTH, in_channels // 2)
        self.activation_first = settings.head_order == "activation_norm"
        self.scale = settings.stride
        # A bias just before a normalization would be subtracted again.
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=self.activation_first)
        self.norm: nn.Module = (
            nn.BatchNorm2d(width)
            if settings.head_norm == "batch"
            else nn.GroupNorm(largest_groups(width, settings.head_groups), width)
        )
        self.activation = activation(settings.activation)
        self.conv2 = nn.Conv2d(width, out_channels, 3, padding=1)
        if settings.zero_init_heads:
            nn.init.zeros_(self.conv2.weight)
            nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]  # there is one

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, Y, X) to (B, C', s Y, s X)."""
        x = self.conv1(x)
        x = (
            self.norm(self.activation(x))
            if self.activation_first
            else self.activation(self.norm(x))
        )
        x = self.conv2(x)
        if self.scale > 1:
            x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return x


def activation(name: Literal["mish", "relu"]) -> nn.Module:
    """Return the activation of that name; it overwrites its input."""
    return nn.Mish(inplace=True) if name == "mish" else nn.ReLU(inplace=True)


def largest_groups(channels: int, most: int) -> int:
    """Return the largest of 32, 16, 8, 4, 2, 1 that is at most ``most`` and divides the channels.

    Examples
    --------
    >>> largest_groups(32, 8), largest_groups(12, 8)
    (8, 4)
    """
    return next(n for n in (32, 16, 8, 4, 2, 1) if n <= most and channels % n == 0)
