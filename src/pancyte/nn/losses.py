"""Dense losses with a validity mask; each is a function that returns one scalar.

Where ``valid`` is 0 nothing was annotated: such a pixel adds nothing to the loss and its gradient
is exactly 0. A mean is taken over the valid pixels; without any, the loss is 0. With weights for
the classes it is the weighted mean, so that they shift the balance, not the size of the loss.

Shapes: B batch, K classes, Y and X height and width; flow channel 2c is y and 2c + 1 is x of class
c. All is computed in float32, whatever precision the network ran in.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

# Logarithmic sizes that are further off than this count linearly.
_SIZE_DELTA: Final = 0.25


def binary_cross_entropy(
    logits: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    class_weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the mean binary cross-entropy of logits.

    Parameters
    ----------
    logits, target, valid : tensors of shape (B, K, Y, X)
    class_weight : tensor of shape (K,) or None
        Weights of the classes in the mean, at least 0; None weighs all alike.
    pos_weight : tensor of shape (K,) or None
        Factor on the loss of pixels inside objects of each class; None is 1.
    label_smoothing : float
        Part of the target that is spread over object and background, 0 to 1.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(logits, target, valid)
    truth = target.float()
    if label_smoothing:
        truth = truth * (1.0 - label_smoothing) + 0.5 * label_smoothing
    loss = F.binary_cross_entropy_with_logits(
        logits.float(),
        truth,
        reduction="none",
        pos_weight=None if pos_weight is None else pos_weight[:, None, None],
    )
    return _mean(loss, valid, class_weight)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    gamma: float,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Return the mean binary cross-entropy in which pixels that are right already weigh less.

    Each pixel is weighted by ``(1 - p) ** gamma``, p being the probability of what is true.
    Shapes as in :func:`binary_cross_entropy`.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollar 2017, arXiv:1708.02002 (here without alpha).

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(logits, target, valid)
    scores = logits.float() * (2.0 * target.float() - 1.0)  # above 0 where right
    loss = F.softplus(-scores) * torch.sigmoid(-scores) ** gamma
    return _mean(loss, valid, class_weight)


def squared_error(
    logits: Tensor, target: Tensor, valid: Tensor, *, class_weight: Tensor | None = None
) -> Tensor:
    """Return the mean squared error of the probability.

    Shapes as in :func:`binary_cross_entropy`.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(logits, target, valid)
    loss = (logits.float().sigmoid() - target.float()).square()
    return _mean(loss, valid, class_weight)


def dice_loss(
    logits: Tensor, target: Tensor, valid: Tensor, *, class_weight: Tensor | None = None
) -> Tensor:
    """Return one minus the soft Dice coefficient of each class over the batch, averaged.

    Shapes as in :func:`binary_cross_entropy`. One pixel is added to numerator and denominator, so
    that an empty target is no division by zero. Classes without a valid pixel in the batch are left
    out of the average.

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
    loss = 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    weight = (valid.amax(axes) > 0).float()
    if class_weight is not None:
        weight = weight * class_weight
    return (loss * weight).sum() / _at_least_something(weight.sum())


def flow_loss(
    flow: Tensor,
    target: Tensor,
    foreground: Tensor,
    valid: Tensor,
    *,
    background_weight: float,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Return the mean squared length of the difference of two flows.

    Parameters
    ----------
    flow, target : tensors of shape (B, 2K, Y, X)
    foreground, valid : tensors of shape (B, K, Y, X)
    background_weight : float
        Weight of pixels outside objects, where the target is 0; inside it is 1.
    class_weight : tensor of shape (K,) or None
        Weights of the classes in the mean, at least 0; None weighs all alike.

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
    return _mean(squared * weight, valid, class_weight)


def direction_loss(
    flow: Tensor, target: Tensor, valid: Tensor, *, class_weight: Tensor | None = None
) -> Tensor:
    """Return one minus the cosine between two flows, its mean where the target is no sink.

    Parameters
    ----------
    flow, target : tensors of shape (B, 2K, Y, X)
        ``target`` has length 1 inside objects, and 0 in background and sinks, which are left out.
    valid : tensor of shape (B, K, Y, X)
    class_weight : tensor of shape (K,) or None
        As in :func:`flow_loss`.

    Notes
    -----
    0.01 is added to the squared length of ``flow``: short vectors have no direction worth a steep
    gradient. At length 1 the least loss is 0.005.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(flow, target, valid.repeat_interleave(2, dim=1))
    found, true = flow.float(), target.float()
    length = (found[:, 0::2].square() + found[:, 1::2].square() + 0.01).sqrt()  # (B, K, Y, X)
    along = (found * true)[:, 0::2] + (found * true)[:, 1::2]
    directed = true[:, 0::2].square() + true[:, 1::2].square() > 0.25
    return _mean(1.0 - along / length, valid * directed, class_weight)


def scaled_flow_loss(
    flow: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    scale: float,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Return the mean squared error per component of ``flow`` against ``scale * target``.

    Shapes as in :func:`flow_loss`.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(flow, target, valid.repeat_interleave(2, dim=1))
    difference = (flow.float() - scale * target.float()).square()
    squared = difference[:, 0::2] + difference[:, 1::2]  # (B, K, Y, X)
    return 0.5 * _mean(squared, valid, class_weight)


def size_loss(
    sizes: Tensor,
    target: Tensor,
    whole: Tensor,
    cut: Tensor,
    *,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Return the mean Huber loss of logarithmic sizes of objects.

    Parameters
    ----------
    sizes, target : tensors of shape (B, K, Y, X)
        Binary logarithms.
    whole, cut : tensors of shape (B, K, Y, X)
        Where the object was seen as a whole, and where the target is the least that it measures, so
        that only a smaller size is wrong. The other pixels count nothing.
    class_weight : tensor of shape (K,) or None
        Weights of the classes in the mean, at least 0; None weighs all alike.

    Notes
    -----
    Every pixel weighs alike: patches of few large objects then count as much as those of many small
    ones. The loss is linear from an error of a quarter (19 % of the diameter) on.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    _check(sizes, target, whole, cut)
    error = sizes.float() - target.float()
    error = torch.where(cut > 0, error.clamp(max=0.0), error)
    loss = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=_SIZE_DELTA)
    return _mean(loss / _SIZE_DELTA, (whole > 0) | (cut > 0), class_weight)


def _mean(values: Tensor, valid: Tensor, class_weight: Tensor | None) -> Tensor:
    if class_weight is None:
        return (values * valid).sum() / valid.sum().clamp(min=1)
    weight = valid * class_weight[:, None, None]
    return (values * weight).sum() / _at_least_something(weight.sum())


def _at_least_something(total: Tensor) -> Tensor:
    """Return 1 instead of 0, by which nothing may be divided."""
    return torch.where(total > 0, total, torch.ones_like(total))


def _check(prediction: Tensor, *targets: Tensor) -> None:
    for target in targets:
        if prediction.shape != target.shape:
            msg = (
                f"Expected prediction and target of the same shape, but got "
                f"{tuple(prediction.shape)} and {tuple(target.shape)}. "
                "The number of classes of the task and of the labels must agree."
            )
            raise ValueError(msg)
