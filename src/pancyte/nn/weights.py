"""State dict in, state dict out: fit published weights to a network. Files are read elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

ENCODER: Final = "encoder."
"""What the names of the tensors of every network's encoder begin with."""
COUNTER: Final = ".num_batches_tracked"
"""What the names of the counters of batch norm end with, which mean nothing by themselves."""

# What other programs put before the names of an encoder.
_PREFIXES: Final = ("module.", "model.", "network.", "encoder.", "backbone.", "image_encoder.")


def encoder_state(weights: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of published weights under the names of an encoder, where they fit.

    Parameters
    ----------
    weights
        Name to tensor, as published for the encoder alone, for a classifier, or for a network that
        has it as ``encoder.``. timm names the same tensor ``stages.0.`` in a classifier and
        ``stages_0.`` in an encoder: dots and underscores are one here.
    target
        The state dict of the encoder to fill. Where its first convolution has another number of
        channels than three, it gets the color filters in turn, scaled so that an image with equal
        channels gives the same response as before.

    Examples
    --------
    >>> target = {"model.stem_0.weight": torch.zeros(1, 1, 1, 1)}
    >>> encoder_state({"stem.0.weight": torch.ones(1, 3, 1, 1), "head.bias": torch.ones(1)}, target)
    {'model.stem_0.weight': tensor([[[[3.]]]])}
    """
    state = {}
    for name, published in encoder_names(weights, target).items():
        value, wanted = weights[published], target[name]
        if _differs_in_channels(value, wanted):
            value = adapt_channels(value, wanted.shape[1])
        if value.shape == wanted.shape:
            state[name] = value
    return state


def encoder_names(weights: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, str]:
    """Return, for each name of an encoder that published weights have, its name there.

    Shapes are not looked at; see :func:`encoder_state`.
    """
    names = [name for name in weights if name.startswith(ENCODER)] or list(weights)
    published = {_canonical(name): name for name in names}
    return {name: published[_canonical(name)] for name in target if _canonical(name) in published}


def adapt_channels(filters: Tensor, in_channels: int) -> Tensor:
    """Turn filters (C', C, Y, X) for C channels into filters for another number of channels.

    They are taken in turn and shifted so that the response to equal channels stays exactly.
    """
    total = filters.sum(dim=1, keepdim=True)
    if in_channels == 1:
        return total
    filters = filters[:, torch.arange(in_channels) % filters.shape[1]]
    # Spread what the chosen filters lack or exceed.
    return filters + (total - filters.sum(dim=1, keepdim=True)) / in_channels


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Which entries of a state dict went into a network."""

    loaded: tuple[str, ...]
    """Names whose values the network took over."""
    skipped: tuple[str, ...]
    """Names that the network does not have, or has in another shape."""
    missing: tuple[str, ...]
    """Names of the network that got nothing and keep what they had."""

    @property
    def lacking(self) -> tuple[str, ...]:
        """What is missing, without the counters of batch norm, which mean nothing by themselves."""
        return tuple(name for name in self.missing if not name.endswith(COUNTER))


def load_matching(
    network: nn.Module, weights: Mapping[str, Tensor], *, strict: bool = False
) -> LoadReport:
    """Copy the entries whose name and shape match into the network, and say what did not.

    Parameters
    ----------
    network
        Changed in place.
    weights
        Name to tensor.
    strict
        Whether an entry that is left over, or a tensor of the network that gets nothing, is an
        error.

    Raises
    ------
    ValueError
        Not all matched although ``strict`` was asked for; the network is as it was.
    """
    state = network.state_dict()
    loaded = {
        name: value
        for name, value in weights.items()
        if name in state and state[name].shape == value.shape
    }
    report = LoadReport(
        loaded=tuple(loaded),
        skipped=tuple(name for name in weights if name not in loaded),
        missing=tuple(name for name in state if name not in loaded),
    )
    if strict and (report.skipped or report.lacking):
        first = ", ".join((report.skipped + report.lacking)[:3])
        msg = (
            f"Expected weights that match the network one to one, but {len(report.skipped)} of "
            f"them do not fit and {len(report.lacking)} are missing: {first}"
        )
        raise ValueError(msg)
    network.load_state_dict(loaded, strict=False)
    return report


def match_classes(
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    *,
    before: tuple[str, ...],
    now: tuple[str, ...],
) -> dict[str, Tensor]:
    """Return weights in which the outputs of each class stand where a network has that class.

    Parameters
    ----------
    weights
        State dict of a :class:`~pancyte.nn.compact.CompactNet` or
        :class:`~pancyte.nn.encoder_decoder.EncoderDecoderNet`.
    own
        State dict of the network to fill; classes that the weights do not know keep its values.
    before, now
        Names of the classes of the weights, and of the network.
    """
    matched = dict(weights)
    for name, value in weights.items():
        rows = _rows(name)
        like = own.get(name)
        if rows is None or like is None or value.shape[1:] != like.shape[1:]:
            continue
        # Blocks of one row, or two, for each class.
        if (len(value), len(like)) != (sum(rows) * len(before), sum(rows) * len(now)):
            continue
        filled = like.detach().clone()
        for k, of_class in enumerate(now):
            if of_class in before:
                place = before.index(of_class)
                filled[_places(rows, k, len(now))] = value[_places(rows, place, len(before))].to(
                    filled
                )
        matched[name] = filled
    return matched


def _rows(name: str) -> tuple[int, ...] | None:
    """Return how many rows for each class are in each block of an output; None for others."""
    layer = name.rpartition(".")[0]
    return {
        "head": (1, 2),
        "size_head.2": (1, 1),
        "foreground_head.conv2": (1,),
        "flow_head.conv2": (2,),
    }.get(layer)


def _places(rows: tuple[int, ...], k: int, num_classes: int) -> list[int]:
    """Return the rows of class k.

    Examples
    --------
    >>> _places((1, 2), 0, 2), _places((1, 2), 1, 2)
    ([0, 2, 3], [1, 4, 5])
    """
    places, start = [], 0
    for number in rows:
        places += [start + k * number + i for i in range(number)]
        start += number * num_classes
    return places


def _canonical(name: str) -> str:
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                name, changed = name.removeprefix(prefix), True
    return name.replace(".", "_")


def _differs_in_channels(value: Tensor, wanted: Tensor) -> bool:
    return (
        value.ndim == wanted.ndim == 4
        and value.shape[1] == 3
        and wanted.shape[1] != 3
        and value.shape[0] == wanted.shape[0]
        and value.shape[2:] == wanted.shape[2:]
    )
