"""A few hundred numbers about what an image looks like, out of the encoder of a trained network.

The encoder sees the middle of the image, normalized as the model says, at the image's own scale. Of
its features at strides 4 and 16, the mean and the standard deviation of each channel are kept: how
much there is of what, and how uneven. Each of these four vectors is divided by its length, so that
none of them rules over the others.

Chosen by trial on ten kinds of image (fluorescence, two stains, bright-field, phase contrast,
quantitative phase, SEM, yeast, E. coli), six images each, all with the bundled model: of four
kinds clustered into four, the adjusted Rand index was 0.91 on average where the kinds differ in
plain sight and 0.78 on mixtures of similar ones. The mean of the deepest features alone, which know
more about cells than about microscopes, reached less than 0.6. The model had seen images of most of
these sets in its training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from pancyte.errors import UsageError
from pancyte.ops.preprocess import preprocess
from pancyte.runtime import using_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from pancyte.inference.model import Model
    from pancyte.inference.view import View
    from pancyte.types import FloatArray

_SIDE: Final = 384
_STRIDES: Final = (4, 16)


def embed_image(model: Model, pixels: npt.NDArray[np.generic]) -> FloatArray:
    """Describe an image by the features of a model's encoder.

    Parameters
    ----------
    model
        Whose network has an ``encoder`` that returns features at several scales.
    pixels
        (C, Y, X) as it was read.

    Returns
    -------
    FloatArray of shape (D,)
        float32, of length 2. On a CPU the same bits for any number of threads.

    Raises
    ------
    ValueError
        The image has more channels than the network takes.
    UsageError
        The network has no such encoder.
    """
    top, left = (max(0, (side - _SIDE) // 2) for side in pixels.shape[1:])
    normalized = preprocess(pixels, model.task.preprocessing)
    return _embed(model, normalized[:, top : top + _SIDE, left : left + _SIDE])


def embed_view(model: Model, view: View) -> FloatArray:
    """Describe an image at the scale of a view; see :func:`embed_image`."""
    window = [
        slice(max(0, (side - _SIDE) // 2), min(side, max(0, (side - _SIDE) // 2) + _SIDE))
        for side in view.shape
    ]
    return _embed(model, view.read(*window))


def _embed(model: Model, window: FloatArray) -> FloatArray:
    """Return the embedding of normalized pixels (C, y, x)."""
    # How a sum is shared by threads changes its last bits.
    with using_threads(1), torch.inference_mode():
        device = next(model.network.parameters()).device
        images = torch.from_numpy(np.ascontiguousarray(window))[None].to(device)
        features, height = _encode(model, images)
        parts = [
            part / part.norm().clamp_min(1e-12)
            for stride in _STRIDES
            for part in _moments(_at_stride(features, height, stride))
        ]
        return torch.cat(parts).cpu().numpy().astype(np.float32)


def _encode(model: Model, images: Tensor) -> tuple[list[Tensor], int]:
    """Return what the encoder returns, and the height of the images as the network pads them."""
    network: Any = model.network
    encoder: nn.Module | None = getattr(network, "encoder", None)
    found: list[Tensor] = []
    heights = [images.shape[-2]]

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Sequence[Tensor]) -> None:
        heights.append(inputs[0].shape[-2])
        found.extend(output)

    if encoder is not None and hasattr(network, "embed"):
        handle = encoder.register_forward_hook(keep)
        try:
            network.embed(images)
        finally:
            handle.remove()
    found = [feature for feature in found if feature.ndim == 4]
    if not found:
        msg = (
            f"The model {model.name} has no encoder with features at several scales, by which "
            "images could be compared. Choose another model, such as the bundled one."
        )
        raise UsageError(msg)
    return found, heights[-1]


def _at_stride(features: list[Tensor], height: int, stride: int) -> Tensor:
    """Return the features of the height nearest to that of the image over the stride."""
    return min(features, key=lambda feature: abs(np.log(feature.shape[-2] * stride / height)))


def _moments(feature: Tensor) -> tuple[Tensor, Tensor]:
    flat = feature[0].flatten(1).double()  # (C, Y * X)
    return flat.mean(dim=1), flat.std(dim=1, correction=0)
