"""Which image a training sample is cut from: weights of records, and an order without state.

A sample is known by (epoch, index) alone: :class:`EpochSampler` hands that pair to the workers,
which need no state of their own, so any number of workers and any resume give the same samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pancyte.data.records import Record


def record_probabilities(
    records: Sequence[Record], *, balance: float = 1.0
) -> npt.NDArray[np.float64]:
    """Return how often each record is drawn.

    Parameters
    ----------
    records
        With their weights and modalities.
    balance
        0: every record by its weight alone; 1: modalities equally often, however many images they
        have; in between, the geometric mean of the two.

    Returns
    -------
    ndarray of shape (n,)
        Probabilities with the sum 1.

    Raises
    ------
    ValueError
        If there is nothing to draw, or ``balance`` lies outside of 0 to 1.

    Notes
    -----
    A modality of n records with mean weight w is drawn in proportion to ``w * n ** (1 - balance)``,
    so that a low weight also counts where it holds for a whole modality.

    Examples
    --------
    >>> from pathlib import Path
    >>> kinds = ["phase", "phase", "phase", "sem"]
    >>> records = [Record(image=Path("x"), modality=kind) for kind in kinds]
    >>> record_probabilities(records).round(3)
    array([0.167, 0.167, 0.167, 0.5  ])
    """
    if not 0.0 <= balance <= 1.0:
        raise ValueError(f"Expected balance to lie in 0 to 1, but got {balance}")
    weights = np.array([record.weight for record in records], dtype=np.float64)
    if weights.sum() <= 0:
        msg = f"Expected at least one record with a weight above 0, but got {len(records)} records"
        raise ValueError(msg)
    _, modality = np.unique([record.modality for record in records], return_inverse=True)
    totals = np.bincount(modality, weights)
    counts = np.bincount(modality, weights > 0)
    # A modality whose weights are all 0 has no records to draw; the 1 only avoids 0 / 0.
    wanted = totals / np.maximum(counts, 1.0) ** balance
    share = wanted / np.where(totals > 0, totals, 1.0)
    probabilities = weights * share[modality]
    return np.asarray(probabilities / probabilities.sum())


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) for each sample of one epoch; call :meth:`set_epoch` before each."""

    def __init__(self, num_samples: int) -> None:
        if num_samples < 1:
            raise ValueError(f"Expected at least one sample per epoch, but got {num_samples}")
        self.num_samples = num_samples
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the samples that the next iteration yields."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        return ((epoch, index) for index in range(self.num_samples))

    def __len__(self) -> int:
        return self.num_samples
