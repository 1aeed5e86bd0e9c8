"""A trained ``CompactNet`` rewritten so that it does the same in less time; for prediction only.

Two identities, exact but for the rounding of floats:

- In evaluation, batch norm is a factor and a summand for each channel. Both are put into the
  convolution before it, ``w' = w g / sqrt(v + e)`` and ``b' = b - m g / sqrt(v + e)``.
- A 3x3 convolution after doubling by nearest neighbors reads each coarse value up to four times.
  Summing the weights that meet the same value gives a transposed 4x4 convolution of stride 2, with
  4/9 of the products and no enlarged copy. The encoder's feature, which was concatenated, gets the
  rest of the weights, and both are added.
"""

from __future__ import annotations

import copy
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pancyte.nn.compact import CompactNet, DecoderStep
from pancyte.nn.efficientnet import FEATURE_CHANNELS

# Row k: which of the three taps, at u - 1, u and u + 1 of the doubled rows, meet the coarse row i
# for the output row 2 i + k - 1: those whose doubled row is 2 i or 2 i + 1.
_MEETING_TAPS: Final = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))


def fold(network: CompactNet, dtype: torch.dtype = torch.float32) -> CompactNet:
    """Return a copy of a network for prediction, faster and with the same outputs.

    Parameters
    ----------
    network
        Left as it is. Its copy is in evaluation for good: it has no batch norms to train.
    dtype
        Of the weights of the copy. With bfloat16 it is called under autocast.

    Returns
    -------
    CompactNet
        Outputs differ from those of ``network.eval()`` by the rounding of ``dtype``. Its state dict
        is no checkpoint.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for module in folded.modules():
        _fold_norms(module)
    below = FEATURE_CHANNELS[-1]
    for index, step in enumerate(folded.decoder):
        assert isinstance(step, DecoderStep)  # noqa: S101 - folding happens once
        folded.decoder[index] = FoldedStep(step, below)
        below = _convolution(step.conv1).out_channels
    return folded.to(dtype).to(memory_format=torch.channels_last)


class FoldedStep(nn.Module):
    """A decoder step without the doubled and the concatenated feature.

    Parameters
    ----------
    step
        Its batch norms are folded.
    below : int
        Channels of the coarse input, which come before those of the encoder's feature.
    """

    def __init__(self, step: DecoderStep, below: int) -> None:
        super().__init__()
        conv = _convolution(step.conv1)
        taps = conv.weight.new_tensor(_MEETING_TAPS)
        # (C', C, 3, 3) to (C, C', 4, 4), which is how transposed convolutions are stored.
        weight = torch.einsum("oiyx,ky,lx->iokl", conv.weight[:, :below], taps, taps)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = conv.bias
        self.repeats_border = conv.padding_mode == "replicate"
        self.skip: nn.Conv2d | None = None
        if conv.in_channels > below:
            # On "meta" nothing is drawn at random for weights that are replaced.
            self.skip = nn.Conv2d(
                conv.in_channels - below, conv.out_channels, 3,
                padding=1, bias=False, padding_mode=conv.padding_mode, device="meta",
            )  # fmt: skip
            rest = conv.weight[:, below:].clone()
            self.skip.weight = nn.Parameter(rest, requires_grad=False)
        self.conv2 = step.conv2

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Map (B, C - S, Y, X) and (B, S, 2Y, 2X) to (B, C', 2Y, 2X)."""
        padding = 1
        if self.repeats_border:
            # One coarse pixel more at each side, of which the doubled border is seen, and cut off.
            x, padding = F.pad(x, (1, 1, 1, 1), mode="replicate"), 3
        x = F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=padding)
        if self.skip is not None and skip is not None:
            x += self.skip(skip)
        mixed: Tensor = self.conv2(F.relu(x, inplace=True))
        return mixed


def _fold_norms(module: nn.Module) -> None:
    """Put each batch norm into the convolution that the module holds just before it."""
    before: nn.Module | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            assert isinstance(before, nn.Conv2d)  # noqa: S101 - so it is in every CompactNet
            _fold_norm(before, child)
            setattr(module, name, nn.Identity())
        before = child


def _fold_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None and conv.bias is None  # noqa: S101, PT018
    factor = norm.weight * torch.rsqrt(variance + norm.eps)  # (C',)
    conv.weight.mul_(factor[:, None, None, None])
    conv.bias = nn.Parameter(norm.bias - mean * factor, requires_grad=False)


def _convolution(layers: nn.Module) -> nn.Conv2d:
    assert isinstance(layers, nn.Sequential)  # noqa: S101 - convolution, batch norm, ReLU
    conv = layers[0]
    assert isinstance(conv, nn.Conv2d)  # noqa: S101
    return conv
