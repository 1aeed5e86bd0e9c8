"""``CompactNet``: a small U-shaped network for dense foreground and flow, made for CPUs.

- Encoder: EfficientNet-Lite0, features at strides 2 to 32.
- Decoder: five steps of nearest upsampling, concatenation with the encoder's feature, and 3x3
  convolutions with batch norm and ReLU; thin, because its last steps decide the time.
- At full resolution, K foreground logits and 2K flow components. Class c owns the flow
  channels 2c (y) and 2c + 1 (x). Classes do not exclude each other: a nucleus lies in its cell.
- With ``sizes``, at stride 4, K sizes of the objects that are there, as binary logarithms, and K
  logits of a coarse foreground, by which an image can be judged without the rest of the decoder.
- Any image size: the input is mirrored up to a multiple of 32 and the output cut back.

The input is normalized so that dark is about 0 and bright about 1; the network maps that to -1 and
1 itself, the range in which its encoder was trained on ImageNet.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pancyte.nn.efficientnet import FEATURE_CHANNELS, STRIDE, EfficientNetLite0, Padding

# Sizes are read from the decoder after so many steps, where its stride is:
_SIZE_STEPS: Final = 3
_SIZE_STRIDE: Final = 4


class CompactNet(nn.Module):
    """Predict foreground and flow of K classes in an image of any size.

    Parameters
    ----------
    num_classes : int
        K, at least 1.
    in_channels : int
        Channels of the input, at least 1.
    decoder_channels : five ints
        Width of the decoder at strides 16, 8, 4, 2, 1.
    padding : "zeros" or "replicate"
        What lies beyond the border where features have a stride of 8 or more.
    sizes : bool
        Whether to predict the sizes of objects too.

    Notes
    -----
    Shapes: B batch, C channels, K classes, Y and X height and width.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        decoder_channels: tuple[int, int, int, int, int] = (128, 64, 48, 32, 16),
        padding: Padding = "zeros",
        sizes: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"Expected num_classes to be at least 1, but got {num_classes}")
        if in_channels < 1:
            raise ValueError(f"Expected in_channels to be at least 1, but got {in_channels}")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.encoder = EfficientNetLite0(in_channels, padding=padding)
        *skips, deepest = FEATURE_CHANNELS
        steps = []
        below = deepest
        for index, (skip, width) in enumerate(
            zip((*reversed(skips), 0), decoder_channels, strict=True)
        ):
            # The first two steps end at strides 16 and 8.
            steps.append(DecoderStep(below + skip, width, padding if index < 2 else "zeros"))
            below = width
        self.decoder = nn.ModuleList(steps)
        # One convolution for both outputs: at full resolution a second one costs as much again.
        self.head = nn.Conv2d(decoder_channels[-1], 3 * num_classes, 3, padding=1)
        # Made last, so that the rest starts from the same values with and without it.
        self.size_head = (
            _size_head(decoder_channels[_SIZE_STEPS - 1], num_classes) if sizes else None
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits and flow of a batch.

        Parameters
        ----------
        images : tensor of shape (B, C, Y, X)
            Normalized; any Y and X of at least 1.

        Returns
        -------
        dict
            ``foreground``: (B, K, Y, X) logits. ``flow``: (B, 2K, Y, X), y and x of each class.
            With ``sizes`` also ``size``: (B, K, Y / 4, X / 4), log2 of the diameter of the object
            at that place over that at which the network works, and ``coarse``: (B, K, Y / 4,
            X / 4), logits of the foreground; sides are rounded up.

        Raises
        ------
        ValueError
            The number of channels is another one than that of the network.
        """
        *skips, x = self._features(images)
        height, width = images.shape[-2:]
        coarse: dict[str, Tensor] = {}
        for index, step in enumerate(self.decoder, start=1):
            x = step(x, skips.pop() if skips else None)
            if index == _SIZE_STEPS and self.size_head is not None:
                coarse = self._sizes(x, (height, width))
        x = self.head(x)[..., :height, :width]
        return {"foreground": x[:, : self.num_classes], "flow": x[:, self.num_classes :], **coarse}

    def estimate_sizes(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return where objects are and how large, without the decoder's last and dearest steps.

        Parameters
        ----------
        images : tensor of shape (B, C, Y, X)
            Normalized; any Y and X of at least 1.

        Returns
        -------
        probability, size : tensors of shape (B, K, ceil(Y / 4), ceil(X / 4))
            float32: the probability that an object is there, and log2 of its diameter over that at
            which the network works. None where the network was made without ``sizes``.

        Raises
        ------
        ValueError
            The number of channels is another one than that of the network.
        """
        if self.size_head is None:
            return None
        *skips, x = self._features(images)
        for step in self.decoder[:_SIZE_STEPS]:
            x = step(x, skips.pop())
        found = self._sizes(x, (images.shape[-2], images.shape[-1]))
        return found["coarse"].float().sigmoid(), found["size"].float()

    def embed(self, images: Tensor) -> Tensor:
        """Return the mean of the deepest features, (B, 320), of images (B, C, Y, X).

        Raises
        ------
        ValueError
            The number of channels is another one than that of the network.
        """
        return self._features(images)[-1].mean(dim=(2, 3))

    def _sizes(self, x: Tensor, shape: tuple[int, int]) -> dict[str, Tensor]:
        assert self.size_head is not None  # noqa: S101 - asked for where it is there only
        height, width = (-(-side // _SIZE_STRIDE) for side in shape)
        x = self.size_head(x)[..., :height, :width]
        return {"size": x[:, : self.num_classes], "coarse": x[:, self.num_classes :]}

    def _features(self, images: Tensor) -> list[Tensor]:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            msg = (
                f"Expected images of shape (B, {self.in_channels}, Y, X), "
                f"but got {tuple(images.shape)}"
            )
            raise ValueError(msg)
        features: list[Tensor] = self.encoder(pad_to_multiple(images, STRIDE) * 2.0 - 1.0)
        return features


class DecoderStep(nn.Module):
    """Double the resolution and mix with the encoder's feature of that resolution."""

    def __init__(self, in_channels: int, out_channels: int, padding: Padding) -> None:
        super().__init__()
        self.conv1 = _conv_norm(in_channels, out_channels, padding)
        self.conv2 = _conv_norm(out_channels, out_channels, padding)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Map (B, C - S, Y, X) and (B, S, 2Y, 2X) to (B, C', 2Y, 2X)."""
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        mixed: Tensor = self.conv2(self.conv1(x))
        return mixed


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Extend the last two axes at their end to a multiple, mirrored where the image suffices.

    An axis too short to be mirrored repeats its last row or column.

    Examples
    --------
    >>> pad_to_multiple(torch.zeros(1, 1, 5, 64), 32).shape
    torch.Size([1, 1, 32, 64])
    """
    height, width = images.shape[-2:]
    below, right = -height % multiple, -width % multiple
    for size, pad in ((width, (0, right, 0, 0)), (height, (0, 0, 0, below))):
        if any(pad):
            images = F.pad(images, pad, mode="reflect" if max(pad) < size else "replicate")
    return images


def _size_head(in_channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, 2 * num_classes, 1),
    )


def _conv_norm(in_channels: int, out_channels: int, padding: Padding) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False, padding_mode=padding)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
