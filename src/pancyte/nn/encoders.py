"""Encoders by name, from segmentation-models-pytorch (smp) and timm, without their weights.

An encoder turns images (B, C, Y, X), with Y and X multiples of 32, into a list of feature maps,
finest first, the last at stride 32. One without a feature at stride 2 (a transformer, ConvNeXt)
gives one of no channels there, which the decoders understand. Nothing is ever downloaded: weights
come from files of the user (:mod:`pancyte.nn.weights`).
"""

from __future__ import annotations

import difflib
import warnings
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

STRIDE: Final = 32
"""Height and width of the input must be multiples of this."""

_TIMM: Final = "tu-"
"""How segmentation-models-pytorch marks the name of an encoder of timm."""

_CHECKED_SIZE: Final = 96
"""Not 224, for which many encoders were made, and no power of two."""

_FREE_SIZE: Final[tuple[dict[str, bool], ...]] = (
    {},
    # What timm's transformers of a fixed image size need to take another one: Swin, then ViT.
    {"strict_img_size": False},
    {"dynamic_img_size": True},
)


class Encoder(Protocol):
    """What a network needs to know of an encoder."""

    out_channels: list[int]
    """Channels of the features, finest first."""

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the features, finest first."""


def list_encoders(pattern: str = "") -> list[str]:
    """Return the names of encoders that contain a text, in any letter case.

    timm's are marked with ``tu-``, which may be left out where smp has none of the same name. Not
    every one of timm can be used for segmentation; :func:`build_encoder` says so.

    Examples
    --------
    >>> list_encoders("mit_")
    ['mit_b0', 'mit_b1', 'mit_b2', 'mit_b3', 'mit_b4', 'mit_b5']
    """
    return [name for name in _names() if pattern.lower() in name.lower()]


def find_encoder(name: str) -> str:
    """Return the exact name of an encoder that was given in any letter case, with or without tu-.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    exact = {known.lower(): known for known in _names()}
    wanted = name.lower().strip()
    for candidate in (wanted, _TIMM + wanted):
        if candidate in exact:
            return exact[candidate]
    near = difflib.get_close_matches(wanted, exact, n=3) or difflib.get_close_matches(
        _TIMM + wanted, exact, n=3
    )
    meant = f" Did you mean {' or '.join(exact[key] for key in near)}?" if near else ""
    msg = (
        f"There is no encoder {name!r}.{meant} pancyte.nn.encoders.list_encoders('resnet') lists "
        "those with a name like resnet, of segmentation-models-pytorch and timm (tu-...)."
    )
    raise ValueError(msg)


def build_encoder(name: str, *, in_channels: int) -> nn.Module:
    """Return a new, untrained encoder with features at strides 2 or 4 to 32.

    Parameters
    ----------
    name
        As in :func:`list_encoders`; letter case does not matter.
    in_channels
        Channels of the input, at least 1.

    Raises
    ------
    ValueError
        There is no such encoder, or its features are of other strides.
    """
    name = find_encoder(name)
    if not name.startswith(_TIMM):
        return _create(name, in_channels)
    reasons = []
    for options in _FREE_SIZE:
        try:
            encoder = _create(name, in_channels, **options)
            _check(encoder, in_channels)
        except _UNUSABLE as error:
            reasons.append(error)
        else:
            return encoder
    msg = (
        f"The encoder {name!r} cannot be used: segmentation needs features at strides 4, 8, 16 and "
        f"32 of images of any size ({_first_line(reasons[0])}). Choose a network with a pyramid, "
        "such as tu-convnext_tiny, tu-swin_tiny_patch4_window7_224 or resnet34."
    )
    raise ValueError(msg) from reasons[0]


# What timm and its networks raise where they cannot do what is asked.
_UNUSABLE: Final = (
    RuntimeError, ValueError, TypeError, AssertionError, IndexError, KeyError, AttributeError,
)  # fmt: skip


def _create(name: str, in_channels: int, **options: Any) -> nn.Module:  # noqa: ANN401 - of timm
    # Imported when such a network is built: it takes seconds.
    from segmentation_models_pytorch.encoders import get_encoder  # noqa: PLC0415

    encoder: nn.Module = get_encoder(
        name, in_channels=in_channels, depth=5, weights=None, **options
    )
    return encoder


def _check(encoder: nn.Module, in_channels: int) -> None:
    """Look at the features of a small image, in the state for prediction."""
    training = encoder.training
    size = _CHECKED_SIZE
    # No inference tensors: some encoders keep tables that training would then stumble over.
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = encoder.eval()(torch.zeros(1, in_channels, size, size))
    encoder.train(training)
    strides = [size / feature.shape[-1] for feature in features]
    channels = [feature.shape[1] for feature in features]
    if strides != [1, 2, 4, 8, 16, 32] or channels != encoder.out_channels:
        msg = f"its features have strides {strides[1:]} and {channels[1:]} channels"
        raise ValueError(msg)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _names() -> list[str]:
    import timm  # noqa: PLC0415 - takes seconds
    from segmentation_models_pytorch.encoders import get_encoder_names  # noqa: PLC0415

    # smp's own "timm-" names are deprecated: the same networks are there as "tu-".
    own = [name for name in get_encoder_names() if not name.startswith("timm-")]
    return sorted(own) + [_TIMM + name for name in timm.list_models()]
