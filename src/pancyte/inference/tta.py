"""Several looks at the same pixels, averaged: flips and turns, and several networks.

Each network sees each tile under each symmetry; the maps are turned back, the vectors with their
signs and axes, and the mean of all is taken::

    mean over networks n and symmetries s of   s^-1( n( s(tile) ) )

The mean is that of what :meth:`~pancyte.protocols.Task.infer` gives: probabilities (MEDIAR takes
that of their logits, in which one sure network outvotes several unsure ones) and vectors, which
are shorter where the looks disagree.

References
----------
Lee et al. 2023, MEDIAR, arXiv:2212.03465, for the mean of three flips and of two networks.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pancyte.errors import CheckpointError
from pancyte.inference.lanes import in_lanes, num_lanes
from pancyte.ops.symmetry import SYMMETRIES, Symmetry
from pancyte.types import Maps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor, nn

    from pancyte.protocols import Task
    from pancyte.runtime import Precision
    from pancyte.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """Networks that look at tiles together."""

    members: tuple[tuple[Task, nn.Module], ...]
    """Each network, on the device where it runs, with the task that says how it is run. Their maps
    mean the same: the same classes, in the same order."""
    symmetries: tuple[Symmetry, ...] = (SYMMETRIES["identity"],)
    """The flips and turns under which each tile is seen."""
    precision: Precision = "float32"
    """What convolutions are computed in; the maps are float32."""

    def predict(self, tiles: FloatArray) -> Maps[FloatArray]:
        """Return the mean maps of tiles (B, C, Y, X), on the host.

        Raises
        ------
        CheckpointError
            A network gave values that are not finite.
        """
        looks = [
            (task, network, symmetry)
            for task, network in self.members
            for symmetry in self.symmetries
        ]
        mean: Maps[Tensor] | None = None
        with self._evaluating(), torch.inference_mode():
            for count, (task, network, symmetry) in enumerate(looks, start=1):
                maps = self._look(task, network, symmetry, tiles)
                mean = maps if mean is None else _mixed(mean, maps, 1 / count)
        assert mean is not None  # noqa: S101 - there is a network, and it looks at least once
        _check_finite(mean.scalars, mean.vectors)
        return Maps(mean.scalars.cpu().numpy(), mean.vectors.cpu().numpy())

    def predict_each(
        self, batches: Iterable[FloatArray], *, count: int
    ) -> Iterator[Maps[FloatArray]]:
        """Yield the mean maps of batches of tiles, in their order; on a CPU several at once.

        Parameters
        ----------
        batches
            As :meth:`predict` takes them; taken one by one.
        count
            Number of batches.
        """
        # Networks must not go back to training while another lane still uses them.
        with self._evaluating():
            lanes = num_lanes(_device(self.members[0][1]))
            yield from in_lanes(self.predict, batches, count=count, lanes=lanes)

    def sizes_each(
        self, batches: Iterable[FloatArray], *, count: int
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield where the first network sees objects in batches of tiles, and how large.

        Parameters
        ----------
        batches
            Of shape (B, C, Y, X); taken one by one, on a CPU several at once.
        count
            Number of batches.

        Yields
        ------
        probabilities, sizes : FloatArray of shape (B, K, ceil(Y / 4), ceil(X / 4))
            See :meth:`pancyte.nn.compact.CompactNet.estimate_sizes`; nothing at all where the
            network knows no sizes.

        Raises
        ------
        CheckpointError
            The network gave values that are not finite.
        """
        network = self.members[0][1]
        with self._evaluating():
            lanes = num_lanes(_device(network))
            for found in in_lanes(self._sizes, batches, count=count, lanes=lanes):
                if found is None:
                    return
                yield found

    def _sizes(self, tiles: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        network = self.members[0][1]
        estimate: Callable[[Tensor], tuple[Tensor, Tensor] | None] | None = getattr(
            network, "estimate_sizes", None
        )
        if estimate is None:
            return None
        images = torch.from_numpy(tiles).to(_device(network))
        images = images.contiguous(memory_format=torch.channels_last)
        short = self.precision == "bfloat16"
        with (
            torch.inference_mode(),
            torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=short),
        ):
            found = estimate(images)
        if found is None:
            return None
        _check_finite(*found)
        probabilities, sizes = (values.float().cpu().numpy() for values in found)
        return probabilities, sizes

    def _look(
        self, task: Task, network: nn.Module, symmetry: Symmetry, tiles: FloatArray
    ) -> Maps[Tensor]:
        device = _device(network)
        images = symmetry.pixels(torch.from_numpy(tiles).to(device))
        # Channels last is what convolutions on a CPU and on tensor cores are fastest with.
        images = images.contiguous(memory_format=torch.channels_last)
        short = self.precision == "bfloat16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=short):
            maps = task.infer(network, images)
        if maps.scalars.shape[-2:] != images.shape[-2:]:
            msg = (
                f"Expected maps as large as the tile {tuple(images.shape[-2:])}, "
                f"but got {tuple(maps.scalars.shape[-2:])}"
            )
            raise ValueError(msg)
        found = Maps(maps.scalars.float(), maps.vectors.float())
        return symmetry.inverse.maps(found)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        with ExitStack() as stack:
            for _, network in self.members:
                stack.callback(network.train, network.training)
                network.eval()
            yield


def _mixed(mean: Maps[Tensor], maps: Maps[Tensor], weight: float) -> Maps[Tensor]:
    # A step towards the new values, and not a sum that is divided: equal values stay equal.
    return Maps(
        mean.scalars + weight * (maps.scalars.to(mean.scalars.device) - mean.scalars),
        mean.vectors + weight * (maps.vectors.to(mean.vectors.device) - mean.vectors),
    )


def _check_finite(*values: Tensor) -> None:
    if all(torch.isfinite(part).all() for part in values):
        return
    msg = (
        "The network gave values that are not finite. Its weights are damaged, or this device "
        "computes wrongly in low precision: try --set precision=float32."
    )
    raise CheckpointError(msg)


def _device(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
