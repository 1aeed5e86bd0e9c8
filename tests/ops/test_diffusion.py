"""The diffusion field against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops.flow_shapes import bar, degrees_between, disc, ellipse, ring

from pancyte.ops.diffusion import diffusion_field
from pancyte.ops.sinks import find_components


def by_definition(labels):
    """The formula of the module, in float64 on the whole plane, with no short cut."""
    found = find_components(labels)
    padded = np.pad(found.labels, 1)
    count = 2 * int((found.boxes[:, 2:] - found.boxes[:, :2]).sum(1).max() + 2)
    heat = np.zeros(padded.shape)
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    same = [np.roll(padded, shift, axis=(0, 1)) == padded for shift in shifts]
    for _ in range(count):
        heat[tuple(found.sinks.T + 1)] += 1
        parts = zip(shifts, same, strict=True)
        heat = sum(np.roll(heat, shift, axis=(0, 1)) * equal for shift, equal in parts) / 9
        heat[padded == 0] = 0
    slope = np.stack([heat[2:, 1:-1] - heat[:-2, 1:-1], heat[1:-1, 2:] - heat[1:-1, :-2]])
    slope /= np.maximum(abs(slope).max(axis=0), 1e-300)
    return np.where(found.labels, slope / np.maximum(np.hypot(*slope), 1e-300), 0)


@pytest.mark.parametrize(
    "labels",
    [
        disc(3),
        disc(20),
        ellipse(40, 8, 30),
        ring(22, 14, 1.0),
        bar(3, 150),
        np.kron(np.arange(1, 7, dtype=np.int32).reshape(2, 3), np.ones((14, 20), np.int32)),
        np.concatenate([bar(2, 90), np.pad(disc(3, 9), ((0, 0), (0, 91)))]),
    ],
    ids=["small", "round", "long", "arc", "thin", "touching", "sizes mixed"],
)
def test_diffusion_field_is_the_slope_of_heat(labels):
    components = find_components(labels)
    inside = labels > 0
    inside[tuple(components.sinks.T)] = False  # the slope of a symmetric sink is rounding alone
    away = degrees_between(diffusion_field(components), by_definition(labels))[inside]
    assert np.mean(away < 1) >= 0.95
    assert np.mean(away < 5) >= 0.99


def test_diffusion_field_has_unit_length_in_long_bars():
    for labels in (bar(2, 500), bar(6, 1000)):
        length = np.hypot(*diffusion_field(find_components(labels)))[labels > 0]
        assert np.mean(abs(length - 1) < 0.01) >= 0.999
