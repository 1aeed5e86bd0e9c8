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

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pancyte.nn import losses
from pancyte.nn.compact import CompactNet
from pancyte.nn.efficientnet import Padding
from pancyte.ops.flow import FlowDecoding, FlowField, decode_flow, labels_to_flow
from pancyte.ops.preprocess import Preprocessing
from pancyte.params import params
from pancyte.types import BoolArray, FloatArray, IntArray, Maps, ObjectTable, Segmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from pancyte.protocols import Targets

# The length of the vectors that a network trained with MEDIAR's loss predicts.
_MEDIAR_SCALE: Final = 5.0


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
    decoder_channels: tuple[int, int, int, int, int] = (128, 64, 48, 32, 16)
    """Width of the decoder at strides 16, 8, 4, 2, 1."""
    padding: Padding = "zeros"
    """What lies beyond the border for the coarse features of the network: ``replicate`` makes
    results depend less on how an image is cut into tiles. A network is used as it was trained."""
    loss: Literal["balanced", "mediar"] = "balanced"
    """``balanced``: BCE + dice_weight * (1 - Dice) + flow_weight * weighted squared flow error.
    ``mediar``: BCE + 0.5 * MSE(flow, 5 * target), unweighted, as published."""
    dice_weight: float = 0.5
    """Of the balanced loss; at least 0."""
    flow_weight: float = 2.5
    """Of the balanced loss; at least 0."""
    background_weight: float = 0.15
    """Of the balanced loss: weight of the flow outside objects, 0 to 1."""

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes) or "" in self.classes:
            msg = f"Expected classes to be one or more different names, but got {self.classes}"
            raise ValueError(msg)
        if min(self.decoder_channels) < 1:
            msg = f"Expected decoder_channels to be positive, but got {self.decoder_channels}"
            raise ValueError(msg)
        if self.dice_weight < 0 or self.flow_weight < 0 or not 0 <= self.background_weight <= 1:
            msg = (
                "Expected dice_weight and flow_weight of at least 0 and background_weight in 0 to "
                f"1, but got {self.dice_weight}, {self.flow_weight} and {self.background_weight}"
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

    def network(self) -> CompactNet:
        """Return a new, untrained network."""
        return CompactNet(
            len(self.classes),
            in_channels=self.preprocessing.channels,
            decoder_channels=self.decoder_channels,
            padding=self.padding,
        )

    def encode(self, labels: IntArray, valid: BoolArray | None = None) -> Targets:
        """Return ``foreground`` and ``valid`` (K, Y, X) and ``flow`` (2K, Y, X) of labels."""
        self._check_planes(labels.shape)
        flow = [labels_to_flow(plane, field=self.field) for plane in labels]
        return {
            "foreground": (labels > 0).astype(np.float32),
            "flow": np.concatenate(flow),
            "valid": np.ones(labels.shape, dtype=np.bool_) if valid is None else valid,
        }

    def losses(
        self, network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss: bce, dice, flow (balanced) or bce, flow."""
        outputs: dict[str, Tensor] = network(images)
        logits, flow = outputs["foreground"], outputs["flow"]
        truth, valid = targets["foreground"], targets["valid"]
        bce = losses.binary_cross_entropy(logits, truth, valid)
        if self.loss == "mediar":
            error = losses.scaled_flow_loss(flow, targets["flow"], valid, scale=_MEDIAR_SCALE)
            return {"bce": bce, "flow": 0.5 * error}
        error = losses.flow_loss(
            flow, targets["flow"], truth, valid, background_weight=self.background_weight
        )
        dice = losses.dice_loss(logits, truth, valid)
        return {"bce": bce, "dice": self.dice_weight * dice, "flow": self.flow_weight * error}

    def infer(self, network: nn.Module, images: Tensor) -> Maps[Tensor]:
        """Return foreground probabilities (B, K, Y, X) and unit flow (B, K, 2, Y, X), float32."""
        outputs: dict[str, Tensor] = network(images)
        flow = outputs["flow"].float()
        flow = flow.reshape(len(flow), -1, 2, *flow.shape[2:])  # (B, K, 2, Y, X)
        return Maps(
            scalars=outputs["foreground"].float().sigmoid(),
            vectors=flow / _MEDIAR_SCALE if self.loss == "mediar" else flow,
        )

    def decode(self, maps: Maps[FloatArray], *, scale: float = 1.0) -> Segmentation:
        """Find the objects of each class; columns class, label and score."""
        self._check_planes(maps.scalars.shape)
        decoding = replace(self.decoding, min_size=round(self.decoding.min_size / scale**2))
        planes = [
            decode_flow(foreground, flow, decoding, field=self.field)
            for foreground, flow in zip(maps.scalars, maps.vectors, strict=True)
        ]
        counts = [len(plane.scores) for plane in planes]
        columns = {
            "class": np.repeat(np.asarray(self.classes), counts),
            "label": np.concatenate([np.arange(1, n + 1, dtype=np.int32) for n in counts]),
            "score": np.concatenate([plane.scores for plane in planes]).astype(np.float32),
        }
        labels = np.stack([plane.labels for plane in planes])
        return Segmentation(labels, ObjectTable(columns), self.classes)

    def _check_planes(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != len(self.classes):
            msg = (
                f"Expected one plane for each of the classes {self.classes}, "
                f"that is ({len(self.classes)}, Y, X), but got {shape}"
            )
            raise ValueError(msg)
