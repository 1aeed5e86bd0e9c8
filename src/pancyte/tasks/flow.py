"""``FlowTask``: every pixel of an object points to the object's sink; those that meet are one.

A network sees an image and predicts, for each class, the probability of being inside an object and
a unit vector towards the sink. Foreground pixels follow the vectors; those that end together are
an object. An object whose own field disagrees with the predicted one is dropped.

References
----------
Stringer, Wang, Michaelos, Pachitariu 2021, Cellpose, doi:10.1038/s41592-020-01018-x; Lee et al.
2023, MEDIAR, arXiv:2212.03465, for the loss of that name and for one pair of heads per class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field as settings_field
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch

from pancyte.config import from_mapping, to_mapping
from pancyte.errors import ConfigError
from pancyte.nn import losses
from pancyte.nn.architectures import Architecture, Compact, build_network
from pancyte.ops import sizes
from pancyte.ops.flow import FlowDecoding, FlowField, decode_flow, labels_to_flow
from pancyte.ops.labels import touches_border
from pancyte.ops.linking import Link, check_links, link_classes
from pancyte.ops.preprocess import Preprocessing
from pancyte.ops.selection import keep_objects
from pancyte.params import params
from pancyte.types import BoolArray, FloatArray, IntArray, Maps, ObjectTable, Segmentation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pancyte.protocols import Targets
    from pancyte.types import Part

# The length of the vectors that a network trained with MEDIAR's loss predicts.
_MEDIAR_SCALE: Final = 5.0
# Of the coarse foreground, which a network with sizes learns beside that at full resolution.
_COARSE_WEIGHT: Final = 0.2

Loss = Literal["balanced", "mediar", "bce", "focal", "dice", "mse"]
"""What a network is trained to minimize."""

# The terms of each loss that are about the foreground; the flow has one, or two.
_FOREGROUND_TERMS: Final[Mapping[Loss, tuple[str, ...]]] = {
    "balanced": ("bce", "dice"),
    "mediar": ("bce",),
    "bce": ("bce",),
    "focal": ("focal",),
    "dice": ("dice",),
    "mse": ("mse",),
}


@params
class FlowTask:
    """Segment K classes of objects, which may lie inside each other, by foreground and flow."""

    kind: Literal["flow"] = "flow"
    classes: tuple[str, ...] = ("object",)
    """Names of the K classes, one label plane each."""
    field: FlowField = "diffusion"
    """How the vectors of the targets are made; see :mod:`pancyte.ops.flow`."""
    preprocessing: Preprocessing = Preprocessing()
    """Channels, normalization and object size."""
    decoding: FlowDecoding = FlowDecoding()
    """How objects are found in the maps."""
    architecture: Architecture = Compact()
    """The network; see :mod:`pancyte.nn.architectures`."""
    class_decoding: Mapping[str, Mapping[str, Any]] = settings_field(default_factory=dict)
    """Name of a class to those settings of ``decoding`` that are different for it."""
    links: tuple[Link, ...] = ()
    """Classes whose objects belong to those of another class; see :mod:`pancyte.ops.linking`."""
    loss: Loss = "balanced"
    """``balanced``: BCE + dice_weight * (1 - Dice) + flow_weight * weighted squared flow error.
    ``bce``, ``focal``, ``dice`` and ``mse`` have that term alone for the foreground, and the same
    for the flow. ``mediar``: BCE + 0.5 * MSE(flow, 5 * target), unweighted, as published."""
    dice_weight: float = 0.5
    """Of the balanced loss; at least 0."""
    flow_weight: float = 2.5
    """Of all losses but ``mediar``; at least 0."""
    background_weight: float = 0.15
    """Of all losses but ``mediar``: weight of the flow outside objects, 0 to 1."""
    direction_weight: float = 0.0
    """Of one minus the cosine between flow and target inside objects; at least 0."""
    size_weight: float = 0.5
    """Of the error of the logarithmic size, where the architecture has ``sizes``; at least 0."""
    focal_gamma: float = 2.0
    """Of the focal loss: how little pixels count that are right already; at least 0."""
    label_smoothing: float = 0.0
    """Of BCE: part of the target that is spread over object and background, 0 to 1."""
    class_weights: Mapping[str, float] = settings_field(default_factory=dict)
    """Name of a class to its weight in all terms, relative to the others; 1 where none is named."""
    pos_weights: Mapping[str, float] = settings_field(default_factory=dict)
    """Name of a class to the factor on BCE inside its objects; 1 where none is named."""

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes) or "" in self.classes:
            msg = f"Expected classes to be one or more different names, but got {self.classes}"
            raise ValueError(msg)
        check_links(self.links, self.classes)
        self._check_class_names()
        self._check_losses()
        if self._has_sizes and self.preprocessing.diameter is None:
            msg = (
                "architecture.sizes: sizes are relative to preprocessing.diameter, which is none. "
                "Give a diameter, or leave sizes out."
            )
            raise ValueError(msg)

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return 2

    @property
    def context(self) -> int:
        """Number of slices that the network sees at once."""
        return 1

    def network(self) -> nn.Module:
        """Return a new, untrained network.

        Raises
        ------
        ConfigError
            The architecture names an encoder that does not exist or cannot be used.
        """
        try:
            return build_network(
                self.architecture,
                num_classes=len(self.classes),
                in_channels=self.preprocessing.channels,
            )
        except ValueError as error:
            msg = f"task.architecture: {error}"
            raise ConfigError(msg) from error

    def encode(self, labels: IntArray, valid: BoolArray | None = None) -> Targets:
        """Return ``foreground`` and ``valid`` (K, Y, X) and ``flow`` (2K, Y, X) of labels.

        For a network that has sizes also ``size`` and ``size_kind`` of
        :func:`pancyte.ops.sizes.size_targets`, (K, Y / 4, X / 4).
        """
        self._check_planes(labels.shape)
        flow = [labels_to_flow(plane, field=self.field) for plane in labels]
        targets: dict[str, npt.NDArray[Any]] = {
            "foreground": (labels > 0).astype(np.float32),
            "flow": np.concatenate(flow),
            "valid": np.ones(labels.shape, dtype=np.bool_) if valid is None else valid,
        }
        reference = self.preprocessing.diameter
        if self._has_sizes and reference is not None:
            parts = [
                sizes.size_targets(plane, trusted, reference=reference)
                for plane, trusted in zip(labels, targets["valid"], strict=True)
            ]
            targets["size"] = np.stack([size for size, _ in parts])
            targets["size_kind"] = np.stack([kinds for _, kinds in parts])
        return targets

    def losses(
        self, network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss, such as bce, dice and flow."""
        return self.loss_terms(network(images), targets)

    def loss_terms(
        self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss of what a network answered."""
        logits, flow = outputs["foreground"], outputs["flow"]
        truth, valid = targets["foreground"], targets["valid"]
        weight = self._per_class(self.class_weights, logits)
        pos_weight = self._per_class(self.pos_weights, logits)
        terms: dict[str, Tensor] = {}
        for name in _FOREGROUND_TERMS[self.loss]:
            if name == "bce":
                terms[name] = losses.binary_cross_entropy(
                    logits, truth, valid,
                    class_weight=weight, pos_weight=pos_weight,
                    label_smoothing=self.label_smoothing,
                )  # fmt: skip
            elif name == "dice":
                dice = losses.dice_loss(logits, truth, valid, class_weight=weight)
                terms[name] = self.dice_weight * dice if self.loss == "balanced" else dice
            elif name == "focal":
                terms[name] = losses.focal_loss(
                    logits, truth, valid, gamma=self.focal_gamma, class_weight=weight
                )
            else:
                terms[name] = losses.squared_error(logits, truth, valid, class_weight=weight)
        terms |= self._flow_terms(flow, targets, weight)
        return terms | self._size_terms(outputs, targets, weight) if self._has_sizes else terms

    def _flow_terms(
        self, flow: Tensor, targets: Mapping[str, Tensor], weight: Tensor | None
    ) -> dict[str, Tensor]:
        target, valid = targets["flow"], targets["valid"]
        if self.loss == "mediar":
            error = losses.scaled_flow_loss(
                flow, target, valid, scale=_MEDIAR_SCALE, class_weight=weight
            )
            terms = {"flow": 0.5 * error}
        else:
            error = losses.flow_loss(
                flow, target, targets["foreground"], valid,
                background_weight=self.background_weight, class_weight=weight,
            )  # fmt: skip
            terms = {"flow": self.flow_weight * error}
        if self.direction_weight:
            angle = losses.direction_loss(flow, target, valid, class_weight=weight)
            terms["direction"] = self.direction_weight * angle
        return terms

    def _size_terms(
        self,
        outputs: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        weight: Tensor | None,
    ) -> dict[str, Tensor]:
        kinds = targets["size_kind"]
        whole, cut = kinds == sizes.WHOLE, kinds == sizes.CUT
        error = losses.size_loss(outputs["size"], targets["size"], whole, cut, class_weight=weight)
        coarse = losses.binary_cross_entropy(
            outputs["coarse"], whole | cut, kinds != sizes.UNKNOWN, class_weight=weight
        )
        return {"size": self.size_weight * error, "coarse": _COARSE_WEIGHT * coarse}

    def infer(self, network: nn.Module, images: Tensor) -> Maps[Tensor]:
        """Return foreground probabilities (B, K, Y, X) and unit flow (B, K, 2, Y, X), float32."""
        outputs: dict[str, Tensor] = network(images)
        flow = outputs["flow"].float()
        batch, components = flow.shape[:2]
        flow = flow.reshape(batch, components // 2, 2, *flow.shape[2:])  # (B, K, 2, Y, X)
        return Maps(
            scalars=outputs["foreground"].float().sigmoid(),
            vectors=flow / _MEDIAR_SCALE if self.loss == "mediar" else flow,
        )

    def decode(
        self, maps: Maps[FloatArray], *, scale: float = 1.0, part: Part | None = None
    ) -> Segmentation:
        """Find the objects of each class.

        Columns are class, label, score, foreground and flow_error, and those of links. A part of an
        image is not related: objects at its sides may be the half of one.
        """
        self._check_planes(maps.scalars.shape)
        planes = []
        for name, foreground, flow in zip(self.classes, maps.scalars, maps.vectors, strict=True):
            decoding = self._decoding(name)
            # What lies at the border of the image, `relate` says, which sees it in its own size.
            decoding = replace(
                decoding, min_size=round(decoding.min_size / scale**2), remove_border=0
            )
            planes.append(decode_flow(foreground, flow, decoding, field=self.field, part=part))
        counts = [len(plane.scores) for plane in planes]
        columns = {
            "class": np.repeat(np.asarray(self.classes), counts),
            "label": np.concatenate([np.arange(1, n + 1, dtype=np.int32) for n in counts]),
            "score": np.concatenate([plane.scores for plane in planes]).astype(np.float32),
            "foreground": np.concatenate([plane.foreground for plane in planes]),
            "flow_error": np.concatenate([plane.errors for plane in planes]),
        }
        labels = np.stack([plane.labels for plane in planes])
        found = Segmentation(labels, ObjectTable(columns), self.classes)
        return self.relate(found) if part is None else found

    def relate(self, found: Segmentation) -> Segmentation:
        """Drop objects at the border where that is asked for, and pair those of linked classes.

        To do so again changes nothing; after objects were removed or renumbered it brings the
        columns of :func:`pancyte.ops.linking.link_classes` up to date.
        """
        dropped = np.zeros(found.objects.num_objects, dtype=np.bool_)
        for name, plane in zip(self.classes, found.labels, strict=True):
            at_border = touches_border(plane, width=self._decoding(name).remove_border)
            if len(at_border):
                of_class = found.objects["class"] == name
                dropped |= of_class & np.isin(found.objects["label"], at_border)
        if dropped.any():
            found = keep_objects(found, ~dropped)
        return link_classes(found, self.links)

    @property
    def _has_sizes(self) -> bool:
        return isinstance(self.architecture, Compact) and self.architecture.sizes

    def _decoding(self, name: str) -> FlowDecoding:
        """Return the settings of one class."""
        changes = self.class_decoding.get(name, {})
        if not changes:
            return self.decoding
        # Read as the settings of all classes are, so that a text is no truth and no number.
        values = {**to_mapping(self.decoding), **changes}
        try:
            return from_mapping(FlowDecoding, values, where=f"class_decoding.{name}")
        except ConfigError as error:
            raise ValueError(str(error)) from error

    def _per_class(self, values: Mapping[str, float], like: Tensor) -> Tensor | None:
        """Return one value for each class as (K,), or None where none is named."""
        if not values:
            return None
        return like.new_tensor(
            [values.get(name, 1.0) for name in self.classes], dtype=torch.float32
        )

    def _check_class_names(self) -> None:
        named = {
            "class_decoding": self.class_decoding,
            "class_weights": self.class_weights,
            "pos_weights": self.pos_weights,
        }
        for key, settings in named.items():
            for name in settings:
                if name not in self.classes:
                    msg = f"Expected {key} to name classes of {self.classes}, but got {name!r}"
                    raise ValueError(msg)
        for name in self.class_decoding:
            self._decoding(name)

    def _check_losses(self) -> None:
        weights = (
            self.dice_weight, self.flow_weight, self.size_weight, self.direction_weight,
            self.focal_gamma,
        )  # fmt: skip
        parts = (self.background_weight, self.label_smoothing)
        if min(weights) < 0 or not 0 <= min(parts) <= max(parts) <= 1:
            msg = (
                "Expected dice_weight, flow_weight, size_weight, direction_weight and focal_gamma "
                "of at least 0 and background_weight and label_smoothing in 0 to 1, but got "
                f"{', '.join(map(str, (*weights, *parts)))}"
            )
            raise ValueError(msg)
        factors = [self.class_weights.get(name, 1.0) for name in self.classes]
        if min([*factors, *self.pos_weights.values()]) < 0 or not any(factors):
            msg = (
                "Expected class_weights and pos_weights of at least 0, and one class with a weight "
                f"above 0, but got {dict(self.class_weights)} and {dict(self.pos_weights)}"
            )
            raise ValueError(msg)
        unused = {
            "pos_weights": self.pos_weights,
            "label_smoothing": self.label_smoothing,
        }
        for key, value in unused.items():
            if value and "bce" not in _FOREGROUND_TERMS[self.loss]:
                msg = f"{key} {value}: the loss {self.loss!r} has no BCE. Leave it out."
                raise ValueError(msg)

    def _check_planes(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != len(self.classes):
            msg = (
                f"Expected one plane for each of the classes {self.classes}, "
                f"that is ({len(self.classes)}, Y, X), but got {shape}"
            )
            raise ValueError(msg)
