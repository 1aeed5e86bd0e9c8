"""Which records a training draws, and how often; and which ones it never sees."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pancyte.data.records import TEST, TRAIN, VAL, Record
from pancyte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


_OWN_GROUP = "\0"
"""Begins the name of the group of a record that names none; no file can hold it."""


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


def assign_splits(
    records: Sequence[Record], *, val: float, test: float, seed: int
) -> tuple[Record, ...]:
    """Give each record without a split one of ``train``, ``val`` and ``test``.

    Parameters
    ----------
    records
        Those with a split keep it.
    val, test
        An int is a number of records, a float a fraction of those without a split; a fraction above
        0 wants at least one.
    seed
        Of the choice.

    Returns
    -------
    tuple of Record
        In the same order. Records of one group are never divided, and follow a group member that
        had a split already.

    Raises
    ------
    UsageError
        If more is wanted than there is.

    Notes
    -----
    Modalities are divided in the same proportion (largest remainders), each by taking its groups in
    random order as long as they fit. At least one group of a modality stays in training.

    Examples
    --------
    >>> from pathlib import Path
    >>> records = [Record(image=Path(name)) for name in "abcde"]
    >>> [r.split for r in assign_splits(records, val=0.2, test=1, seed=0)].count("train")
    3
    """
    known = {r.group: r.split for r in records if r.split and r.group}
    groups: dict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        if not record.split and record.group not in known:
            groups[record.group or f"{_OWN_GROUP}{place}"].append(place)
    open_records = sum(map(len, groups.values()))
    wanted = {TEST: _wanted(test, open_records), VAL: _wanted(val, open_records)}
    if sum(wanted.values()) > open_records:
        msg = (
            f"Expected val and test to take at most the {open_records} images without a split, "
            f"but got {wanted[VAL]} and {wanted[TEST]}"
        )
        raise UsageError(msg)
    chosen = _choose_groups(records, groups, wanted, np.random.default_rng(seed))
    split_of = {place: split for group, split in chosen.items() for place in groups[group]}
    return tuple(
        r if r.split else replace(r, split=known.get(r.group) or split_of.get(place, TRAIN))
        for place, r in enumerate(records)
    )


def _choose_groups(
    records: Sequence[Record],
    groups: dict[str, list[int]],
    wanted: dict[str, int],
    generator: np.random.Generator,
) -> dict[str, str]:
    """Return the split of the groups that leave the training."""
    modalities: dict[str, list[str]] = defaultdict(list)
    for group, members in groups.items():
        modalities[records[members[0]].modality].append(group)
    sizes = [sum(len(groups[g]) for g in modalities[name]) for name in sorted(modalities)]
    quotas = {split: _share_out(number, sizes) for split, number in wanted.items()}
    chosen: dict[str, str] = {}
    for place, name in enumerate(sorted(modalities)):
        order = [modalities[name][k] for k in generator.permutation(len(modalities[name]))]
        free = len(order)
        for split in wanted:
            quota = quotas[split][place]
            for group in order:
                if quota == 0 or free == 1:
                    break
                if group not in chosen and len(groups[group]) <= quota:
                    chosen[group] = split
                    quota -= len(groups[group])
                    free -= 1
    return chosen


def _wanted(share: float, total: int) -> int:
    """Return a number of records; a fraction of few is one, since none was not asked for."""
    if isinstance(share, int):
        return share
    return min(max(1, round(share * total)), max(total - 1, 0)) if share > 0 else 0


def _share_out(number: int, sizes: Sequence[int]) -> list[int]:
    """Divide a number in proportion to sizes, by largest remainders."""
    exact = np.asarray(sizes) * number / max(sum(sizes), 1)
    shares = np.floor(exact).astype(int)
    order = np.argsort(shares - exact, kind="stable")
    shares[order[: number - int(shares.sum())]] += 1
    return [int(share) for share in shares]
