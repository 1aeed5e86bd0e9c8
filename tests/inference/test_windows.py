"""Which windows stand for a large image, and where it shows something."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inference.stubs import image_of_discs

from pancyte.inference.view import view_image
from pancyte.inference.windows import Content, content_at, content_of, sample_windows
from pancyte.ops.preprocess import Preprocessing

SETTINGS = Preprocessing(percentiles=(1.0, 99.8))


def content(image):
    pixels = image if image.ndim == 3 else image[None]
    return content_of(view_image(pixels, SETTINGS))


def windows_of(image, *, pixels=6 * 100**2):
    found = content(image)
    return sample_windows(image.shape[-2:], 1.0, most_pixels=pixels, content=found)


def sees(windows, rows, columns):
    """Whether some window shows some of a part of the image."""
    return any(
        y.start < rows.stop and rows.start < y.stop and x.start < columns.stop
        and columns.start < x.stop
        for y, x in windows
    )  # fmt: skip


def ground(shape, generator, *, noise=3.0):
    return 50 + noise * generator.standard_normal(shape, dtype=np.float32)


@given(
    st.tuples(st.integers(1, 3_000), st.integers(1, 3_000)),
    st.floats(0.05, 8.0),
    st.none() | st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_sample_windows_lie_in_the_image_and_have_bounded_pixels(shape, scale, seed):
    found = None
    if seed is not None:
        generator = np.random.default_rng(seed)
        places = generator.random((2, 20)) * np.array(shape)[:, None]
        found = content_at(shape, *places)
    windows = sample_windows(shape, scale, most_pixels=10_000, content=found)

    total = 0
    for rows, columns in windows:
        assert 0 <= rows.start < rows.stop <= shape[0]
        assert 0 <= columns.start < columns.stop <= shape[1]
        total += (rows.stop - rows.start) * (columns.stop - columns.start)
    if len(windows) == 1:
        assert total == shape[0] * shape[1]
        assert total * scale**2 <= 10_000
    else:
        # A window has at least one pixel along each axis.
        assert total * scale**2 <= 10_000 * 1.01 + len(windows) * scale**2 * max(shape)
        assert len(windows) == (4 if found is None else 6)
    assert windows == sample_windows(shape, scale, most_pixels=10_000, content=found)


@given(st.integers(32, 400), st.integers(32, 400), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_content_fits_the_image_and_is_the_same_again(height, width, channels, seed):
    image = np.random.default_rng(seed).integers(0, 255, (channels, height, width), np.uint8)
    one, two = content(image), content(image.copy())

    np.testing.assert_array_equal(one.busy, two.busy)
    assert one.busy.shape == (height // one.cell, width // one.cell)
    # Noise that is the same everywhere is nothing that stands out.
    assert not one.busy.any()


@pytest.mark.parametrize("corner", [(0, 0), (0, 1200), (700, 1200), (310, 615)])
@pytest.mark.parametrize("sign", [1, -1])
def test_windows_go_where_the_objects_of_a_sparse_image_are(corner, sign):
    image = ground((1000, 1500), np.random.default_rng(1))
    rows, columns = slice(corner[0], corner[0] + 200), slice(corner[1], corner[1] + 200)
    image[rows, columns] += sign * 0.4 * image_of_discs((200, 200), 10.0)

    windows = windows_of(image)

    assert sum(sees([window], rows, columns) for window in windows) >= 2
    assert windows == windows_of(image.copy())


def test_windows_lie_apart_where_objects_are_everywhere():
    windows = windows_of(image_of_discs((1000, 1500), 20.0))

    middles = [(rows.start + 50, columns.start + 50) for rows, columns in windows]
    gaps = [np.hypot(a - c, b - d) for a, b in middles for c, d in middles if (a, b) != (c, d)]
    assert len(gaps) == 30
    assert min(gaps) > 300


def test_dust_hot_pixels_a_wall_and_a_scale_bar_do_not_attract_all_windows():
    generator = np.random.default_rng(2)
    image = ground((1600, 1600), generator)
    image[:, 200:214] = 150  # a wall
    image[1500:1512, 1300:1550] = 255  # a scale bar
    spots = generator.integers(0, 1600, (2, 300))
    image[tuple(spots)] = 255
    rows, columns = slice(700, 900), slice(900, 1100)
    image[rows, columns] += 0.4 * image_of_discs((200, 200), 20.0)

    windows = windows_of(image)

    assert sum(sees([window], rows, columns) for window in windows) >= 2
    assert not all(sees([window], slice(0, 1600), slice(200, 214)) for window in windows[2:])


def test_content_is_seen_in_any_channel():
    image = np.zeros((3, 200, 200), np.uint8)
    image[2, 40:120, 80:160] = image_of_discs((80, 80), 10.0)

    found = content(image)

    rows, columns = np.nonzero(found.busy)
    assert len(rows) > 50
    assert rows.min() * found.cell >= 40 - found.cell
    assert (columns.max() + 1) * found.cell <= 160 + found.cell


def test_content_at_marks_cells_and_holds_places_within_the_image():
    found = content_at((100, 50), np.array([0.0, 99.9, 40.0]), np.array([0.0, 49.9, -1.0]))

    assert found.cell == 8
    assert found.busy.shape == (12, 6)
    assert np.argwhere(found.busy).tolist() == [[0, 0], [5, 0], [11, 5]]


def test_very_narrow_images_have_no_content_and_four_windows():
    assert content(np.zeros((31, 5000), np.uint8)) is None
    assert isinstance(content(np.zeros((32, 5000), np.uint8)), Content)


def test_the_map_of_a_large_image_takes_little_memory(monkeypatch):
    monkeypatch.setattr("pancyte.inference.windows._SAMPLES", 2**16)
    monkeypatch.setattr("pancyte.inference.windows._CHUNK", 2**12)
    view = view_image(np.zeros((1, 3000, 3000), np.uint8), SETTINGS)
    content_of(view)
    tracemalloc.start()
    try:
        found = content_of(view)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.cell == 48
    assert peak < 2**18 < view.pixels.nbytes / 30
