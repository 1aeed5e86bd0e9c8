"""``EncoderDecoderNet``: any encoder, a decoder, and a head for the logits and one for the flow.

- Encoder: by name, from segmentation-models-pytorch or timm; see :mod:`pancyte.nn.encoders`.
- Decoder: MA-Net, U-Net or FPN of segmentation-models-pytorch, with Mish for ReLU.
- Heads: shared by the classes, K and 2K channels. One more class costs 867 parameters in the
  published networks. Classes do not exclude each other: a nucleus lies in its cell.
- Any image size: the input is mirrored up to a multiple of 32 and the output cut back.

References
----------
Lee et al. 2023, MEDIAR, arXiv:2212.03465, for MiT-B5 with MA-Net, Mish and heads of this shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from pancyte.nn.compact import pad_to_multiple
from pancyte.nn.encoders import STRIDE, build_encoder
from pancyte.nn.heads import DenseHead, activation, largest_groups

if TYPE_CHECKING:
    from pancyte.nn.architectures import EncoderDecoder


class EncoderDecoderNet(nn.Module):
    """Predict foreground and flow of K classes in an image of any size.

    Parameters
    ----------
    encoder, decoder : modules
        The decoder takes the list of the encoder's features and returns (B, W, Y/s, X/s).
    heads : two modules
        To K and to 2K channels, each (B, W, Y/s, X/s) to (B, ., Y, X).
    in_channels : int
        Channels of the input.
    scaling : two floats
        Mean and standard deviation of the input that the encoder was made for.

    Notes
    -----
    Shapes: B batch, C channels, K classes, W width and s stride of the decoder's output, Y and X
    height and width.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        heads: tuple[nn.Module, nn.Module],
        *,
        in_channels: int,
        scaling: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.scaling = scaling
        self.encoder = encoder
        self.decoder = decoder
        self.foreground_head, self.flow_head = heads

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

        Raises
        ------
        ValueError
            The number of channels is another one than that of the network.
        """
        height, width = images.shape[-2:]
        x = self.decoder(self._features(images))  # (B, W, Y/s, X/s)
        return {
            "foreground": self.foreground_head(x)[..., :height, :width],
            "flow": self.flow_head(x)[..., :height, :width],
        }

    def embed(self, images: Tensor) -> Tensor:
        """Return the mean of the deepest features, (B, D), of images (B, C, Y, X).

        Raises
        ------
        ValueError
            The number of channels is another one than that of the network.
        """
        return self._features(images)[-1].mean(dim=(2, 3))

    def _features(self, images: Tensor) -> list[Tensor]:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            msg = (
                f"Expected images of shape (B, {self.in_channels}, Y, X), "
                f"but got {tuple(images.shape)}"
            )
            raise ValueError(msg)
        mean, std = self.scaling
        features: list[Tensor] = self.encoder((pad_to_multiple(images, STRIDE) - mean) / std)
        return features


def build_encoder_decoder(
    settings: EncoderDecoder, *, num_classes: int, in_channels: int
) -> EncoderDecoderNet:
    """Return a new, untrained network; nothing is downloaded.

    Raises
    ------
    ValueError
        There is no such encoder, it cannot be used, or a number is not positive.
    """
    for name, number in (("num_classes", num_classes), ("in_channels", in_channels)):
        if number < 1:
            raise ValueError(f"Expected {name} to be at least 1, but got {number}")
    encoder = build_encoder(settings.encoder, in_channels=in_channels)
    width = settings.widths[-1]
    return EncoderDecoderNet(
        encoder,
        _build_decoder(settings, list(encoder.out_channels)),  # type: ignore[arg-type]
        (DenseHead(width, num_classes, settings), DenseHead(width, 2 * num_classes, settings)),
        in_channels=in_channels,
        scaling=(settings.input_mean, settings.input_std),
    )


def _build_decoder(settings: EncoderDecoder, channels: list[int]) -> nn.Module:
    # Imported when such a network is built: it takes seconds.
    from segmentation_models_pytorch.base import initialization  # noqa: PLC0415
    from segmentation_models_pytorch.decoders import fpn, manet, unet  # noqa: PLC0415

    widths = settings.widths
    decoder: nn.Module
    if settings.decoder == "fpn":
        # Dropout would change the scale of the flow, which is a regression.
        decoder = fpn.decoder.FPNDecoder(
            channels, pyramid_channels=widths[0], segmentation_channels=widths[1], dropout=0.0
        )
    elif settings.decoder == "unet":
        decoder = unet.decoder.UnetDecoder(channels, widths, n_blocks=len(widths))
    else:
        decoder = manet.decoder.MAnetDecoder(
            channels, widths, n_blocks=len(widths), pab_channels=settings.attention_channels
        )
    initialization.initialize_decoder(decoder)
    _adapt(decoder, settings)
    return decoder


def _adapt(module: nn.Module, settings: EncoderDecoder) -> None:
    """Put the chosen activation, and fewer groups, where smp has ReLU and 32 groups."""
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, activation(settings.activation))
        elif isinstance(child, nn.GroupNorm):
            groups = largest_groups(child.num_channels, settings.head_groups)
            setattr(module, name, nn.GroupNorm(groups, child.num_channels))
        else:
            _adapt(child, settings)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable numbers of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
