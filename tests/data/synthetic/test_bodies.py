from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.data.synthetic.bodies import Body, arc_length, constricted, objects_of, paint, straight

CENTER = np.array([40.0, 40.0])


@settings(max_examples=20, deadline=None)
@given(
    angle=st.floats(0, 6.3), length=st.floats(12, 60), radius=st.floats(3, 6), bend=st.floats(0, 1)
)
def test_a_rod_has_the_area_of_a_capsule(angle, length, radius, bend):
    body = straight(CENTER, angle, length=length, radius=radius, bend=bend)

    area = np.count_nonzero(paint([body], (80, 80)).labels)

    expected = np.pi * radius**2 + 2 * radius * max(length - 2 * radius, 0)
    rim = 2 * np.pi * radius + 2 * (length - 2 * radius)
    # A rod along the grid whose rim runs through the middles of pixels misses half of each.
    assert abs(area - expected) < 0.5 * rim
    np.testing.assert_allclose(body.spine.mean(axis=0), CENTER)


def test_depth_is_the_distance_to_the_rim():
    relief = paint([straight(CENTER, 0.0, length=50.0, radius=8.0)], (80, 80))

    assert relief.depth[40, 40] == pytest.approx(8.0, abs=0.3)
    assert relief.depth[45, 40] == pytest.approx(3.0, abs=0.3)
    assert relief.depth[0, 0] == -1.5
    np.testing.assert_array_equal(relief.labels > 0, relief.depth > 0)


def test_along_runs_from_end_to_end():
    relief = paint([straight(CENTER, 0.0, length=50.0, radius=5.0)], (80, 80))

    line = relief.along[40, 20:61]
    assert (np.diff(line) >= 0).all()
    assert line[0] == pytest.approx(0, abs=0.02)
    assert line[-1] == pytest.approx(1, abs=0.02)


def test_two_that_overlap_share_what_both_cover():
    bodies = [straight(np.array([y, 40.0]), 0.0, length=50.0, radius=8.0) for y in (36.0, 44.0)]
    areas = np.bincount(paint(bodies, (81, 81)).labels.ravel())[1:]

    assert abs(areas[0] - areas[1]) < 0.1 * areas[0]


def test_the_later_of_two_layers_lies_above_and_parts_the_other():
    bodies = [straight(CENTER, angle, length=60.0, radius=5.0) for angle in (0.0, np.pi / 2)]

    relief = paint(bodies, (80, 80), layered=True)
    alone = paint(bodies[1:], (80, 80))

    np.testing.assert_array_equal(relief.labels == 2, alone.labels == 1)
    assert objects_of(relief).max() == 3


def test_a_constricted_rod_is_thin_in_its_middle_only():
    body = straight(CENTER, 0.0, length=50.0, radius=6.0)
    relief = paint([constricted(body, 0.5)], (80, 80))

    thickness = (relief.labels > 0).sum(axis=0)
    assert thickness[40] <= 7
    assert thickness[25] >= 11


def test_slivers_and_crumbs_are_no_objects():
    sliver = straight(np.array([-4.2, 40.0]), 0.0, length=50.0, radius=5.0)
    crumb = straight(np.array([60.0, 60.0]), 0.0, length=3.0, radius=1.5)

    relief = paint([sliver, crumb], (80, 80))

    assert relief.labels.max() == 2
    assert objects_of(relief).max() == 0


def test_arc_length_adds_the_steps_of_a_spine():
    np.testing.assert_allclose(arc_length(np.array([[0.0, 0], [3, 4], [3, 5]])), [0, 5, 6])
    np.testing.assert_allclose(arc_length(np.zeros((1, 2))), [0])


def test_nothing_is_drawn_of_what_lies_outside():
    far = Body(np.full((3, 2), 500.0), np.full(3, 4.0))

    assert not paint([far], (20, 20)).labels.any()
