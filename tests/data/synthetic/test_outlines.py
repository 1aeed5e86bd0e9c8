from __future__ import annotations

import numpy as np

from pancyte.data.synthetic.outlines import crowd


def test_crowded_cells_touch():
    cells = crowd(
        (200, 200), diameter=24.0, spread=0.2, cover=0.7, generator=np.random.default_rng(0)
    )

    beside = (cells[:, 1:] != cells[:, :-1]) & (cells[:, 1:] > 0) & (cells[:, :-1] > 0)
    assert np.count_nonzero(beside) > 200
