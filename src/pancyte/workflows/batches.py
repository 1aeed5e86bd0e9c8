"""Batches without end for a training, the same whenever it was stopped and resumed.

The patches of a training are numbered through, and so are the replayed ones; what a patch looks
like depends on its number alone, not on how the batches are cut.
"""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, default_collate

from pancyte.data.datasets import ReplayedDataset
from pancyte.errors import PancyteError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pancyte.data.datasets import PatchDataset
    from pancyte.training.ranks import Ranks
    from pancyte.workflows.train_config import TrainConfig


def make_batches(
    config: TrainConfig,
    dataset: PatchDataset | ReplayedDataset,
    *,
    first_step: int,
    epoch_steps: int,
    ranks: Ranks,
    pin_memory: bool,
) -> Iterator[Mapping[str, torch.Tensor]]:
    """Return the batches of a training from the first one of a step on.

    Parameters
    ----------
    config
        Seed, sizes and number of workers.
    dataset
        Makes a patch from (epoch, index). Replayed patches are at the end of each batch, in
        addition to its own.
    first_step
        Optimizer steps that are done.
    epoch_steps
        Optimizer steps in an epoch.
    ranks
        Of each batch only the share of this process is made.
    pin_memory
        Whether batches go to a GPU.

    Raises
    ------
    PancyteError
        From the iterator: a file cannot be used.
    """
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=(
            list(ranks.share(keys)) for keys in batch_keys(config, dataset, first_step, epoch_steps)
        ),
        collate_fn=_collate,
        num_workers=config.workers,
        worker_init_fn=_start_worker,
        # Without its own generator a loader draws from the global one, and a resumed run differs.
        generator=torch.Generator().manual_seed(config.seed),
        pin_memory=pin_memory,
    )
    return _raising(iter(loader))


def batch_keys(
    config: TrainConfig,
    dataset: PatchDataset | ReplayedDataset,
    first_step: int,
    epoch_steps: int,
) -> Iterator[list[tuple[int, ...]]]:
    """Yield the keys of the patches of each batch, which is all that they depend on.

    A key is (epoch, index); with replay, 0 or 1 in front of it says which data set it is of. Where
    an epoch of the patches is a list of draws, it is gone through without a gap, wherever the
    epochs of the training begin.
    """
    accumulate = config.optimization.accumulate
    batches = itertools.count(first_step * accumulate)
    if not isinstance(dataset, ReplayedDataset):
        for batch in batches:
            yield [*_keys(dataset, batch, config.batch, epoch_steps * accumulate)]
        return
    sources = ((dataset.main, config.batch), (dataset.replayed, dataset.samples))
    for batch in batches:
        yield [
            (which, *key)
            for which, (source, number) in enumerate(sources)
            for key in _keys(source, batch, number, epoch_steps * accumulate)
        ]


def _keys(
    dataset: PatchDataset, batch: int, number: int, epoch_batches: int
) -> Iterator[tuple[int, int]]:
    """Yield (epoch, index) of the patches of a batch, counted from the start of the training."""
    is_list = dataset.sampling.order == "epoch"
    length = dataset.draws_per_epoch if is_list else epoch_batches * number
    return (divmod(k, length) for k in range(batch * number, (batch + 1) * number))


def watch(
    batches: Iterator[Mapping[str, torch.Tensor]],
    *,
    accumulate: int,
    before_step: Callable[[], None],
) -> Generator[Mapping[str, torch.Tensor]]:
    """Pass batches on, and call ``before_step`` before the first one of each optimizer step."""
    for number in itertools.count():
        if number % accumulate == 0:
            before_step()
        yield next(batches)


def _collate(patches: list[Any]) -> Any:  # noqa: ANN401 - as the loader has it
    """Return a batch, or the first error among its patches."""
    errors = (patch for patch in patches if isinstance(patch, PancyteError))
    error = next(errors, None)
    return default_collate(patches) if error is None else error


def _raising(batches: Iterator[Any]) -> Iterator[Mapping[str, torch.Tensor]]:
    while True:
        batch = next(batches)
        if isinstance(batch, PancyteError):
            # Letting the loader go ends its workers, which ignore the signal that would end them
            # when the interpreter exits; and an error that a frame of its own traceback names would
            # keep that frame, and what it holds, for ever.
            del batches
            try:
                raise batch
            finally:
                del batch
        yield batch


def _start_worker(_: int) -> None:
    # A second thread in a worker would take the core that the training needs.
    torch.set_num_threads(1)
    # Terminals and schedulers send their signals to workers too. A worker that died of one would
    # break off a step; the training ends its workers itself, after saving.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
