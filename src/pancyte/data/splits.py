"""Which images train, which validate and which test: never the same ones.

What must not be divided (a movie, a patient, an image that stands in the manifest twice) is one
group. The images of each modality are laid out in a row, at random or as they come, and the splits
are stretches of it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.data.records import TEST, TRAIN, UNUSED, VAL, Record
from pancyte.errors import InputError, UsageError, counted
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAMED: Final = 3
"""How many images an error message names."""


@params
class SplitLayout:
    """Where the splits lie in the row of images: train, val, test, one after the other."""

    train: int | float | None = None
    """Images for training: a number, or a fraction up to 1 (1.0 is all that is left); none takes
    all that are not set aside."""
    train_offset: int | float = 0
    """Images that are left out before those for training; needs ``train``."""
    val_offset: int | float = 0
    """Images that are left out before those for validation."""
    test_offset: int | float = 0
    """Images that are left out before those for testing."""
    shuffle: bool = True
    """Lay out the images at random; otherwise as their paths are sorted."""

    def __post_init__(self) -> None:
        for name in ("train", "train_offset", "val_offset", "test_offset"):
            value = getattr(self, name)
            if value is None:
                continue
            if value < 0 or (isinstance(value, float) and value > 1.0):
                msg = (
                    f"Expected {name} to be a number of images or a fraction up to 1, but got "
                    f"{value!r}"
                )
                raise ValueError(msg)
        if self.train_offset and self.train is None:
            msg = (
                "Expected train with train_offset, since none takes all images that are left, but "
                f"got train_offset={self.train_offset!r} alone"
            )
            raise ValueError(msg)


def assign_splits(
    records: Sequence[Record],
    *,
    val: float,
    test: float,
    seed: int,
    layout: SplitLayout | None = None,
) -> tuple[Record, ...]:
    """Give each record without a split one of ``train``, ``val``, ``test`` and ``unused``.

    Parameters
    ----------
    records
        Those with a split keep it, and so do those without labels, which have none.
    val, test
        An int is a number of records, a float a fraction of those without a split; a fraction above
        0 wants at least one.
    seed
        Of the choice.
    layout
        How much trains and what is left out; None trains on all that is not set aside.

    Returns
    -------
    tuple of Record
        In the same order. Records of one group, or of one image, are never divided, and follow a
        member that had a split already.

    Raises
    ------
    InputError
        An image is in two splits already.
    UsageError
        If more is wanted than there is.

    Notes
    -----
    Modalities are divided in the same proportion (largest remainders), each by taking its groups in
    the order of the row as long as they fit. Where training takes what is left, at least one group
    of a modality stays in it.

    Examples
    --------
    >>> from pathlib import Path
    >>> records = [Record(image=Path(n), labels=Path(n)) for n in "abcde"]
    >>> [r.split for r in assign_splits(records, val=0.2, test=1, seed=0)].count("train")
    3
    """
    check_disjoint(record for record in records if record.split)
    layout = SplitLayout() if layout is None else layout
    keys = _group_keys(records)
    known = {key: r.split for key, r in zip(keys, records, strict=True) if r.split}
    groups: dict[str, list[int]] = defaultdict(list)
    for place, (key, record) in enumerate(zip(keys, records, strict=True)):
        if record.labels is not None and key not in known:
            groups[key].append(place)
    steps, rest = _plan(val, test, layout, total=sum(map(len, groups.values())))
    generator = np.random.default_rng(seed) if layout.shuffle else None
    chosen = _choose_groups(records, groups, steps, generator=generator, keep_one=rest == TRAIN)
    return tuple(
        record
        if record.split or record.labels is None
        else replace(record, split=known.get(key) or chosen.get(key, rest))
        for key, record in zip(keys, records, strict=True)
    )


def check_disjoint(records: Iterable[Record]) -> None:
    """Raise an :class:`InputError` if an image with labels is in two splits.

    A record without a split is one to train on. Unused ones are in no split.
    """
    splits: dict[str, str] = {}
    twice: dict[str, str] = {}
    for record in records:
        if record.labels is None or record.split == UNUSED:
            continue
        path, split = os.path.abspath(record.image), record.split or TRAIN  # noqa: PTH100 - faster
        if splits.setdefault(path, split) != split:
            twice.setdefault(str(record.image), f"{splits[path]} and {split}")
    if twice:
        names = ", ".join(f"{name} in {both}" for name, both in list(twice.items())[:_NAMED])
        count = f"{counted(len(twice), 'image')} {'is' if len(twice) == 1 else 'are'}"
        msg = (
            f"{count} in two splits: {names}. A score on an image that was trained on says "
            "nothing: leave each image in one split only."
        )
        raise InputError(msg)


def divided_groups(records: Iterable[Record]) -> tuple[str, ...]:
    """Return the groups whose members are in more than one split, leaving out unused ones."""
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.group and record.split and record.split != UNUSED:
            splits[record.group].add(record.split)
    return tuple(sorted(group for group, names in splits.items() if len(names) > 1))


def _group_keys(records: Sequence[Record]) -> list[str]:
    """Return for each record what it must not be parted from: its group, or else its image.

    An image that is listed in two groups makes one of them.
    """
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key] = leader[leader[key]]
        return key

    images = [f"image {os.path.abspath(record.image)}" for record in records]  # noqa: PTH100
    for image, record in zip(images, records, strict=True):
        if record.group:
            leader[find(image)] = find(f"group {record.group}")
    return [find(image) for image in images]


def _plan(
    val: float, test: float, layout: SplitLayout, *, total: int
) -> tuple[list[tuple[str, int]], str]:
    """Return the stretches of the row from its start, and the split of what is left.

    Where training takes what is left, the row is looked at from its end.
    """
    wanted = {TEST: _wanted(test, total), VAL: _wanted(val, total)}
    gaps = [_part(o, total) for o in (layout.train_offset, layout.val_offset, layout.test_offset)]
    aside = sum(wanted.values()) + sum(gaps)
    train = 0 if layout.train is None else layout.train
    if isinstance(train, float):
        train = min(round(train * total), max(total - aside, 0))
    if train + aside > total:
        offsets = f" and offsets of {sum(gaps)}" if any(gaps) else ""
        training = f", train {train}" if layout.train is not None else ""
        msg = (
            f"Expected val and test to take at most the {total} images without a split, but got "
            f"{wanted[VAL]} and {wanted[TEST]}{training}{offsets}"
        )
        raise UsageError(msg)
    if layout.train is None:
        steps = [(TEST, wanted[TEST]), (UNUSED, gaps[2]), (VAL, wanted[VAL]), (UNUSED, gaps[1])]
        return steps, TRAIN
    forward = [(UNUSED, gaps[0]), (TRAIN, train), (UNUSED, gaps[1]), (VAL, wanted[VAL])]
    return [*forward, (UNUSED, gaps[2]), (TEST, wanted[TEST])], UNUSED


def _choose_groups(
    records: Sequence[Record],
    groups: dict[str, list[int]],
    steps: Sequence[tuple[str, int]],
    *,
    generator: np.random.Generator | None,
    keep_one: bool,
) -> dict[str, str]:
    """Return the split of the groups that lie in a stretch of the row."""
    modalities: dict[str, list[str]] = defaultdict(list)
    for group, members in groups.items():
        modalities[records[members[0]].modality].append(group)
    names = sorted(modalities)
    sizes = np.array([sum(len(groups[g]) for g in modalities[name]) for name in names], dtype=int)
    quotas = []
    for _, number in steps:
        quotas.append(_share_out(number, sizes))
        sizes = sizes - quotas[-1]  # so that no modality is asked for more than it has
    chosen: dict[str, str] = {}
    for place, name in enumerate(names):
        order = modalities[name]
        if generator is not None:
            order = [order[k] for k in generator.permutation(len(order))]
        elif keep_one:
            order = order[::-1]
        wanted = [
            (split, int(quota[place])) for (split, _), quota in zip(steps, quotas, strict=True)
        ]
        chosen |= _lay_out(order, groups, wanted, keep_one=keep_one)
    return chosen


def _lay_out(
    order: Sequence[str],
    groups: dict[str, list[int]],
    wanted: Sequence[tuple[str, int]],
    *,
    keep_one: bool,
) -> dict[str, str]:
    """Take the groups of one modality for each stretch in turn, as long as they fit."""
    chosen: dict[str, str] = {}
    most = len(order) - 1 if keep_one else len(order)
    for split, number in wanted:
        left = number
        for group in order:
            if left == 0 or len(chosen) == most:
                break
            if group not in chosen and len(groups[group]) <= left:
                chosen[group] = split
                left -= len(groups[group])
    return chosen


def _wanted(share: float, total: int) -> int:
    """Return a number of records; a fraction of few is one, since none was not asked for."""
    if isinstance(share, int):
        return share
    return min(max(1, round(share * total)), max(total - 1, 0)) if share > 0 else 0


def _part(share: float, total: int) -> int:
    return share if isinstance(share, int) else round(share * total)


def _share_out(number: int, sizes: np.ndarray) -> np.ndarray:
    """Divide a number in proportion to sizes, by largest remainders."""
    exact = sizes * number / max(int(sizes.sum()), 1)
    shares = np.floor(exact).astype(int)
    order = np.argsort(shares - exact, kind="stable")
    shares[order[: number - int(shares.sum())]] += 1
    return shares
