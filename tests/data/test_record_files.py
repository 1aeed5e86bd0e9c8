"""The files of a record as arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image as PillowImage

from pancyte.data.record_files import read_pixels, read_record_labels, read_targets
from pancyte.data.records import Record
from pancyte.errors import InputError
from pancyte.io.label_files import write_labels

TWO = np.stack([np.full((8, 9), 3), np.full((8, 9), 5)]).astype(np.uint16)


def save(folder, name, array):
    path = folder / f"{name}.png"
    PillowImage.fromarray(array).save(path)
    return path


def test_class_planes_come_in_the_order_of_the_task(tmp_path) -> None:
    path = tmp_path / "labels.tif"
    write_labels(path, TWO, ("nucleus", "cell"))
    record = Record(image=path, labels=path)
    labels, valid = read_targets(record, ("cell", "nucleus"), (8, 9))
    assert valid is None
    assert_array_equal(labels, TWO[::-1])
    labels, valid = read_targets(
        replace(record, annotated=("cell",)), ("cell", "debris", "nucleus"), (8, 9)
    )
    assert valid is not None
    assert [plane.all() for plane in valid] == [True, False, False]
    assert [int(plane[0, 0]) for plane in labels] == [5, 0, 0]


def test_planes_without_names_follow_the_order_of_the_classes(tmp_path) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, TWO, metadata={"axes": "CYX"}, photometric="minisblack")
    record = Record(image=path, labels=path)
    labels, valid = read_targets(record, ("a", "b"), (8, 9))
    assert valid is None
    assert_array_equal(labels, TWO)
    labels, valid = read_targets(replace(record, annotated=("c", "a")), ("a", "b", "c"), (8, 9))
    assert [int(plane[0, 0]) for plane in labels] == [3, 0, 5]
    assert valid is not None
    assert [plane.all() for plane in valid] == [True, False, True]


def make_class_files(folder, *names):
    """Write a file of labels for each class, and return the image's record and the planes."""
    image = save(folder, "image", np.full((6, 8), 9, np.uint8))
    planes = {name: np.zeros((6, 8), np.uint16) for name in names}
    for k, (name, plane) in enumerate(planes.items()):
        plane[k + 1, k : k + 4] = 5 + k
        save(folder, name, plane)
    files = tuple((name, folder / f"{name}.png") for name in names)
    return Record(image=image, class_labels=files), planes


def test_classes_in_files_of_their_own_are_planes_in_the_order_of_the_task(tmp_path) -> None:
    record, planes = make_class_files(tmp_path, "cell", "nucleus", "debris")
    labels, valid = read_targets(record, ("nucleus", "cell"), (6, 8))
    assert_array_equal(labels, np.stack([planes["nucleus"], planes["cell"]]))
    assert valid is None
    read = read_record_labels(record)
    assert read.classes == ("cell", "nucleus", "debris")
    assert_array_equal(read.labels, np.stack(list(planes.values())))


def test_a_class_without_a_file_of_its_own_was_not_annotated(tmp_path) -> None:
    record, planes = make_class_files(tmp_path, "cell")
    labels, valid = read_targets(record, ("nucleus", "cell"), (6, 8))
    assert_array_equal(labels, np.stack([np.zeros((6, 8)), planes["cell"]]))
    assert valid is not None
    assert [bool(plane.all()) for plane in valid] == [False, True]
    assert not valid[0].any()


def test_files_of_other_classes_are_not_taken_for_the_one_that_is_wanted(tmp_path) -> None:
    record, _ = make_class_files(tmp_path, "cell")
    with pytest.raises(InputError, match="of the classes nucleus, but got 1 named cell"):
        read_targets(record, ("nucleus",), (6, 8))


def test_files_of_classes_that_do_not_fit_together_are_named(tmp_path) -> None:
    record, _ = make_class_files(tmp_path, "cell", "nucleus")
    save(tmp_path, "nucleus", np.zeros((5, 8), np.uint16))
    with pytest.raises(InputError, match=r"nucleus.png: expected one plane .* the class 'nucleus'"):
        read_targets(record, ("nucleus", "cell"), (6, 8))


