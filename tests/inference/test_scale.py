import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.inference.scale import (
    Probe,
    Settled,
    limit_scale,
    median_diameter,
    search_scale,
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
        assert settled == Settled(1.0, None)


def test_settle_scale_of_an_empty_image_stays_and_has_no_diameter():
    tried = []

    def probe(scale):
        tried.append(scale)
        return Probe(scale, None, 0.0)

    # Whether nothing is found is for who segments all of the image to say.
    assert settle_scale(probe, SHAPE, target=30.0) == Settled(1.0, None)
    assert tried == [1.0, 0.5, 2.0, 0.25]


@pytest.mark.parametrize(("true", "small"), [(4.0, True), (5.5, False)])
def test_settle_scale_does_not_look_for_objects_of_fewer_than_5_pixels(true, small):
    probe, tried = network_that_knows(6, 70, true)

    settled = settle_scale(probe, SHAPE, target=30.0)

    assert max(tried) == settled.scale == (6.0 if small else 30.0 / true)
    assert settled.diameter == true
    assert bool(settled.warnings) == small
    if small:
        line = (
            r"^What is seen has about 4\.0 pixels, smaller than what the model can outline \(5 "
            r"pixels and more\)\. The image was resized by 6 and not by 7\.5"
        )
        assert re.match(line, settled.warnings[0])


def test_settle_scale_warns_where_estimates_do_not_agree():
    # Whatever the scale, the network reports objects of 20 pixels of its input.
    tried = []

    def probe(scale):
        tried.append(scale)
        return Probe(scale, 20.0 / scale, 0.1 * scale)

    settled = settle_scale(probe, (50, 50), target=40.0)

    assert tried == [1.0, 2.0, 4.0]
    assert settled.scale == 4.0
    assert "could not be settled: estimates are 20, 10, 5 pixels" in settled.warnings[0]


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


@given(
    st.floats(1e-6, 1e6),
    st.tuples(st.integers(1, 50_000), st.integers(1, 50_000)),
    st.floats(1.0, 1000.0),
)
@settings(max_examples=50, deadline=None)
def test_a_search_does_not_magnify_objects_of_fewer_than_5_pixels_to_the_target(
    scale, shape, target
):
    limited = search_scale(scale, shape, target)

    assert limited <= max(1.0, target / 5)
    assert limited <= limit_scale(scale, shape)
    if limited < limit_scale(scale, shape):
        assert limited == max(1.0, target / 5)


@given(st.floats(1e-6, 1e6), st.tuples(st.integers(1, 50_000), st.integers(1, 50_000)))
@settings(max_examples=50, deadline=None)
def test_limit_scale_bounds_the_pixels_and_keeps_what_is_possible(scale, shape):
    limited = limit_scale(scale, shape)

    pixels = shape[0] * shape[1]
    assert limited**2 * pixels <= max(pixels, 2**26) * 1.001
    assert limit_scale(limited, shape) == limited
    if 1 / 64 <= scale <= 1:
        assert limited == scale


def test_median_diameter_leaves_out_cut_objects_where_others_suffice():
    diameters = np.array([10.0, 12.0, 14.0, 16.0, 18.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    cut = diameters == 2.0

    table = ObjectTable({"diameter": diameters, "touches_border": cut})

    assert median_diameter(table) == 14.0
    assert median_diameter(table.select(~cut | (np.arange(11) == 10))) == 14.0
    assert median_diameter(table.select(np.array([0, 5, 6]))) == 2.0
    assert median_diameter(table.select(np.array([], dtype=int))) is None
