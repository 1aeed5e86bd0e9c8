"""Records in memory, and the windows cut out of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image as PillowImage
from tests.strategies import voronoi_cells

from pancyte.data.patches import cut_patch, load_record, place_window
from pancyte.data.record_files import read_pixels, read_targets
from pancyte.data.records import Record
from pancyte.errors import InputError
from pancyte.ops.preprocess import Preprocessing, preprocess
from pancyte.ops.warp import Window

NATIVE = Preprocessing(diameter=None)


def save(folder, name, array):
    path = folder / f"{name}.png"
    PillowImage.fromarray(array).save(path)
    return path


def make_record(folder, *, shape=(40, 50), colors=0, dtype=np.uint8, diameter=9):
    rng = np.random.default_rng(5)
    labels = voronoi_cells(shape, diameter, rng)
    size = (*shape, colors) if colors else shape
    pixels = rng.integers(3, np.iinfo(dtype).max, size).astype(dtype)
    return Record(
        image=save(folder, "image", pixels),
        labels=save(folder, "labels", labels.astype(np.uint16)),
    )


def whole(loaded):
    height, width = loaded.shape
    return Window(((height - 1) / 2, (width - 1) / 2), np.eye(2), loaded.shape)


@pytest.mark.parametrize(("colors", "dtype"), [(0, np.uint8), (0, np.uint16), (3, np.uint8)])
def test_a_patch_of_everything_is_the_preprocessed_image(tmp_path, colors, dtype) -> None:
    record = make_record(tmp_path, colors=colors, dtype=dtype)
    loaded = load_record(record, ("object",), NATIVE)
    sample = cut_patch(loaded, whole(loaded), NATIVE)
    assert_allclose(sample.image, preprocess(read_pixels(record), NATIVE), atol=1e-6)
    assert_array_equal(sample.labels, read_targets(record, ("object",), loaded.shape)[0])
    assert sample.valid is not None
    assert sample.valid.all()
    assert loaded.levels[0].dtype == dtype


def test_gray_saved_as_color_is_kept_as_one_channel(tmp_path) -> None:
    record = make_record(tmp_path)
    gray = np.asarray(PillowImage.open(record.image))
    color = replace(record, image=save(tmp_path, "color", np.stack([gray] * 3, axis=-1)))
    first = load_record(record, ("object",), NATIVE)
    second = load_record(color, ("object",), NATIVE)
    assert second.levels[0].shape == (1, 40, 50)
    patches = [cut_patch(loaded, whole(loaded), NATIVE).image for loaded in (first, second)]
    assert_allclose(*patches, atol=1e-6)


def test_objects_are_measured_on_the_whole_image(tmp_path) -> None:
    labels = np.zeros((64, 64), np.uint16)
    labels[10:20, 10:20], labels[40:50, 30:60] = 7, 9
    record = Record(
        image=save(tmp_path, "image", np.arange(4096, dtype=np.uint16).reshape(64, 64)),
        labels=save(tmp_path, "labels", labels),
    )
    loaded = load_record(record, ("object",), NATIVE)
    assert_allclose(loaded.diameters, 2 * np.sqrt(np.array([100, 300]) / np.pi))
    assert_allclose(loaded.centers, [[14.5, 14.5], [44.5, 44.5]])
    assert loaded.magnification(30.0) == pytest.approx(30.0 / np.median(loaded.diameters))
    assert loaded.magnification(None) == 1.0


def test_an_image_without_objects_keeps_its_scale(tmp_path) -> None:
    empty = save(tmp_path, "labels", np.zeros((20, 20), np.uint8))
    record = Record(image=save(tmp_path, "image", np.full((20, 20), 9, np.uint8)), labels=empty)
    loaded = load_record(record, ("object",), NATIVE)
    assert loaded.magnification(30.0) == 1.0
    sample = cut_patch(loaded, whole(loaded), NATIVE)
    assert not sample.image.any()  # a constant image is 0 everywhere
    assert not sample.labels.any()


def test_beyond_the_image_nothing_is_valid(tmp_path) -> None:
    loaded = load_record(make_record(tmp_path), ("object",), NATIVE)
    sample = cut_patch(loaded, Window((0.0, 0.0), np.eye(2), (21, 21)), NATIVE)
    assert sample.valid is not None
    assert sample.valid[0, 10:, 10:].all()
    assert sample.valid.sum() == 11 * 11
    assert not sample.labels[~sample.valid].any()
    assert_array_equal(sample.image[:, :10], sample.image[:, :10:-1])  # mirrored


def test_far_down_the_pyramid_brightness_and_place_stay(tmp_path) -> None:
    yy, xx = np.mgrid[:256, :256]
    spot = (np.hypot(yy - 100, xx - 150) < 40).astype(np.uint8)
    record = Record(image=save(tmp_path, "i", spot * 200), labels=save(tmp_path, "l", spot))
    loaded = load_record(record, ("object",), NATIVE)
    assert len(loaded.levels) > 2
    window = Window((127.5, 127.5), np.eye(2) * 4.0, (64, 64))
    sample = cut_patch(loaded, window, NATIVE)
    inside = sample.labels[0] > 0
    agree = (sample.image[0] > 0.5) == inside
    assert agree.mean() > 0.99
    assert sample.image[0][inside].mean() > 0.95


@pytest.mark.parametrize("object_probability", [0.0, 1.0])
def test_windows_lie_inside_the_image(tmp_path, object_probability) -> None:
    loaded = load_record(make_record(tmp_path, shape=(90, 120)), ("object",), NATIVE)
    matrix = np.array([[0.0, 1.0], [-1.0, 0.0]])
    for seed in range(50):
        window = place_window(
            loaded,
            matrix,
            33,
            object_probability=object_probability,
            generator=np.random.default_rng(seed),
        )
        sample = cut_patch(loaded, window, NATIVE)
        assert sample.valid is not None
        assert sample.valid.all()
        if object_probability == 1.0:
            assert sample.labels.any()


def test_a_large_window_holds_the_whole_image_somewhere(tmp_path) -> None:
    loaded = load_record(make_record(tmp_path), ("object",), NATIVE)
    places = set()
    for seed in range(20):
        window = place_window(
            loaded, np.eye(2), 64, object_probability=0.5, generator=np.random.default_rng(seed)
        )
        sample = cut_patch(loaded, window, NATIVE)
        assert sample.valid is not None
        assert sample.valid.sum() == 40 * 50
        places.add(tuple(np.argwhere(sample.valid[0])[0]))
    assert len(places) > 10


def test_a_valid_mask_marks_what_can_be_trusted(tmp_path) -> None:
    record = make_record(tmp_path)
    mask = np.zeros((40, 50), np.uint8)
    mask[:, :25] = 255
    record = replace(record, valid=save(tmp_path, "valid", mask))
    loaded = load_record(record, ("object",), NATIVE)
    sample = cut_patch(loaded, whole(loaded), NATIVE)
    assert_array_equal(sample.valid, mask[None] > 0)


def test_more_channels_than_the_network_takes_are_refused(tmp_path) -> None:
    record = make_record(tmp_path, colors=3)
    with pytest.raises(InputError, match=r"image\.png: expected an image of at most 1 channels"):
        load_record(record, ("object",), Preprocessing(channels=1))


def test_the_size_in_memory_is_that_of_all_arrays(tmp_path) -> None:
    loaded = load_record(make_record(tmp_path), ("object",), NATIVE)
    measured = loaded.centers.nbytes + loaded.diameters.nbytes
    assert measured > 0
    levels = sum(level.nbytes for level in loaded.levels)
    assert loaded.nbytes == levels + loaded.labels.nbytes + measured


def test_with_zeros_an_image_lies_in_the_middle_of_valid_darkness(tmp_path) -> None:
    loaded = load_record(make_record(tmp_path), ("object",), NATIVE)
    window = place_window(
        loaded, np.eye(2), 64, object_probability=1.0, generator=np.random.default_rng(0),
        centered=True,
    )  # fmt: skip
    sample = cut_patch(loaded, window, NATIVE, beyond="zeros")
    assert sample.valid is not None
    assert sample.valid.all()
    inside = (slice(12, 52), slice(7, 57))
    original = cut_patch(loaded, whole(loaded), NATIVE)
    assert_array_equal(sample.image[:, *inside], original.image)
    assert_array_equal(sample.labels[:, *inside], original.labels)
    sample.image[:, *inside] = 0
    assert not sample.image.any()


@pytest.mark.parametrize("size", [32, 33])
def test_right_angles_copy_pixels(tmp_path, size) -> None:
    loaded = load_record(make_record(tmp_path), ("object",), NATIVE)
    values = set(np.unique(cut_patch(loaded, whole(loaded), NATIVE).image).tolist())
    for seed in range(20):
        window = place_window(
            loaded,
            np.array([[0.0, 1.0], [-1.0, 0.0]]),
            size,
            object_probability=0.5,
            generator=np.random.default_rng(seed),
        )
        sample = cut_patch(loaded, window, NATIVE)
        assert sample.valid is not None
        assert sample.valid.all()
        assert set(np.unique(sample.image).tolist()) <= values
