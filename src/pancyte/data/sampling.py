"""Which records a training draws, and how often.

Either each patch is of a record drawn at random (:func:`record_probabilities`), or an epoch goes
once through a list in random order (:func:`epoch_draws`). Both can amplify rare modalities, as
MEDIAR does (Lee et al. 2022, https://openreview.net/forum?id=b9LsSN1Ddz), after the split and for
the images of the training alone, so that no image reaches another split through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pancyte.data.records import Record


def record_probabilities(
    records: Sequence[Record], *, balance: float = 1.0, amplify: int | None = None
) -> npt.NDArray[np.float64]:
    """Return how often each record is drawn.

    Parameters
    ----------
    records
        With their weights and modalities.
    balance
        0: every record by its weight alone; 1: modalities equally often, however many images they
        have; in between, the geometric mean of the two.
    amplify
        Modalities in proportion to their draws in :func:`epoch_draws` instead, whatever
        ``balance``; None leaves that to ``balance``.

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
    >>> from pancyte.data.records import Record
    >>> kinds = ["phase", "phase", "phase", "sem"]
    >>> records = [Record(image=Path("x"), modality=kind) for kind in kinds]
    >>> record_probabilities(records).round(3)
    array([0.167, 0.167, 0.167, 0.5  ])
    """
    if not 0.0 <= balance <= 1.0:
        raise ValueError(f"Expected balance to lie in 0 to 1, but got {balance}")
    weights, modality, counts = _weights(records)
    totals = np.bincount(modality, weights)
    # A modality whose weights are all 0 has no records to draw; the 1 only avoids 0 / 0.
    wanted = totals / np.maximum(counts, 1.0) ** balance
    if amplify is not None:
        wanted = _draws(counts, amplify).astype(np.float64)
    share = wanted / np.where(totals > 0, totals, 1.0)
    probabilities = weights * share[modality]
    return np.asarray(probabilities / probabilities.sum())


def draws_per_epoch(records: Sequence[Record], *, amplify: int | None = None) -> int:
    """Return the length of :func:`epoch_draws`: the sum of ``max(amplify, n)`` over modalities.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pancyte.data.records import Record
    >>> records = [Record(image=Path("x"), modality=kind) for kind in ("phase", "phase", "sem")]
    >>> draws_per_epoch(records), draws_per_epoch(records, amplify=2)
    (3, 4)
    """
    return int(_draws(_weights(records)[2], amplify).sum())


def epoch_draws(
    records: Sequence[Record], *, amplify: int | None = None, seed: int, epoch: int
) -> npt.NDArray[np.intp]:
    """Return the places of the records that an epoch shows, in random order.

    Parameters
    ----------
    records
        With their weights and modalities.
    amplify
        Draws that a modality has at least.
    seed, epoch
        All that the list depends on.

    Returns
    -------
    ndarray of shape (n,)
        For a modality of n images exactly ``max(amplify, n)`` draws, divided among its images in
        proportion to their weights: each is drawn as often as its share says, rounded down or up.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Notes
    -----
    Shares become whole numbers by systematic sampling in random order: their running sum is counted
    each time it passes a whole number, from a random start. So the sum is exact in each epoch, and
    over many epochs each image has its share.
    """
    weights, modality, counts = _weights(records)
    # A spawn key keeps this apart from the samples' generators, whose entropy has an index more.
    entropy = np.random.SeedSequence((seed, epoch), spawn_key=(0,))
    generator = np.random.Generator(np.random.Philox(entropy))
    places = []
    for name, number in enumerate(_draws(counts, amplify)):
        members = generator.permutation(np.flatnonzero((modality == name) & (weights > 0)))
        if not len(members):
            continue
        # Single precision leaves room for the sum to be exact.
        start = float(generator.random(dtype=np.float32))
        passed = np.cumsum(weights[members]) * (number / weights[members].sum())
        passed[-1] = number
        places.append(np.repeat(members, np.diff(np.floor(passed + start), prepend=0).astype(int)))
    return np.asarray(generator.permutation(np.concatenate(places)), dtype=np.intp)


def _weights(
    records: Sequence[Record],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the weight and the modality of each record, and the images of each modality."""
    weights = np.array([record.weight for record in records], dtype=np.float64)
    if weights.sum() <= 0:
        msg = f"Expected at least one record with a weight above 0, but got {len(records)} records"
        raise ValueError(msg)
    _, modality = np.unique([record.modality for record in records], return_inverse=True)
    return weights, modality, np.bincount(modality[weights > 0], minlength=modality.max() + 1)


def _draws(counts: npt.NDArray[np.intp], amplify: int | None) -> npt.NDArray[np.intp]:
    return np.where(counts > 0, np.maximum(counts, amplify or 0), 0)
