"""Intensities change, geometry does not, gray stays gray."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import SEEDS

from pancyte.augment.intensity import (
    MEDIAR_INTENSITY,
    IntensityAugmentation,
    augment_intensity,
    draw_curve,
)

SETTINGS = settings(deadline=None, max_examples=30)
PROBABILITIES = [f.name for f in fields(IntensityAugmentation) if f.name.endswith("_probability")]
NOTHING = IntensityAugmentation(**dict.fromkeys(PROBABILITIES, 0.0))


def random_image(seed=0, channels=3):
    image = np.random.default_rng(seed).uniform(-0.5, 3, (channels, 20, 24)).astype(np.float32)
    image.setflags(write=False)
    return image


def gray_image(seed=0):
    image = np.repeat(random_image(seed, 1), 3, axis=0)
    image.setflags(write=False)
    return image


def only(name):
    return replace(NOTHING, **{f"{name}_probability": 1.0})


@SETTINGS
@given(SEEDS)
def test_everything_at_once_keeps_shape_type_and_range(seed) -> None:
    everything = IntensityAugmentation(**dict.fromkeys(PROBABILITIES, 1.0))
    for image in (random_image(seed), gray_image(seed), random_image(seed, 1)):
        out = augment_intensity(image, everything, np.random.default_rng(seed))
        assert (out.shape, out.dtype) == (image.shape, np.float32)
        assert np.isfinite(out).all()
        assert out.min() >= -0.5
        assert out.max() <= 3.0


@pytest.mark.parametrize("image", [random_image(), gray_image(), random_image(0, 1)])
def test_nothing_switched_on_changes_nothing(image) -> None:
    out = augment_intensity(image, NOTHING, np.random.default_rng(0))
    assert_array_equal(out, image)
    assert not np.shares_memory(out, image)


@pytest.mark.parametrize(
    "name",
    [
        "brightness",
        "gamma",
        "blur",
        "sharpen",
        "noise",
        "shot_noise",
        "shading",
        "invert",
        "darken",
        "smooth",
        "histogram",
        "enhance",
    ],
)
def test_each_change_changes_and_keeps_gray_gray(name) -> None:
    image = gray_image()
    out = augment_intensity(image, only(name), np.random.default_rng(1))
    assert not np.array_equal(out, image)
    assert_array_equal(out[0], out[1])
    assert_array_equal(out[0], out[2])


@pytest.mark.parametrize("name", ["shuffle", "gray", "drop"])
def test_changes_of_color_leave_gray_images_alone(name) -> None:
    image = gray_image()
    assert_array_equal(augment_intensity(image, only(name), np.random.default_rng(1)), image)


def test_tint_keeps_one_channel_and_dims_the_others() -> None:
    image = np.abs(gray_image())
    out = augment_intensity(image, only("tint"), np.random.default_rng(1))
    shares = (out / image).reshape(3, -1).mean(axis=1)
    assert shares.max() == 1.0
    assert shares.min() < 1.0


def test_gray_makes_channels_equal_and_shuffle_permutes_them() -> None:
    image = random_image()
    gray = augment_intensity(image, only("gray"), np.random.default_rng(0))
    assert_array_equal(gray[0], gray[2])
    shuffled = augment_intensity(image, only("shuffle"), np.random.default_rng(3))
    assert {c.tobytes() for c in shuffled} == {c.tobytes() for c in image}
    assert not np.array_equal(shuffled, image)


def test_drop_blanks_one_channel() -> None:
    out = augment_intensity(random_image(), only("drop"), np.random.default_rng(0))
    assert sorted(channel.any() for channel in out) == [False, True, True]


def test_invert_twice_is_the_image() -> None:
    image = np.clip(random_image(), 0, 1)
    once = augment_intensity(image, only("invert"), np.random.default_rng(0))
    assert_allclose(once, 1 - image)


def test_noise_has_at_most_the_deviation_asked_for() -> None:
    image = np.full((1, 200, 200), 0.5, np.float32)
    stronger = replace(only("noise"), noise=0.2)
    deviations = [
        augment_intensity(image, stronger, np.random.default_rng(seed)).std() for seed in range(20)
    ]
    assert max(deviations) < 0.2 * 1.05
    assert max(deviations) > 0.15


@SETTINGS
@given(SEEDS)
def test_darkening_never_brightens_and_keeps_order_and_both_ends(seed) -> None:
    image = random_image(seed)
    out = augment_intensity(image, only("darken"), np.random.default_rng(seed))
    assert (out <= image + 1e-5).all()
    assert_allclose([out.min(), out.max()], [image.min(), image.max()], atol=1e-5)
    assert (np.diff(out.ravel()[image.ravel().argsort()]) >= -1e-6).all()


def test_darkening_follows_the_power_law() -> None:
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    square = replace(only("darken"), darken=(2.0, 2.0))
    out = augment_intensity(image, square, np.random.default_rng(0))
    assert_allclose(out, image**2, atol=1e-6)
    drawn = [
        np.log(augment_intensity(image, only("darken"), np.random.default_rng(seed))[0, 4, 0])
        / np.log(image[0, 4, 0])
        for seed in range(300)
    ]
    assert 1.0 <= min(drawn) < 1.05
    assert 1.95 < max(drawn) <= 2.001
    assert np.mean(drawn) == pytest.approx(1.5, abs=0.06)


@SETTINGS
@given(SEEDS, st.integers(3, 8))
def test_the_histogram_shift_rises_and_keeps_both_ends(seed, num_points) -> None:
    image = np.linspace(0, 1, 480, dtype=np.float32).reshape(1, 20, 24)
    shifted = replace(only("histogram"), histogram_points=num_points)
    out = augment_intensity(image, shifted, np.random.default_rng(seed))
    assert out[0, 0, 0] == 0.0
    assert out[0, -1, -1] == pytest.approx(1.0, abs=1e-5)
    assert (np.diff(out.ravel()) >= -1e-6).all()


@SETTINGS
@given(SEEDS, st.integers(3, 8))
def test_the_histogram_shift_is_the_interpolated_curve(seed, num_points) -> None:
    image = random_image(seed)
    shifted = replace(only("histogram"), histogram_points=num_points)
    out = augment_intensity(image, shifted, np.random.default_rng(5))
    generator = np.random.default_rng(5)
    generator.random(4 + 4 + 4 + 0)  # what was decided before
    heights = draw_curve(num_points, generator)
    low, high = image.min(), image.max()
    expected = np.interp(
        (image - low) / (high - low), np.linspace(0, 1, num_points), heights
    ) * (high - low) + low  # fmt: skip
    assert_allclose(out, expected, atol=2e-5)


def test_the_middle_of_three_control_points_is_uniform() -> None:
    middles = [draw_curve(3, np.random.default_rng(seed))[1] for seed in range(400)]
    assert np.mean(middles) == pytest.approx(0.5, abs=0.04)
    assert np.std(middles) == pytest.approx(1 / np.sqrt(12), abs=0.02)


def test_smoothing_is_wider_from_top_to_bottom_as_its_ranges_say() -> None:
    dot = np.zeros((1, 41, 41), np.float32)
    dot[0, 20, 20] = 1.0
    steps = np.arange(41.0) - 20
    deviations = []
    for seed in range(100):
        out = augment_intensity(dot, only("smooth"), np.random.default_rng(seed))[0]
        assert out.sum() == pytest.approx(1.0, abs=1e-4)
        deviations.append([np.sqrt((out.sum(axis) * steps**2).sum()) for axis in (1, 0)])
    down, across = np.transpose(deviations)
    assert 0.95 < down.min() < 1.1
    assert 1.85 < down.max() < 2.0
    assert across.min() < 0.35
    assert 1.35 < across.max() < 1.5


def test_enhancing_adds_detail_to_a_blurred_image() -> None:
    edge = np.zeros((1, 20, 20), np.float32)
    edge[:, :, 10:] = 1.0
    strong = replace(only("enhance"), clip=False)
    out = augment_intensity(edge, strong, np.random.default_rng(0))[0]
    assert_allclose(out, out[:1].repeat(20, axis=0), atol=1e-4)  # nothing along the edge
    assert out[0, 9] < -0.5  # dark just outside of it
    assert out[0, 10] > 1.5  # bright just inside of it
    assert_allclose(out[:, [0, -1]], edge[0][:, [0, -1]], atol=1e-5)


@pytest.mark.parametrize("name", ["darken", "histogram", "enhance", "smooth"])
def test_a_constant_image_stays_as_it_is(name) -> None:
    image = np.full((3, 9, 9), 0.4, np.float32)
    out = augment_intensity(image, only(name), np.random.default_rng(1))
    assert_allclose(out, image, rtol=1e-5)


def test_each_of_mediars_changes_comes_for_a_quarter_of_the_images() -> None:
    names = [name for name in PROBABILITIES if getattr(MEDIAR_INTENSITY, name) > 0]
    assert names == [
        f"{name}_probability" for name in ("noise", "darken", "smooth", "histogram", "enhance")
    ]
    image = random_image()
    for name in names:
        alone = replace(MEDIAR_INTENSITY, **{other: 0.0 for other in names if other != name})
        changed = [
            not np.array_equal(augment_intensity(image, alone, np.random.default_rng(seed)), image)
            for seed in range(400)
        ]
        assert np.mean(changed) == pytest.approx(0.25, abs=0.07)


def test_noise_may_differ_between_the_channels_of_a_gray_image() -> None:
    apart = replace(only("noise"), keep_gray=False)
    out = augment_intensity(gray_image(), apart, np.random.default_rng(1))
    assert not np.array_equal(out[0], out[1])
    difference = out[0] - gray_image()[0], out[1] - gray_image()[1]
    assert np.corrcoef(difference[0].ravel(), difference[1].ravel())[0, 1] < 0.2


def test_values_beyond_the_range_are_kept_where_that_is_asked_for() -> None:
    image = np.full((1, 4, 4), 5.0, np.float32)
    assert augment_intensity(image, NOTHING, np.random.default_rng(0)).max() == 3.0
    unlimited = replace(NOTHING, clip=False)
    assert augment_intensity(image, unlimited, np.random.default_rng(0)).max() == 5.0


def test_same_generator_gives_the_same_image() -> None:
    outs = [
        augment_intensity(random_image(), IntensityAugmentation(), np.random.default_rng(9))
        for _ in range(2)
    ]
    assert_array_equal(*outs)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"noise_probability": 1.1}, "noise_probability in 0 to 1, but got 1.1"),
        ({"blur": -1.0}, "blur to be at least 0, but got -1.0"),
        ({"gamma": 0.5}, "gamma and contrast of at least 1"),
        ({"photons": 0.0}, "photons above 0"),
        ({"darken": (0.5, 2.0)}, "darken to start at 1 or above"),
        ({"histogram_points": 2}, "histogram_points of at least 3"),
        ({"enhance": (30.0, 10.0)}, r"enhance to be a range of at least 0, but got \(30.0, 10.0\)"),
    ],
)
def test_settings_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        IntensityAugmentation(**values)
