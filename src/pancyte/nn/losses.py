"""Dense losses with a validity mask; each is a function that returns one scalar.

Where ``valid`` is 0 nothing was annotated: such a pixel adds nothing to the loss and its gradient
is exactly 0. A mean is taken over the valid pixels; without any, the loss is 0.

Shapes: B batch, K classes, Y and X height and width; flow channel 2c is y and 2c + 1 is x of class
c. All is computed in float32, whatever precision the network ran in.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def binary_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of logits; all arguments are (B, K, Y, X).

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(logits, target, valid)
    loss = F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none")
    return _mean(loss, valid)


def dice_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return one minus the soft Dice coefficient of each class over the batch, averaged.

    All arguments are (B, K, Y, X). One pixel is added to numerator and denominator, so that an
    empty target is no division by zero.

    References
    ----------
    Milletari, Navab, Ahmadi 2016, arXiv:1606.04797 (here without the squares).

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(logits, target, valid)
    probability = logits.float().sigmoid() * valid
    truth = target.float() * valid
    axes = (0, 2, 3)
    overlap = (probability * truth).sum(axes)  # (K,)
    total = probability.sum(axes) + truth.sum(axes)
    return (1.0 - (2.0 * overlap + 1.0) / (total + 1.0)).mean()


def flow_loss(
    flow: Tensor, target: Tensor, foreground: Tensor, valid: Tensor, *, background_weight: float
) -> Tensor:
    """Return the mean squared length of the difference of two flows.

    Parameters
    ----------
    flow, target : tensors of shape (B, 2K, Y, X)
    foreground, valid : tensors of shape (B, K, Y, X)
    background_weight : float
        Weight of pixels outside objects, where the target is 0; inside it is 1.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(flow, target, valid.repeat_interleave(2, dim=1))
    _check(foreground, valid)
    difference = (flow.float() - target.float()).square()
    squared = difference[:, 0::2] + difference[:, 1::2]  # (B, K, Y, X)
    weight = background_weight + (1.0 - background_weight) * foreground.float()
    return _mean(squared * weight, valid)


def scaled_flow_loss(flow: Tensor, target: Tensor, valid: Tensor, *, scale: float) -> Tensor:
    """Return the mean squared error per component of ``flow`` against ``scale * target``.

    ``flow`` and ``target`` are (B, 2K, Y, X), ``valid`` is (B, K, Y, X).

    Raises
    ------
    ValueError
        The shapes differ.
    """
    both = valid.repeat_interleave(2, dim=1)
    _check(flow, target, both)
    return _mean((flow.float() - scale * target.float()).square(), both)


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp(min=1)


def _check(prediction: Tensor, *targets: Tensor) -> None:
    for target in targets:
        if prediction.shape != target.shape:
            msg = (
                f"Expected prediction and target of the same shape, but got "
                f"{tuple(prediction.shape)} and {tuple(target.shape)}. "
                "The number of classes of the task and of the labels must agree."
            )
            raise ValueError(msg)
