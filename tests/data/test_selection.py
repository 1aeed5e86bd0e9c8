"""Which images are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from pancyte.data.records import Record
from pancyte.data.selection import Selection, has_size, is_named


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, True),
        ({"include": ("*.png", "*.tif")}, True),
        ({"include": ("*.png",)}, False),
        ({"include": ("*plate*",), "exclude": ("*/A.tif",)}, False),
        ({"exclude": ("*/a.tif",)}, True),
        ({"modalities": ("sem", "phase")}, True),
        ({"modalities": ("sem",)}, False),
        ({"splits": ("", "train")}, True),
        ({"splits": ("val",)}, False),
    ],
)
def test_what_is_told_by_names(selection, expected) -> None:
    record = Record(image=Path("data/plate1/A.tif"), modality="phase", split="train")
    assert is_named(record, Selection(**selection)) is expected


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, True),
        ({"min_objects": 5, "max_objects": 5}, True),
        ({"min_objects": 6}, False),
        ({"max_objects": 4}, False),
        ({"min_side": 100, "max_side": 300}, True),
        ({"min_side": 101}, False),
        ({"max_side": 299}, False),
    ],
)
def test_what_is_told_by_the_image(selection, expected) -> None:
    assert has_size((300, 100), 5, Selection(**selection)) is expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_objects": -1}, "0 <= min_objects <= max_objects, but got -1 and None"),
        ({"min_side": 9, "max_side": 3}, "0 <= min_side <= max_side, but got 9 and 3"),
    ],
)
def test_ranges_that_hold_nothing_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        Selection(**values)
