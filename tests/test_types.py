from __future__ import annotations

import sys

import numpy as np
import pytest

from pancyte.errors import UsageError
from pancyte.types import Image, Maps, ObjectTable, Sample, Segmentation


def table() -> ObjectTable:
    return ObjectTable({"label": np.array([1, 2, 3]), "area": np.array([5.0, 6.0, 7.0])})


def test_image_knows_its_spatial_axes() -> None:
    assert Image(np.zeros((1, 4, 5), np.float32)).ndim == 2
    assert Image(np.zeros((1, 3, 4, 5), np.float32), spacing=(2.0, 1.0, 1.0)).ndim == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_image_holds_small_whole_numbers_as_they_are(dtype) -> None:
    pixels = np.zeros((1, 4, 5), dtype)
    assert Image(pixels).pixels is pixels


@pytest.mark.parametrize(
    ("pixels", "spacing", "channels", "error", "message"),
    [
        (np.zeros((4, 5), np.float32), None, (), ValueError, r"\(C, Y, X\).*got \(4, 5\)"),
        (np.zeros((1, 4, 5), np.int8), None, (), TypeError, "uint8 or uint16, but got int8"),
        (np.zeros((1, 4, 5), np.float32), (1.0,), (), ValueError, "2 positive micrometre values"),
        (
            np.zeros((1, 4, 5), np.float32),
            (1.0, 0.0),
            (),
            ValueError,
            "2 positive micrometre values",
        ),
        (
            np.zeros((1, 4, 5), np.float32),
            (1.0, np.nan),
            (),
            ValueError,
            "2 positive micrometre values",
        ),
        (np.zeros((1, 4, 5), np.float32), None, ("a", "b"), ValueError, "1 channel names"),
    ],
)
def test_image_refuses(pixels, spacing, channels, error, message) -> None:
    with pytest.raises(error, match=message):
        Image(pixels, spacing, channels)


def test_maps_refuse_vectors_without_components() -> None:
    with pytest.raises(ValueError, match="one axis more than scalars"):
        Maps(scalars=np.zeros((1, 4, 5), np.float32), vectors=np.zeros((2, 4, 5), np.float32))


def test_table_selects_rows_and_adds_columns() -> None:
    picked = table().select(np.array([True, False, True]))
    assert list(picked["label"]) == [1, 3]
    assert picked.num_objects == 2
    added = picked.with_columns({"score": np.array([0.5, 0.25])})
    assert list(added) == ["label", "area", "score"]
    assert "score" not in picked


def test_table_without_columns_has_no_objects() -> None:
    assert ObjectTable({}).num_objects == 0


def test_table_refuses_ragged_columns() -> None:
    with pytest.raises(ValueError, match="equal length.*'b': 2"):
        ObjectTable({"a": np.zeros(1), "b": np.zeros(2)})


def test_table_to_pandas() -> None:
    frame = table().to_pandas()
    assert list(frame.columns) == ["label", "area"]
    assert frame["area"].sum() == 18


def test_table_to_pandas_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'pancyte\[pandas\]'"):
        table().to_pandas()


def test_segmentation_refuses_narrow_labels_and_missing_planes() -> None:
    with pytest.raises(TypeError, match="int32, but got uint16"):
        Segmentation(np.zeros((1, 4, 5), np.uint16), ObjectTable({}), ("object",))
    with pytest.raises(ValueError, match=r"one label plane for each of the classes \('a', 'b'\)"):
        Segmentation(np.zeros((1, 4, 5), np.int32), ObjectTable({}), ("a", "b"))


def test_sample_refuses_sizes_that_differ() -> None:
    with pytest.raises(ValueError, match="same size"):
        Sample(np.zeros((1, 4, 5), np.float32), np.zeros((1, 4, 6), np.int32))
    with pytest.raises(ValueError, match=r"valid of shape \(1, 4, 5\)"):
        Sample(
            np.zeros((1, 4, 5), np.float32), np.zeros((1, 4, 5), np.int32), np.ones((2, 4, 5), bool)
        )
