"""Probabilities of records, and splits that never share a group."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pancyte.data.records import Record
from pancyte.data.sampling import assign_splits, record_probabilities
from pancyte.errors import UsageError

SETTINGS = settings(deadline=None, max_examples=50)


def make(*rows):
    return [Record(image=Path(f"{k}.tif"), **row) for k, row in enumerate(rows)]


PHASE, SEM = {"modality": "phase"}, {"modality": "sem"}


@pytest.mark.parametrize(("balance", "expected"), [(0.0, 0.1), (1.0, 0.5), (0.5, 1 / (1 + 3))])
def test_balance_moves_from_images_to_modalities(balance, expected) -> None:
    records = make(*[PHASE] * 9, SEM)
    assert record_probabilities(records, balance=balance)[-1] == pytest.approx(expected)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_weights_count_within_and_between_modalities(balance) -> None:
    records = make({**PHASE, "weight": 2.0}, PHASE, {**SEM, "weight": 0.5}, {**SEM, "weight": 0.5})
    p = record_probabilities(records, balance=balance)
    assert p[0] / p[1] == pytest.approx(2.0)
    assert p[2:].sum() / p[:2].sum() == pytest.approx(1.0 / 3.0)
    assert p.sum() == pytest.approx(1.0)


def test_a_weight_of_zero_is_never_drawn_and_does_not_count_as_an_image() -> None:
    records = make(PHASE, {**PHASE, "weight": 0.0}, SEM)
    assert_allclose(record_probabilities(records, balance=0.5), [0.5, 0.0, 0.5])


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one record with a weight above 0, but got 1"):
        record_probabilities(make({"weight": 0.0}))
    with pytest.raises(ValueError, match="balance to lie in 0 to 1, but got 2"):
        record_probabilities(make({}), balance=2)


@SETTINGS
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.sampled_from(["phase", "sem"])),
        min_size=1,
        max_size=30,
    ),
    st.floats(0, 0.45),
    st.floats(0, 0.45),
    st.integers(0, 2**31),
)
def test_groups_are_never_divided(rows, val, test, seed) -> None:
    records = make(*[{"group": group, "modality": modality} for group, modality in rows])
    divided = assign_splits(records, val=val, test=test, seed=seed)
    assert [replace(r, split="") for r in divided] == records
    assert {r.split for r in divided} <= {"train", "val", "test"}
    splits_of = {group: {r.split for r in divided if r.group == group} for group in "abcd"}
    assert all(len(splits) <= 1 for splits in splits_of.values())
    assert divided == assign_splits(records, val=val, test=test, seed=seed)


def test_fractions_and_numbers_are_met_in_every_modality() -> None:
    records = make(*[PHASE] * 60, *[SEM] * 20)
    divided = assign_splits(records, val=0.1, test=4, seed=1)
    assert Counter((r.modality, r.split) for r in divided) == {
        ("phase", "train"): 51,
        ("phase", "val"): 6,
        ("phase", "test"): 3,
        ("sem", "train"): 17,
        ("sem", "val"): 2,
        ("sem", "test"): 1,
    }


@pytest.mark.parametrize("number", range(2, 7))
def test_a_fraction_of_few_images_is_one(number) -> None:
    divided = assign_splits(make(*[{}] * number), val=0.1, test=0.0, seed=0)
    assert Counter(r.split for r in divided) == {"val": 1, "train": number - 1}


def test_many_images_are_divided_in_linear_time() -> None:
    records = make(*[{}] * 20_000)
    started = time.process_time()
    divided = assign_splits(records, val=0.1, test=0.1, seed=0)
    # Looking at every pair of images takes minutes.
    assert time.process_time() - started < 5.0
    assert Counter(r.split for r in divided) == {"train": 16_000, "val": 2_000, "test": 2_000}


def test_the_seed_decides() -> None:
    records = make(*[{}] * 20)
    chosen = {
        tuple(r.split for r in assign_splits(records, val=0.2, test=0.0, seed=seed))
        for seed in range(5)
    }
    assert len(chosen) == 5


def test_splits_that_are_known_stay_and_draw_their_group_along() -> None:
    records = make({"split": "dev", "group": "x"}, {"group": "x"}, {}, {}, {})
    divided = assign_splits(records, val=1, test=0, seed=0)
    assert [r.split for r in divided[:2]] == ["dev", "dev"]
    assert sorted(r.split for r in divided[2:]) == ["train", "train", "val"]


def test_one_image_stays_in_training() -> None:
    assert [r.split for r in assign_splits(make({}), val=1, test=0, seed=0)] == ["train"]


def test_more_than_there_is_cannot_be_held_out() -> None:
    with pytest.raises(UsageError, match="at most the 3 images without a split, but got 2 and 2"):
        assign_splits(make({}, {}, {}), val=2, test=2, seed=0)


def test_probabilities_are_those_of_many_draws() -> None:
    p = record_probabilities(make(*[PHASE] * 3, SEM), balance=1.0)
    draws = np.searchsorted(np.cumsum(p), np.random.default_rng(0).random(4000), side="right")
    assert_allclose(np.bincount(draws, minlength=4) / 4000, p, atol=0.03)
