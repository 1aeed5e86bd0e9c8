"""Intensities change, geometry does not, gray stays gray."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import SEEDS

from pancyte.augment.intensity import IntensityAugmentation, augment_intensity

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
    ["brightness", "gamma", "blur", "sharpen", "noise", "shot_noise", "shading", "invert"],
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
    ],
)
def test_settings_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        IntensityAugmentation(**values)
