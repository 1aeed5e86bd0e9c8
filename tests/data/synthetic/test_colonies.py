from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import SEEDS

from pancyte.data.synthetic.bodies import paint, straight
from pancyte.data.synthetic.colonies import grow_colony


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 80), aspect=st.floats(1, 6), turn=st.floats(0, 2))
def test_a_colony_has_as_many_rods_as_asked_for(seed, count, aspect, turn):
    colony = grow_colony(count, aspect=aspect, turn=turn, generator=np.random.default_rng(seed))

    assert all(column.shape == (count,) for column in colony)
    assert all(np.isfinite(column).all() for column in colony)
    assert (colony.length >= 1).all()
    assert ((colony.progress >= 0) & (colony.progress <= 1)).all()
    np.testing.assert_allclose([colony.y.mean(), colony.x.mean()], 0, atol=1e-9)


@pytest.mark.parametrize(("aspect", "turn"), [(3.5, 0.1), (5.0, 0.05), (1.1, 1.5)])
def test_rods_hardly_overlap_and_are_dense(aspect, turn):
    scale = 10.0
    colony = grow_colony(40, aspect=aspect, turn=turn, generator=np.random.default_rng(1))
    places = np.stack([colony.y, colony.x], axis=1) * scale
    places += 4 * scale - places.min(axis=0)
    side = int(places.max() + 4 * scale)
    bodies = [
        straight(place, angle, length=scale * length, radius=scale / 2)
        for place, angle, length in zip(places, colony.angle, colony.length, strict=True)
    ]

    covered = paint(bodies, (side, side)).labels > 0

    area = (np.pi / 4 + colony.length - 1).sum() * scale**2
    assert np.count_nonzero(covered) > 0.9 * area
    # The disc about the inner half of the colony has few gaps.
    from_middle = np.hypot(*(places - places.mean(axis=0)).T)
    y, x = np.mgrid[:side, :side]
    core = np.hypot(y - places[:, 0].mean(), x - places[:, 1].mean())
    assert covered[core < 0.8 * np.median(from_middle)].mean() > 0.6


def test_neighbors_are_aligned():
    colony = grow_colony(100, aspect=5.0, turn=0.05, generator=np.random.default_rng(0))
    places = np.stack([colony.y, colony.x], axis=1)
    distance = np.hypot(*(places[:, None] - places).T) + 100 * np.eye(len(places))
    nearest = distance.argmin(axis=1)

    # The mean of cos(2 angle) is 0 for random directions and 1 for parallel ones.
    assert np.cos(2 * (colony.angle - colony.angle[nearest])).mean() > 0.5
