"""Label images on disk."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from pancyte.errors import InputError
from pancyte.io.label_files import read_labels, write_labels


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(2, 9), st.integers(1, 9))
    | st.tuples(st.integers(1, 3), st.integers(2, 4), st.integers(2, 5), st.integers(2, 5)),
    largest=st.sampled_from([0, 1, 255, 256, 65_535, 65_536, 2**24 + 1, 2**31 - 1]),
    spaced=st.booleans(),
    seed=st.integers(0, 99),
)
def test_read_labels_returns_what_write_labels_wrote(tmp_path, shape, largest, spaced, seed):
    labels = np.random.default_rng(seed).integers(0, largest, shape, endpoint=True)
    labels.flat[-1] = largest
    classes = tuple(f"class {number} é" for number in range(shape[0]))
    spacing = (0.7, 0.25, 0.1)[-len(shape) + 1 :] if spaced else None
    write_labels(tmp_path / "a_labels.tif", labels, classes, spacing=spacing)
    read = read_labels(tmp_path / "a_labels.tif")
    np.testing.assert_array_equal(read.labels, labels)
    assert read.labels.dtype == np.int32
    assert read.classes == classes
    assert read.spacing == spacing
    assert read.original_ids is None


@pytest.mark.parametrize(("largest", "dtype"), [(65_535, "uint16"), (65_536, "uint32")])
def test_write_labels_takes_the_type_that_all_planes_need(tmp_path, largest, dtype):
    labels = np.zeros((2, 8, 9), np.int32)
    labels[0, 0, 0], labels[1, 0, 0] = 1, largest
    write_labels(tmp_path / "a.tif", labels, ["cell", "nucleus"])
    stored = tifffile.imread(tmp_path / "a.tif")
    assert stored.dtype == dtype
    assert stored[1, 0, 0] == largest


def test_write_labels_writes_one_class_as_a_plain_compressed_image(tmp_path):
    write_labels(tmp_path / "a.tif", np.ones((1, 512, 512), np.int32), ["cell"], spacing=(0.5, 0.2))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        page = tif.pages[0]
        assert (tif.series[0].axes, len(tif.pages), page.compression) == ("YX", 1, 8)
        x, y = (page.tags[f"{axis}Resolution"].value for axis in "XY")
        assert (x[0] / x[1], y[0] / y[1], page.resolutionunit) == (50_000, 20_000, 3)
    assert (tmp_path / "a.tif").stat().st_size < 10_000
    with PillowImage.open(tmp_path / "a.tif") as image:  # a reader that knows nothing of OME
        assert np.asarray(image).shape == (512, 512)


def test_write_labels_makes_equal_files_of_equal_labels(tmp_path):
    for name in "ab":
        write_labels(tmp_path / name, np.arange(60).reshape(1, 6, 10), ["cell"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("labels", "classes", "match"),
    [
        (np.zeros((2, 4, 5), int), ["cell"], r"each of the classes \('cell',\).*\(2, 4, 5\)"),
        (np.zeros((4, 5), int), ["cell"], r"but got shape \(4, 5\)"),
        (np.full((1, 4, 5), -1), ["cell"], "ids from 0 to 4294967295, but got -1 to 0"),
        (np.full((1, 4, 5), 2**32), ["cell"], "but got 0 to 4294967296"),
    ],
)
def test_write_labels_refuses_what_would_not_come_back(tmp_path, labels, classes, match):
    with pytest.raises(ValueError, match=match):
        write_labels(tmp_path / "a.tif", labels, classes)
    assert not (tmp_path / "a.tif").exists()


def test_read_labels_renumbers_ids_that_do_not_fit_says_so_and_keeps_the_map(tmp_path, caplog):
    ids = np.array([[[0, 2**40, 7], [7, 7, -3]], [[2**40, 0, 0], [0, 0, 7]]], np.int64)
    tifffile.imwrite(tmp_path / "a.tif", ids, photometric="minisblack", metadata={"axes": "CYX"})
    read = read_labels(tmp_path / "a.tif")
    assert read.labels[0].tolist() == [[0, 3, 2], [2, 2, 1]]
    assert read.original_ids is not None
    assert read.original_ids.tolist() == [0, -3, 7, 2**40]
    (record,) = caplog.records
    assert "a.tif: the ids, -3 to 1099511627776, do not fit" in record.getMessage()
    assert "its 3 objects were numbered anew, from 1, in the order" in record.getMessage()
    np.testing.assert_array_equal(read.original_ids[read.labels], ids)


def test_read_labels_keeps_ids_of_uint64_exact(tmp_path):
    ids = np.array([[2**64 - 1, 2**64 - 2], [0, 1]], np.uint64)
    tifffile.imwrite(tmp_path / "a.tif", ids, photometric="minisblack")
    read = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.original_ids[read.labels[0]], ids)


def test_read_labels_accepts_whole_numbers_in_floats_and_nothing_between(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 70_000.0]], np.float32))
    assert read_labels(tmp_path / "a.tif").labels.tolist() == [[[0, 70_000]]]
    for value in (1.5, np.nan, np.inf):
        tifffile.imwrite(tmp_path / "a.tif", np.array([[0, value]]))
        with pytest.raises(InputError, match=rf"holds {value} \(float64\), but labels are whole"):
            read_labels(tmp_path / "a.tif")


def test_read_labels_does_not_cut_later_planes_to_the_type_of_the_first(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in (np.full((4, 5), 200, np.uint8), np.full((4, 5), 70_000, np.uint32)):
            writer.write(plane, metadata=None)
    read = read_labels(tmp_path / "a.tif", axes="CYX")
    assert np.unique(read.labels[0]).tolist() == [200]
    assert np.unique(read.labels[1]).tolist() == [70_000]


def test_read_labels_takes_three_equal_planes_for_one_class(tmp_path):
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for mode in ("RGB", "RGBA", "LA", "L"):
        PillowImage.fromarray(ids).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png").labels, ids[None])


def test_read_labels_asks_what_colors_mean(tmp_path):
    planes = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    PillowImage.fromarray(planes).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"is a color picture.*give axes='YXC'"):
        read_labels(tmp_path / "a.png")
    read = read_labels(tmp_path / "a.png", axes="YXC")
    np.testing.assert_array_equal(read.labels, planes.transpose(2, 0, 1))


def test_read_labels_takes_the_indices_of_a_palette_not_its_colors(tmp_path):
    ids = np.array([[0, 1], [2, 1]], np.uint8)
    image = PillowImage.fromarray(ids).convert("L")
    image.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    for name in ("a.png", "a.bmp", "a.tif"):
        image.save(tmp_path / name)
        assert read_labels(tmp_path / name).labels[0].tolist() == ids.tolist()


def test_read_labels_reads_channels_first_and_last(tmp_path):
    labels = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="minisblack")
    with pytest.raises(InputError, match="does not say what each axis is"):
        read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif", axes="CYX").labels, labels)
    last = read_labels(tmp_path / "a.tif", axes="YXC").labels
    np.testing.assert_array_equal(last, labels.transpose(2, 0, 1))


def test_read_labels_takes_class_names_from_imagej_labels(tmp_path):
    labels = np.zeros((2, 4, 5), np.uint16)
    metadata = {"axes": "CYX", "Labels": ["cell", "nucleus"]}
    tifffile.imwrite(tmp_path / "a.tif", labels, imagej=True, metadata=metadata)
    assert read_labels(tmp_path / "a.tif").classes == ("cell", "nucleus")


def test_read_labels_refuses_lossy_and_complex_files(tmp_path):
    PillowImage.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg: JPEG changes values.*Save labels as TIFF"):
        read_labels(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.complex64))
    with pytest.raises(InputError, match="has complex64 pixels, but labels are whole"):
        read_labels(tmp_path / "a.tif")


def test_read_labels_reads_a_mask_as_one_object(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.eye(4, dtype=bool), metadata=None)
    assert read_labels(tmp_path / "a.tif").labels[0].tolist() == np.eye(4, dtype=int).tolist()


def test_read_labels_reads_the_labels_of_real_images(shared_data):
    read = read_labels(shared_data / "format_demo" / "xy_8bit_labels__mitocheck_incenp_t1.tif")
    assert read.labels.shape == (1, 364, 260)
    assert read.labels.max() == 7


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("axes", [None, "ZYX", "TYX", "QYX"])
def test_read_labels_tells_classes_from_rows_by_the_size_of_the_image(tmp_path, axes, last):
    labels = np.arange(2 * 6 * 7, dtype=np.int32).reshape(2, 6, 7)
    stored = labels.transpose(1, 2, 0) if last else labels
    if axes is not None and last:
        axes = None  # a program that writes slices writes them first
    metadata = None if axes is None else {"axes": axes}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", metadata=metadata)
    read = read_labels(tmp_path / "a.tif", size=(6, 7))
    np.testing.assert_array_equal(read.labels, labels)


@pytest.mark.parametrize("shape", [(1, 6, 7), (6, 7, 1), (6, 7)])
def test_read_labels_reads_one_class_with_and_without_an_axis_of_its_own(tmp_path, shape):
    labels = np.arange(42, dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="minisblack")
    read = read_labels(tmp_path / "a.tif", size=(6, 7))
    np.testing.assert_array_equal(read.labels, labels.reshape(1, 6, 7))


def test_read_labels_asks_where_the_size_of_the_image_does_not_tell(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 5, 5), np.int32), metadata=None)
    with pytest.raises(InputError, match=r"\(5, 5, 5\), which may be both .* OME-TIFF with CYX"):
        read_labels(tmp_path / "a.tif", size=(5, 5))
    with pytest.raises(InputError, match=r"their image, that is \(6, 7\), .* got \(5, 5, 5"):
        read_labels(tmp_path / "a.tif", size=(6, 7))


def test_read_labels_splits_colors_into_as_many_classes_as_are_expected(tmp_path):
    planes = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    PillowImage.fromarray(planes).save(tmp_path / "a.png")
    read = read_labels(tmp_path / "a.png", planes=(3,))
    np.testing.assert_array_equal(read.labels, planes.transpose(2, 0, 1))
    with pytest.raises(InputError, match="whose planes differ.*task.classes, which expects 1 or 2"):
        read_labels(tmp_path / "a.png", planes={1, 2})
    # Three equal planes are three classes where three are expected, else one.
    PillowImage.fromarray(planes[..., 0]).convert("RGB").save(tmp_path / "b.png")
    assert read_labels(tmp_path / "b.png", planes={1}).labels.shape == (1, 4, 5)
    assert read_labels(tmp_path / "b.png", planes={3}).labels.shape == (3, 4, 5)


def test_read_labels_takes_a_fourth_sample_for_a_class_only_where_it_says_something(tmp_path):
    planes = np.arange(80, dtype=np.uint8).reshape(4, 5, 4)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb")
    read = read_labels(tmp_path / "a.tif", planes={4})
    np.testing.assert_array_equal(read.labels, planes.transpose(2, 0, 1))
    planes[..., 3] = 255
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb")
    assert read_labels(tmp_path / "a.tif", planes={3, 4}).labels.shape == (3, 4, 5)
