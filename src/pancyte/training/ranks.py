"""Several processes that train one network, as ``torchrun`` starts them.

Each rank runs the network on its share of a batch. The outputs of all ranks are then gathered, so
that every rank computes the loss of the whole batch: whatever a loss is normalized by (valid
pixels, the pixels of a class), it is the loss that one process would have computed, and the mean of
the ranks' gradients is its gradient. Only what a layer computes over a batch, such as a batch
normalization, sees a share of it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pancyte.errors import PancyteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_T = TypeVar("_T")

# The first rank validates while the others wait; torchrun ends them when it fails.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a training, and which of them this one is; by default it is alone."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of this process among those of its machine."""
    local_size: int = 1
    """Number of processes on this machine."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return this rank's part of a list whose length is a multiple of the number of ranks."""
        length = len(items) // self.size
        return items[self.rank * length : (self.rank + 1) * length]

    def device(self, name: str) -> str:
        """Return the device of this rank for that of the settings.

        Raises
        ------
        UsageError
            One CUDA device is named for several processes.
        """
        if self.size == 1 or name == "cpu":
            return name
        if name.startswith("cuda:"):
            msg = (
                f"device: expected cuda, auto or cpu for {self.size} processes, each of which "
                f"takes a device of its own, but got {name!r}."
            )
            raise UsageError(msg)
        return f"cuda:{self.local_rank}" if torch.cuda.is_available() else name

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - the value that is compared
        """Tell whether the flag is set in any rank; all ranks must ask."""
        if self.size == 1:
            return flag
        value = torch.tensor([flag], dtype=torch.int32, device=_device())
        with _explained():
            dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value.item())

    def agree(self, value: _T) -> _T:
        """Return the value, plain or a tensor, that the first rank has; all ranks must ask."""
        if self.size == 1:
            return value
        values: list[Any] = [value]
        with _explained():
            dist.broadcast_object_list(values, src=0, device=_device())
        agreed: _T = values[0]
        return agreed


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Join the other processes that ``torchrun`` has started, until the block is left.

    Without it, or with one process, nothing is joined.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Ranks()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    with _explained():
        # Both, because tensors may lie in either memory.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Ranks(
            rank=dist.get_rank(),
            size=size,
            local_rank=local_rank,
            local_size=int(os.environ.get("LOCAL_WORLD_SIZE", size)),
        )
    finally:
        dist.destroy_process_group()


class SpreadNetwork(nn.Module):
    """A network that is given a whole batch, runs on this rank's share, and returns all outputs.

    Its gradients are those of the whole batch, the same on every rank. All ranks must compute the
    same loss of the outputs.
    """

    def __init__(self, network: nn.Module, ranks: Ranks) -> None:
        super().__init__()
        device = next(network.parameters()).device
        self.ranks = ranks
        self.parallel = nn.parallel.DistributedDataParallel(
            network, device_ids=[device] if device.type == "cuda" else None
        )

    def forward(self, images: Tensor) -> Any:  # noqa: ANN401 - what the network returns
        """Return the outputs for ``images`` (B, C, *space), B a multiple of the ranks."""
        with _explained():
            return _gathered(
                self.parallel(images.chunk(self.ranks.size)[self.ranks.rank]), self.ranks
            )

    def gather(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the whole batch of which each rank has made its share."""
        with _explained():
            return {name: _concatenate(value, self.ranks) for name, value in batch.items()}


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks) -> Tensor:  # noqa: ANN401 - torch's
        ctx.ranks = ranks
        return _concatenate(tensor, ranks)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's
        # Every rank has computed the same loss, so that this one knows the whole gradient of its
        # share. The ranks' gradients are averaged afterwards, hence the factor.
        ranks = ctx.ranks
        return gradients[0].chunk(ranks.size)[ranks.rank] * ranks.size, None


def _gathered(outputs: Any, ranks: Ranks) -> Any:  # noqa: ANN401 - tensors at any depth
    if isinstance(outputs, Tensor):
        return _Gather.apply(outputs, ranks)
    if isinstance(outputs, dict):
        return {name: _gathered(value, ranks) for name, value in outputs.items()}
    if isinstance(outputs, list | tuple):
        return type(outputs)(_gathered(value, ranks) for value in outputs)
    return outputs


def _concatenate(tensor: Tensor, ranks: Ranks) -> Tensor:
    # Not every backend sends truth values, and none a layout.
    sent = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
    sent = sent.contiguous()
    parts = [torch.empty_like(sent) for _ in range(ranks.size)]
    dist.all_gather(parts, sent)
    whole = torch.cat(parts).to(tensor.dtype)
    return whole.contiguous(memory_format=torch.channels_last) if whole.ndim == 4 else whole


def _device() -> torch.device:
    return torch.device("cpu")


@contextmanager
def _explained() -> Iterator[None]:
    """Say in words that another rank is gone; its own message says why."""
    try:
        yield
    except PancyteError:
        raise
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in ("gloo", "nccl", "connection", "peer")):
            raise
        msg = (
            "Another process of this training has ended, so this one ends too. The message of that "
            "process says why."
        )
        raise PancyteError(msg) from error
