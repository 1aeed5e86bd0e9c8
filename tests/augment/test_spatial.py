"""What matrices are drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import SEEDS

from pancyte.augment.spatial import (
    MEDIAR_SPATIAL,
    NO_SPATIAL,
    SpatialAugmentation,
    draw_matrix,
)

SETTINGS = settings(deadline=None, max_examples=30)


def draws(augmentation, count=400):
    return [draw_matrix(augmentation, np.random.default_rng(seed)) for seed in range(count)]


@SETTINGS
@given(SEEDS)
def test_scale_stays_in_its_range(seed) -> None:
    settings_ = replace(NO_SPATIAL, scale=(0.5, 2.0), rotation_probability=1.0, anisotropy=1.3)
    matrix = draw_matrix(settings_, np.random.default_rng(seed))
    assert 0.5 - 1e-9 <= 1 / np.sqrt(abs(np.linalg.det(matrix))) <= 2.0 + 1e-9


def test_scale_is_uniform_on_a_logarithmic_scale() -> None:
    matrices = draws(replace(NO_SPATIAL, scale=(0.5, 2.0)))
    exponents = [-np.log2(matrix[0, 0]) for matrix in matrices]
    assert abs(np.mean(exponents)) < 0.1
    assert np.std(exponents) == pytest.approx(2 / np.sqrt(12), abs=0.05)


def test_flips_and_quarter_turns_are_exact_and_all_eight_come() -> None:
    matrices = draws(replace(NO_SPATIAL, flip=True, quarter_turns=True))
    seen = {tuple(matrix.ravel().tolist()) for matrix in matrices}
    assert len(seen) == 8
    assert {value for matrix in seen for value in matrix} == {-1.0, 0.0, 1.0}


def test_mediar_magnifies_half_of_the_windows_uniformly() -> None:
    scales = np.array([abs(np.linalg.det(m)) ** -0.5 for m in draws(MEDIAR_SPATIAL, 2000)])
    zoomed = scales[scales != 1.0]
    assert len(zoomed) / 2000 == pytest.approx(0.5, abs=0.04)
    assert 0.25 <= zoomed.min() < 0.27
    assert 1.48 < zoomed.max() <= 1.5
    assert zoomed.mean() == pytest.approx((0.25 + 1.5) / 2, abs=0.04)
    assert zoomed.std() == pytest.approx(1.25 / np.sqrt(12), abs=0.02)


def test_mediar_mirrors_half_along_one_of_both_axes_and_turns_half() -> None:
    straight = replace(MEDIAR_SPATIAL, scale_probability=0.0)
    matrices = draws(straight, 4000)
    assert np.mean([np.linalg.det(m) < 0 for m in matrices]) == pytest.approx(0.5, abs=0.03)
    unturned = draws(replace(straight, quarter_turns=False), 4000)
    flips = Counter(tuple(np.diag(matrix).tolist()) for matrix in unturned)
    assert set(flips) == {(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0)}
    assert flips[1.0, -1.0] / 4000 == pytest.approx(0.25, abs=0.03)
    assert flips[-1.0, 1.0] / 4000 == pytest.approx(0.25, abs=0.03)
    turned = draws(replace(straight, flip=False), 4000)
    angles = [round(np.degrees(np.arctan2(m[0, 1], m[0, 0]))) % 360 for m in turned]
    assert angles.count(0) / 4000 == pytest.approx(0.5, abs=0.03)
    for angle in (90, 180, 270):
        assert angles.count(angle) / 4000 == pytest.approx(1 / 6, abs=0.03)


@pytest.mark.parametrize("name", ["scale", "flip", "turn", "rotation"])
def test_what_never_occurs_leaves_the_window(name) -> None:
    off = {f"{other}_probability": 0.0 for other in ("scale", "flip", "turn", "rotation")}
    still = SpatialAugmentation(**off, anisotropy=1.0)
    assert all(np.array_equal(matrix, np.eye(2)) for matrix in draws(still, 50))
    moving = replace(still, **{f"{name}_probability": 1.0})
    assert all(not np.array_equal(matrix, np.eye(2)) for matrix in draws(moving, 50))


def test_free_rotation_comes_as_often_as_it_should_and_keeps_angles() -> None:
    matrices = draws(replace(NO_SPATIAL, rotation_probability=0.3))
    turned = [matrix for matrix in matrices if not np.array_equal(matrix, np.eye(2))]
    assert 0.2 < len(turned) / len(matrices) < 0.4
    for matrix in turned:
        assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-12)


def test_anisotropy_stays_below_its_ratio() -> None:
    for matrix in draws(replace(NO_SPATIAL, anisotropy=1.2)):
        large, small = np.linalg.svd(matrix, compute_uv=False)
        assert large / small <= 1.2 + 1e-9


def test_a_share_of_the_windows_is_scaled_widely() -> None:
    wide = replace(NO_SPATIAL, wide_probability=0.3, wide_scale=(0.25, 4.0))
    scales = np.array([1 / matrix[0, 0] for matrix in draws(wide, 2000)])
    exponents = np.log2(scales[scales != 1.0])
    assert len(exponents) / 2000 == pytest.approx(0.3, abs=0.04)
    assert -2.0 <= exponents.min() < -1.9
    assert 1.9 < exponents.max() <= 2.0
    assert abs(exponents.mean()) < 0.15
    assert exponents.std() == pytest.approx(4 / np.sqrt(12), abs=0.07)


def test_the_other_windows_are_drawn_as_without_wide_scales() -> None:
    wide = draws(SpatialAugmentation(wide_probability=0.5, wide_scale=(20.0, 20.0)), 100)
    narrow = draws(SpatialAugmentation(), 100)
    same = [np.array_equal(one, other) for one, other in zip(wide, narrow, strict=True)]
    assert 30 < sum(same) < 70
    assert all(
        np.allclose(np.linalg.det(one), np.sign(np.linalg.det(one)) / 400)
        for one, kept in zip(wide, same, strict=True)
        if not kept
    )


def test_without_wide_scales_no_more_numbers_are_drawn() -> None:
    generator, reference = np.random.default_rng(5), np.random.default_rng(5)
    draw_matrix(SpatialAugmentation(), generator)
    reference.random(7)
    assert generator.random() == reference.random()


def test_same_generator_gives_the_same_matrix() -> None:
    first, second = draws(SpatialAugmentation(), 5), draws(SpatialAugmentation(), 5)
    assert_array_equal(first, second)
    assert len({matrix.tobytes() for matrix in first}) == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": (2.0, 0.5)}, "scale to be a range"),
        ({"scale": (0.0, 1.0)}, "scale to be a range"),
        ({"wide_scale": (0.01, 4.0)}, "wide_scale to be a range within 0.05 and 20, but got"),
        ({"wide_probability": 1.5}, "wide_probability in 0 to 1, but got 1.5"),
        ({"rotation_probability": 1.5}, "rotation_probability in 0 to 1, but got 1.5"),
        ({"turn_probability": -0.5}, "turn_probability in 0 to 1, but got -0.5"),
        ({"anisotropy": 0.5}, "anisotropy in 1 to 4"),
        ({"shear": -0.1}, "shear in 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        SpatialAugmentation(**values)
