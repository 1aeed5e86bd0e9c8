import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pancyte.ops.resample import (
    resize_image,
    resize_labels,
    resize_maps,
    resize_window,
    scaled_shape,
    source_window,
)
from pancyte.types import Maps

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def brute_force(row, new):
    """The definition: a triangle about the target's position, as wide as the coarser pixel."""
    step = len(row) / new
    result = []
    for i in range(new):
        center = (i + 0.5) * step - 0.5
        weights = [max(0.0, 1 - abs(j - center) / max(step, 1)) for j in range(len(row))]
        result.append(sum(w * v for w, v in zip(weights, row, strict=True)) / sum(weights))
    return result


@pytest.mark.parametrize(("old", "new"), [(9, 4), (9, 20), (1, 5), (50, 1), (7, 7), (10, 9)])
def test_resize_image_equals_its_definition(old, new):
    row = np.random.RandomState(old).normal(size=old).astype(np.float32)

    along_x = resize_image(row.reshape(1, 1, old), (1, new))
    along_y = resize_image(row.reshape(1, old, 1), (new, 1))

    np.testing.assert_allclose(along_x[0, 0], brute_force(row, new), atol=1e-5)
    np.testing.assert_allclose(along_y[0, :, 0], brute_force(row, new), atol=1e-5)


@given(sizes, sizes)
@settings(max_examples=50, deadline=None)
def test_resize_image_stays_within_the_values_of_the_input(old, new):
    pixels = np.random.RandomState(0).uniform(-1, 1, size=(2, *old)).astype(np.float32)
    pixels.setflags(write=False)

    resized = resize_image(pixels, new)

    assert resized.shape == (2, *new)
    assert resized.min() >= pixels.min() - 1e-6
    assert resized.max() <= pixels.max() + 1e-6


def test_resize_image_averages_instead_of_skipping():
    stripes = np.tile(np.array([0, 1], dtype=np.float32), 64)[None, None]

    assert np.ptp(resize_image(stripes, (1, 16))) < 0.05


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.7])
def test_resize_image_keeps_a_ramp_in_place(factor):
    ramp = np.arange(60, dtype=np.float32)[None, None]
    new = round(60 * factor)

    resized = resize_image(ramp, (1, new))[0, 0]

    expected = (np.arange(new) + 0.5) * 60 / new - 0.5
    inside = slice(new // 8, -new // 8)
    np.testing.assert_allclose(resized[inside], expected[inside], atol=1e-3)


@given(hnp.arrays(np.int32, st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9))), sizes)
@settings(max_examples=50, deadline=None)
def test_resize_labels_copies_the_id_under_the_middle_of_each_pixel(labels, new):
    resized = resize_labels(labels, new)

    assert resized.dtype == np.int32
    for y in range(new[0]):
        for x in range(new[1]):
            row = int((y + 0.5) * labels.shape[1] / new[0])
            column = int((x + 0.5) * labels.shape[2] / new[1])
            assert (resized[:, y, x] == labels[:, row, column]).all()


def test_resize_labels_there_and_back_is_the_identity():
    labels = np.arange(30, dtype=np.int32).reshape(1, 5, 6) + 70_000

    assert (resize_labels(resize_labels(labels, (15, 18)), (5, 6)) == labels).all()


def test_resize_maps_keeps_directions():
    angle = 0.7
    vectors = np.zeros((1, 2, 10, 12), dtype=np.float32)
    vectors[0, 0], vectors[0, 1] = np.sin(angle), np.cos(angle)

    resized = resize_maps(Maps(np.ones((1, 10, 12), np.float32), vectors), (25, 30))

    assert resized.scalars.shape == (1, 25, 30)
    np.testing.assert_allclose(resized.vectors[0, 0], np.sin(angle), atol=1e-6)
    np.testing.assert_allclose(resized.vectors[0, 1], np.cos(angle), atol=1e-6)


def test_resize_to_the_same_size_copies_nothing():
    pixels = np.zeros((1, 3, 4), dtype=np.float32)

    assert resize_image(pixels, (3, 4)) is pixels


@pytest.mark.parametrize("resize", [resize_image, resize_labels])
@pytest.mark.parametrize(("old", "new"), [((0, 4), (2, 2)), ((4, 4), (0, 2))])
def test_resize_refuses_empty_sizes(resize, old, new):
    with pytest.raises(ValueError, match="sizes of at least 1 pixel, but got"):
        resize(np.zeros((1, *old), dtype=np.int32), new)


def test_scaled_shape_is_at_least_one_pixel():
    assert scaled_shape((7, 1000), 0.01) == (1, 10)


@given(sizes, sizes, st.data())
@settings(max_examples=50, deadline=None)
def test_a_window_is_resized_as_the_whole_is_and_reads_no_more_than_it_says(old, new, data):
    window = []
    for size in new:
        start = data.draw(st.integers(0, size - 1))
        window.append(slice(start, data.draw(st.integers(start + 1, size))))
    pixels = np.random.RandomState(0).uniform(-1, 1, size=(2, *old)).astype(np.float32)
    asked = []

    def read(rows, columns):
        asked.append((rows, columns))
        return pixels[:, rows, columns]

    found = resize_window(read, old, new, tuple(window))

    np.testing.assert_array_equal(found, resize_image(pixels, new)[:, *window])
    assert asked == [source_window(old, new, tuple(window))]