def test_what_does_not_fit_is_said(tmp_path) -> None:
    image = save(tmp_path, "image", np.ones((40, 50), np.uint8))
    record, shape = Record(image=image, labels=image), (40, 50)
    with pytest.raises(InputError, match="expected labels to train or validate on"):
        read_targets(replace(record, labels=None), ("object",), shape)
    small = save(tmp_path, "small", np.ones((4, 5), np.uint8))
    with pytest.raises(InputError, match=r"labels of the size of image.png, \(40, 50\), but got"):
        read_targets(replace(record, labels=small), ("object",), shape)
    with pytest.raises(InputError, match="one label plane for each of the classes cell, nucleus"):
        read_targets(record, ("cell", "nucleus"), shape)
    with pytest.raises(InputError, match="annotated names the class 'yeast', but the task has"):
        read_targets(replace(record, annotated=("yeast",)), ("object",), shape)
    with pytest.raises(InputError, match=r"valid mask of one plane of \(40, 50\)"):
        read_targets(replace(record, valid=small), ("object",), shape)


def test_a_stack_is_refused(tmp_path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"stack.tif: expected a 2D image"):
        read_pixels(Record(image=path))


@pytest.mark.parametrize("layout", ["first", "last", "named", "slices"])
def test_planes_of_classes_come_in_any_layout(tmp_path, layout) -> None:
    path = tmp_path / "labels.tif"
    if layout == "named":
        write_labels(path, TWO, ("a", "b"))
    else:
        stored = TWO.transpose(1, 2, 0) if layout == "last" else TWO
        metadata = {"axes": "ZYX"} if layout == "slices" else None
        tifffile.imwrite(path, stored, metadata=metadata, photometric="minisblack")
    labels, valid = read_targets(Record(image=path, labels=path), ("a", "b"), (8, 9))
    assert valid is None
    assert_array_equal(labels, TWO)


def test_a_color_picture_is_one_class_or_three(tmp_path) -> None:
    gray = save(tmp_path, "gray", np.full((8, 9, 3), 7, np.uint8))
    record = Record(image=gray, labels=gray)
    assert read_targets(record, ("a",), (8, 9))[0].tolist() == np.full((1, 8, 9), 7).tolist()
    assert read_targets(record, ("a", "b", "c"), (8, 9))[0].shape == (3, 8, 9)
    colors = np.zeros((8, 9, 3), np.uint8)
    colors[:2, :, 0], colors[2:4, :, 2] = 1, 2
    colored = save(tmp_path, "colored", colors)
    record = Record(image=gray, labels=colored)
    labels, _ = read_targets(record, ("a", "b", "c"), (8, 9))
    assert_array_equal(labels, colors.transpose(2, 0, 1))
    with pytest.raises(InputError, match=r"colored.png: is a color picture .* whose planes differ"):
        read_targets(record, ("a",), (8, 9))


def test_a_prediction_comes_back_as_labels_unchanged(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for classes in (("a",), ("a", "b"), ("a", "b", "c")):
        path = tmp_path / f"{len(classes)}.tif"
        labels = rng.integers(0, 70_000, (len(classes), 8, 9)).astype(np.int32)
        write_labels(path, labels, classes)
        again, valid = read_targets(Record(image=path, labels=path), classes, (8, 9))
        assert valid is None
        assert_array_equal(again, labels)


def test_a_class_that_is_named_twice_is_refused(tmp_path) -> None:
    path = tmp_path / "labels.tif"
    write_labels(path, TWO, ("a", "a"))
    record = Record(image=path, labels=path)
    with pytest.raises(
        InputError, match=r"labels.tif: names the class 'a' 2 times in .*each plane"
    ):
        read_targets(record, ("a", "b"), (8, 9))
    with pytest.raises(InputError, match=r"annotated names a class twice in \('a', 'a'\)"):
        read_targets(replace(record, annotated=("a", "a")), ("a", "b"), (8, 9))


def test_labels_of_other_classes_than_the_task_are_refused(tmp_path) -> None:
    path = tmp_path / "labels.tif"
    write_labels(path, TWO, ("yeast", "bud"))
    with pytest.raises(
        InputError, match=r"labels.tif: expected .* classes a, b, but got 2 named yeast, bud"
    ):
        read_targets(Record(image=path, labels=path), ("a", "b"), (8, 9))
