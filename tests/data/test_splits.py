"""Splits that share no image and no group, whatever the seed and the layout."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.data.records import Record, select_split
from pancyte.data.sampling import epoch_draws
from pancyte.data.splits import SplitLayout, assign_splits, check_disjoint, divided_groups
from pancyte.errors import InputError, UsageError

SETTINGS = settings(deadline=None, max_examples=50)
PHASE, SEM = {"modality": "phase"}, {"modality": "sem"}


def make(*rows):
    return [
        Record(**{"image": Path(f"{k}.tif"), "labels": Path(f"{k}_mask.tif"), **row})
        for k, row in enumerate(rows)
    ]


def splits(records, **options):
    return [r.split for r in assign_splits(records, **{"val": 0, "test": 0, "seed": 0} | options)]


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
    # Looking at every pair of images would take longer than a test may.
    divided = assign_splits(records, val=0.1, test=0.1, seed=0)
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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"val": 2, "test": 3}, "train train train train train val val test test test"),
        ({"val": 0.2, "test": 0.3}, "train train train train train val val test test test"),
        (
            {"val": 2, "test": 1, "train": 4, "train_offset": 1, "test_offset": 1},
            "unused train train train train val val unused test unused",
        ),
        (
            {"val": 0.1, "test": 0.2, "train": 0.5, "val_offset": 0.1},
            "train train train train train unused val test test unused",
        ),
        (
            {"val": 2, "test": 1, "val_offset": 1, "test_offset": 2},
            "train train train train unused val val unused unused test",
        ),
        (
            {"val": 1, "test": 0, "train": 1.0},
            "train train train train train train train train train val",
        ),
    ],
)
def test_the_row_is_laid_out_as_it_stands(options, expected) -> None:
    layout = {k: options.pop(k) for k in list(options) if k not in ("val", "test")}
    found = splits(make(*[{}] * 10), layout=SplitLayout(shuffle=False, **layout), **options)
    assert found == expected.split()


def test_shuffling_keeps_the_numbers() -> None:
    layout = SplitLayout(train=4, train_offset=1, test_offset=1)
    found = splits(make(*[{}] * 10), val=2, test=1, layout=layout)
    assert Counter(found) == {"train": 4, "val": 2, "test": 1, "unused": 3}


SIZES = st.integers(0, 6) | st.floats(0, 0.5)


@SETTINGS
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "", "a", "b", "c"]),
            st.sampled_from(["phase", "sem"]),
            st.sampled_from(["", "", "", "train", "val", "test", "unused"]),
            st.integers(0, 12),
        ),
        min_size=1,
        max_size=30,
    ),
    st.tuples(SIZES, SIZES, st.none() | SIZES, SIZES, SIZES),
    st.booleans(),
    st.integers(1, 20),
    st.integers(0, 2**31),
)
def test_splits_are_disjoint_with_any_seed_also_after_amplification(
    rows, sizes, shuffle, amplify, seed
) -> None:
    """Some images stand in the manifest twice, and some have a split already."""
    known = {}
    records = make(
        *[
            {
                "group": group,
                "modality": kind,
                "split": known.setdefault(name, split),
                "image": Path(f"{name}.tif"),
            }
            for group, kind, split, name in rows
        ]
    )
    val, test, train, val_offset, test_offset = sizes
    layout = SplitLayout(
        train=train, val_offset=val_offset, test_offset=test_offset, shuffle=shuffle
    )
    try:
        divided = assign_splits(records, val=val, test=test, seed=seed, layout=layout)
    except UsageError:
        return  # more than there is was asked for
    check_disjoint(divided)
    given_splits = [r.split for r in records]
    assert all(not old or old == new.split for old, new in zip(given_splits, divided, strict=True))
    images = {name: {r.image for r in select_split(divided, name)} for name in ("val", "test")}
    training = select_split(divided, "train")
    if training:
        drawn = epoch_draws(training, amplify=amplify, seed=seed, epoch=0)
        shown = {training[place].image for place in drawn}
        assert shown == {r.image for r in training}
        assert shown.isdisjoint(images["val"] | images["test"])
    assert images["val"].isdisjoint(images["test"])


def test_images_of_a_row_without_labels_have_no_split() -> None:
    records = make({}, {"labels": None}, {})
    assert splits(records, val=1) in (["train", "", "val"], ["val", "", "train"])


def test_an_image_that_is_listed_twice_joins_two_groups() -> None:
    rows = [{"group": "a"}, {"group": "b"}, {"group": "a", "image": Path("1.tif")}, {}, {}, {}]
    for seed in range(10):
        found = splits(make(*rows), val=3, seed=seed)
        assert len({*found[:3]}) == 1


def test_an_image_in_two_splits_is_refused() -> None:
    records = make({"split": "train"}, {"split": "val", "image": Path("0.tif")})
    with pytest.raises(InputError, match=r"1 image is in two splits: 0.tif in train and val"):
        splits(records)
    with pytest.raises(InputError, match="leave each image in one split only"):
        check_disjoint(make({}, {"split": "val", "image": Path("0.tif")}))
    check_disjoint(make({}, {"split": "unused", "image": Path("0.tif")}))
    check_disjoint(make({"labels": None}, {"split": "val", "image": Path("0.tif")}))


def test_divided_groups_are_found() -> None:
    rows = [("a", "train"), ("a", "val"), ("b", "train"), ("b", "unused"), ("", "val"), ("c", "")]
    records = make(*[{"group": group, "split": split} for group, split in rows])
    assert divided_groups(records) == ("a",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": 1.5}, r"train to be a number of images or a fraction up to 1, but got 1.5"),
        ({"val_offset": -1}, "val_offset to be a number of images"),
        ({"train_offset": 2}, r"Expected train with train_offset, .* got train_offset=2 alone"),
    ],
)
def test_a_layout_out_of_range_is_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        SplitLayout(**values)


def test_a_layout_of_more_than_there_is_is_refused() -> None:
    layout = SplitLayout(train=3, val_offset=1)
    with pytest.raises(UsageError, match="the 4 images .* got 1 and 0, train 3 and offsets of 1"):
        splits(make(*[{}] * 4), val=1, layout=layout)
