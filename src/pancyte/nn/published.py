"""The weights of MEDIAR and of Mediar-V under the names of :class:`EncoderDecoderNet`.

Both have a Mix Transformer as ``encoder``, MA-Net as ``decoder`` and two heads of two convolutions
and a normalization. Only the heads have other names here, and a head that segmentation-models-
pytorch makes and the two systems do not use is left out. What a head's tensor is, is read from its
shape, since their position in a head differs.

References
----------
Lee et al. 2023, MEDIAR, arXiv:2212.03465.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pancyte.nn.architectures import EncoderDecoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_TRUNK: Final = ("encoder.", "decoder.")
_WRAPPER: Final = "module."
_FOREGROUND: Final = "foreground_head"
_FLOW: Final = "flow_head"
_MEDIAR_HEADS: Final = {"cellprob_head": _FOREGROUND, "gradflow_head": _FLOW}
_MEDIAR_V_HEADS: Final = {"logits_head": _FOREGROUND, "gradflow_head": _FLOW}

# Width of the first stage and blocks in the third one, by name of the encoder.
_MIX_TRANSFORMERS: Final = {
    (32, 2): "mit_b0", (64, 2): "mit_b1", (64, 6): "mit_b2", (64, 18): "mit_b3",
    (64, 27): "mit_b4", (64, 40): "mit_b5",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PublishedWeights:
    """A published state dict in the names of a network here, and what became of each tensor."""

    state: Mapping[str, Tensor]
    """Name in our network to tensor; the tensors are those that were given."""
    names: Mapping[str, str]
    """Published name to our name, of every tensor that is used."""
    skipped: tuple[str, ...]
    """Published names of tensors that have no place here."""
    architecture: EncoderDecoder
    """The network that they fit."""
    num_classes: int
    """K."""
    in_channels: int
    """Channels of the input."""

    @property
    def renamed(self) -> dict[str, str]:
        """Published name to ours, where they differ."""
        return {old: new for old, new in self.names.items() if old != new}


def mediar_state(weights: Mapping[str, Tensor], *, encoder: str | None = None) -> PublishedWeights:
    """Convert a state dict of MEDIAR-Former.

    Parameters
    ----------
    weights
        ``encoder.*``, ``decoder.*``, ``cellprob_head.*`` and ``gradflow_head.*``, with or without
        ``module.`` before them.
    encoder
        Name of the encoder; None recognizes a Mix Transformer (``mit_b0`` to ``mit_b5``).

    Raises
    ------
    ValueError
        They are not those of MEDIAR-Former, or of an encoder that is not recognized.
    """
    return _convert(weights, _MEDIAR_HEADS, system="MEDIAR-Former", encoder=encoder)


def mediar_v_state(
    weights: Mapping[str, Tensor], *, encoder: str | None = None
) -> PublishedWeights:
    """Convert a state dict of Mediar-V with K classes: as MEDIAR's, but with ``logits_head.*``.

    Parameters
    ----------
    weights
        ``encoder.*``, ``decoder.*``, ``logits_head.*`` and ``gradflow_head.*``, with or without
        ``module.`` before them.
    encoder
        Name of the encoder; None recognizes a Mix Transformer (``mit_b0`` to ``mit_b5``).

    Raises
    ------
    ValueError
        They are not those of Mediar-V, or of an encoder that is not recognized.
    """
    return _convert(weights, _MEDIAR_V_HEADS, system="Mediar-V", encoder=encoder)


def is_mediar(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict has the head that only MEDIAR-Former has."""
    return any(name.removeprefix(_WRAPPER).startswith("cellprob_head.") for name in weights)


def is_mediar_v(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict has the head that only Mediar-V has."""
    return any(name.removeprefix(_WRAPPER).startswith("logits_head.") for name in weights)


def _convert(
    weights: Mapping[str, Tensor], heads: Mapping[str, str], *, system: str, encoder: str | None
) -> PublishedWeights:
    plain = {name.removeprefix(_WRAPPER): name for name in weights}
    names = {old: name for name, old in plain.items() if name.startswith(_TRUNK)}
    for published, ours in heads.items():
        tensors = {n: weights[old] for n, old in plain.items() if n.startswith(f"{published}.")}
        for name, role in _head_roles(tensors, where=f"{system}: {published}").items():
            names[plain[name]] = f"{ours}.{role}"
    state = {new: weights[old] for old, new in names.items()}
    architecture = _architecture(state, system=system, encoder=encoder)
    return PublishedWeights(
        state=state,
        names=names,
        skipped=tuple(name for name in weights if name not in names),
        architecture=architecture,
        num_classes=state[f"{_FOREGROUND}.conv2.weight"].shape[0],
        in_channels=_in_channels(state),
    )


def _head_roles(tensors: Mapping[str, Tensor], *, where: str) -> dict[str, str]:
    """Tell by shape which tensor of a head is which: conv1, norm, conv2."""
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        modules.setdefault(module, {})[kind] = tensor
    norms = [m for m, kinds in modules.items() if "weight" in kinds and kinds["weight"].ndim == 1]
    convs = [m for m, kinds in modules.items() if "weight" in kinds and kinds["weight"].ndim == 4]
    if len(norms) != 1 or len(convs) != 2:
        msg = (
            f"{where}: expected two convolutions and one normalization, but found {len(convs)} and "
            f"{len(norms)} in {', '.join(list(tensors)[:3]) or 'nothing of that name'}"
        )
        raise ValueError(msg)
    width = modules[norms[0]]["weight"].shape[0]
    first, second = convs
    if modules[first]["weight"].shape[0] != width or modules[second]["weight"].shape[1] != width:
        first, second = second, first
    roles = {first: "conv1", norms[0]: "norm", second: "conv2"}
    return {f"{m}.{kind}": f"{role}.{kind}" for m, role in roles.items() for kind in modules[m]}


def _architecture(
    state: Mapping[str, Tensor], *, system: str, encoder: str | None
) -> EncoderDecoder:
    attention = state.get("decoder.center.top_conv.weight")
    if attention is None:
        msg = (
            f"{system}: expected the decoder of MA-Net, but found no decoder.center.top_conv.weight"
        )
        raise ValueError(msg)
    widths: list[int] = []
    while (conv := state.get(f"decoder.blocks.{len(widths)}.conv2.0.weight")) is not None:
        widths.append(conv.shape[0])
    return EncoderDecoder(
        encoder=encoder or _mix_transformer(state, system=system),
        decoder_channels=tuple(widths),
        attention_channels=attention.shape[0],
        head_norm="batch" if f"{_FOREGROUND}.norm.running_mean" in state else "group",
        # Mediar-V takes as many groups as divide the width, at most 32.
        head_groups=32,
        head_order=(
            "activation_norm" if f"{_FOREGROUND}.conv1.bias" in state else "norm_activation"
        ),
    )


def _mix_transformer(state: Mapping[str, Tensor], *, system: str) -> str:
    first = state.get("encoder.patch_embed1.proj.weight")
    blocks = {name.split(".")[2] for name in state if name.startswith("encoder.block3.")}
    found = None if first is None else _MIX_TRANSFORMERS.get((first.shape[0], len(blocks)))
    if found is None:
        msg = (
            f"{system}: the encoder is none of mit_b0 to mit_b5. Say which one it is, by its name "
            "in segmentation-models-pytorch."
        )
        raise ValueError(msg)
    return found


def _in_channels(state: Mapping[str, Tensor]) -> int:
    # The first convolution is the first tensor of four axes.
    return next(
        (v.shape[1] for n, v in state.items() if n.startswith("encoder.") and v.ndim == 4), 3
    )
