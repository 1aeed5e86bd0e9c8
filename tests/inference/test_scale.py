import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.inference.scale import (
    Probe,
    Settled,
    limit_scale,
    median_diameter,
    sample_windows,
    settle_scale,
)
from pancyte.types import ObjectTable

SHAPE = (500, 600)


def network_that_knows(low, high, true_diameter):
    """Objects are found where they have a size that the network knows; else nothing."""
    tried = []

    def probe(scale):
        tried.append(scale)
        seen = low <= true_diameter * scale <= high
        return Probe(scale, true_diameter if seen else None, 0.3 if seen else 0.0)

    return probe, tried


@pytest.mark.parametrize(("true", "passes"), [(30.0, 2), (26.0, 2), (60.0, 3), (12.0, 2)])
def test_settle_scale_looks_again_only_where_the_size_is_another(true, passes):
    probe, tried = network_that_knows(10, 70, true)

    settled = settle_scale(probe, SHAPE, target=30.0)

    assert len(tried) == passes
    assert 0.8 <= settled.scale * true / 30.0 <= 1.25
    assert settled.diameter == true
    assert settled.warnings == ()


@pytest.mark.parametrize("true", [3.0, 6.0, 8.0, 120.0, 250.0, 400.0])
def test_settle_scale_looks_elsewhere_where_nothing_is_found(true):
    probe, _ = network_that_knows(10, 70, true)

    settled = settle_scale(probe, SHAPE, target=30.0)

    if any(10 <= true * scale <= 70 for scale in (0.5, 2.0, 0.25)):
        assert 0.8 <= settled.scale * true / 30.0 <= 1.25
        assert settled.warnings == ()
    else:
        assert "No objects were found" in settled.warnings[0]


def test_settle_scale_of_an_empty_image_says_that_nothing_was_found():
    settled = settle_scale(lambda scale: Probe(scale, None, 0.0), SHAPE, target=30.0)

    assert settled.scale == 1.0
    assert settled.diameter is None
    assert "No objects were found" in settled.warnings[0]


def test_settle_scale_warns_where_estimates_do_not_agree():
    # Whatever the scale, the network reports objects of 10 pixels of its input.
    tried = []

    def probe(scale):
        tried.append(scale)
        return Probe(scale, 10.0 / scale, 0.1 * scale)

    settled = settle_scale(probe, (50, 50), target=20.0)

    assert tried == [1.0, 2.0, 4.0]
    assert settled.scale == 4.0
    assert "could not be settled: estimates are 10, 5, 2 pixels" in settled.warnings[0]


def test_settle_scale_is_not_misled_by_parts_of_large_objects():
    # Objects of 120 pixels; at the scale of the image, specks in them look like objects.
    def probe(scale):
        if scale > 0.6:
            return Probe(scale, 30.0, 0.05)
        return Probe(scale, 120.0, 0.3)

    settled = settle_scale(probe, SHAPE, target=30.0)

    assert settled == Settled(0.25, 120.0)


def test_settle_scale_is_not_misled_by_clusters_of_small_objects():
    # At half of the scale, clusters cover more, but their size leads back to where it began.
    def probe(scale):
        return Probe(scale, 30.0, 0.2) if scale > 0.6 else Probe(scale, 33.0, 0.4)

    assert settle_scale(probe, SHAPE, target=30.0) == Settled(1.0, 30.0)


def test_settle_scale_keeps_the_best_pass_where_a_later_one_finds_nothing():
    answers = {1.0: Probe(1.0, 15.0, 0.4), 2.0: Probe(2.0, None, 0.0)}

    settled = settle_scale(answers.__getitem__, SHAPE, target=30.0)

    assert settled.scale == 1.0
    assert "could not be settled" in settled.warnings[0]


def test_settle_scale_warns_where_memory_forbids_the_scale():
    probe, _ = network_that_knows(1, 70, 5.0)

    settled = settle_scale(probe, (8000, 8000), target=30.0)

    assert settled.scale == 1.0
    assert "resized by 1 and not by 6" in settled.warnings[0]


@given(st.floats(1e-6, 1e6), st.tuples(st.integers(1, 50_000), st.integers(1, 50_000)))
@settings(max_examples=50, deadline=None)
def test_limit_scale_bounds_the_pixels_and_keeps_what_is_possible(scale, shape):
    limited = limit_scale(scale, shape)

    pixels = shape[0] * shape[1]
    assert limited**2 * pixels <= max(pixels, 2**26) * 1.001
    assert limit_scale(limited, shape) == limited
    if 1 / 64 <= scale <= 1:
        assert limited == scale


@given(
    st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
    st.floats(0.05, 8.0),
)
@settings(max_examples=50, deadline=None)
def test_sample_windows_lie_in_the_image_and_have_bounded_pixels(shape, scale):
    windows = sample_windows(shape, scale, most_pixels=10_000)

    total = 0
    for rows, columns in windows:
        assert 0 <= rows.start < rows.stop <= shape[0]
        assert 0 <= columns.start < columns.stop <= shape[1]
        total += (rows.stop - rows.start) * (columns.stop - columns.start)
    if len(windows) == 1:
        assert total == shape[0] * shape[1]
    else:
        # A window has at least one pixel along each axis.
        assert total * scale**2 <= 10_000 * 1.01 + 4 * scale**2 * max(shape)
        assert len(windows) == 4


def test_median_diameter_leaves_out_cut_objects_where_others_suffice():
    diameters = np.array([10.0, 12.0, 14.0, 16.0, 18.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    cut = diameters == 2.0

    table = ObjectTable({"diameter": diameters, "touches_border": cut})

    assert median_diameter(table) == 14.0
    assert median_diameter(table.select(~cut | (np.arange(11) == 10))) == 14.0
    assert median_diameter(table.select(np.array([0, 5, 6]))) == 2.0
    assert median_diameter(table.select(np.array([], dtype=int))) is None
