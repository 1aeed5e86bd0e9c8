"""Components and their sinks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from tests.strategies import labels

from pancyte.ops.sinks import find_components


@given(plane=labels(max_side=24))
@settings(max_examples=40, deadline=None)
def test_find_components_takes_the_pixel_nearest_to_the_rounded_mean(plane):
    found = find_components(plane)
    for k, (box, sink) in enumerate(zip(found.boxes, found.sinks, strict=True), start=1):
        places = np.argwhere(found.labels == k)
        assert (places.min(0) == box[:2]).all()
        assert (places.max(0) + 1 == box[2:]).all()
        mean = box[:2] + np.round((places - box[:2]).sum(0) / len(places))
        nearest = ((places - mean) ** 2).sum(1).argmin()
        assert (places[nearest] == sink).all()
