import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.ops.preprocess import (
    Preprocessing,
    map_channels,
    normalization_range,
    preprocess,
    shown_channels,
)


def test_joint_normalization_keeps_the_proportions_of_channels():
    pixels = np.stack([np.linspace(0, 100, 1000), np.linspace(0, 10, 1000)]).reshape(2, 10, 100)
    settings_ = Preprocessing(percentiles=(0.0, 100.0))

    normalized = preprocess(pixels, settings_)

    assert normalized.max(axis=(1, 2)) == pytest.approx([1.0, 0.1, 0.0])


def test_channel_normalization_stretches_each_channel():
    pixels = np.stack([np.linspace(0, 100, 1000), np.linspace(0, 10, 1000)]).reshape(2, 10, 100)
    settings_ = Preprocessing(percentiles=(0.0, 100.0), normalization="channel")

    low, high = normalization_range(pixels, settings_)

    assert (low.tolist(), high.tolist()) == ([0, 0], [100, 10])
    assert preprocess(pixels, settings_).max(axis=(1, 2)) == pytest.approx([1.0, 1.0, 0.0])


@given(
    st.floats(0.1, 1000.0),
    st.floats(-1000.0, 1000.0),
    st.sampled_from(["joint", "channel"]),
)
@settings(max_examples=30, deadline=None)
def test_preprocess_does_not_depend_on_gain_and_offset(gain, offset, normalization):
    pixels = np.random.RandomState(0).normal(size=(2, 12, 13))
    settings_ = Preprocessing(normalization=normalization)

    changed = preprocess(gain * pixels + offset, settings_)

    np.testing.assert_allclose(changed, preprocess(pixels, settings_), atol=1e-4)


def test_preprocess_of_black_images_is_zero():
    assert not preprocess(np.zeros((1, 5, 5)), Preprocessing()).any()


def test_map_channels_repeats_gray_and_fills_up_two_channels():
    gray = np.ones((1, 2, 2), dtype=np.float32)
    two = np.stack([gray[0], 2 * gray[0]])

    assert map_channels(gray, 3)[:, 0, 0].tolist() == [1, 1, 1]
    assert map_channels(two, 3)[:, 0, 0].tolist() == [1, 2, 0]
    assert map_channels(two, 2)[:, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("count", [0, 4, 30])
def test_map_channels_refuses_more_than_the_network_has(count):
    with pytest.raises(ValueError, match=f"1 to 3 channels, but got {count}$"):
        map_channels(np.zeros((count, 2, 2), dtype=np.float32), 3)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"channels": 0}, "channels to be at least 1, but got 0"),
        ({"percentiles": (50.0, 50.0)}, r"percentiles to ascend .* got \(50.0, 50.0\)"),
        ({"percentiles": (-1.0, 50.0)}, "percentiles to ascend"),
        ({"diameter": 0.0}, "diameter to lie in 1 to 1000 pixels, but got 0.0"),
    ],
)
def test_preprocessing_refuses_values_out_of_range(settings_, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**settings_)


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("normalization", ["joint", "channel"])
@pytest.mark.parametrize("others", [0, 12])
def test_an_image_of_one_channel_alone_can_be_seen_as_gray(channel, normalization, others):
    gray = np.random.default_rng(0).integers(0, 4000, (1, 30, 40)).astype(np.uint16)
    image = np.full((3, 30, 40), others, np.uint16)
    image[channel] = gray[0]
    settings_ = Preprocessing(normalization=normalization, lone_channel="gray")
    np.testing.assert_array_equal(preprocess(image, settings_), preprocess(gray, settings_))
    kept = preprocess(image, Preprocessing(normalization=normalization))
    assert not np.array_equal(kept, preprocess(gray, settings_))


def test_a_trace_of_one_channel_in_the_others_is_nothing_to_see():
    generator = np.random.default_rng(0)
    gray = generator.integers(0, 4000, (1, 30, 40)).astype(np.uint16)
    image = np.repeat(gray, 3, axis=0) // np.array([1, 25, 60], np.uint16)[:, None, None]
    image[2, 3, 4] = 60_000  # a speck
    settings_ = Preprocessing(lone_channel="gray")
    np.testing.assert_array_equal(shown_channels(image, settings_), gray)
    # Where each channel is stretched, a dark one shows as much.
    stretched = Preprocessing(lone_channel="gray", normalization="channel")
    assert shown_channels(image, stretched) is image
    image[1] = gray[0] // 10
    assert shown_channels(image, settings_) is image


def test_a_few_pixels_in_one_channel_are_something_to_see():
    image = np.zeros((2, 40, 40), np.uint8)
    image[1, 5, 5] = 9
    np.testing.assert_array_equal(
        shown_channels(image, Preprocessing(lone_channel="gray")), image[1:]
    )


@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 8, 9), (2, 0, 9)])
def test_images_of_several_channels_or_none_stay_as_they_are(shape):
    image = np.random.default_rng(0).random(shape)
    settings_ = Preprocessing(lone_channel="gray")
    assert shown_channels(image, settings_) is image
    assert shown_channels(np.zeros(shape), settings_).shape == shape


def test_percentiles_of_the_pixels_that_are_not_zero() -> None:
    pixels = np.zeros((1, 20, 50), np.uint16)
    pixels[0, 0] = np.arange(1, 51)
    settings = Preprocessing(percentiles=(0.0, 100.0), percentiles_of="nonzero")
    low, high = normalization_range(pixels, settings)
    assert (low[0], high[0]) == (1, 50)
    low, high = normalization_range((pixels > 0).astype(np.uint8), settings)
    assert (low[0], high[0]) == (0, 1)
    assert normalization_range(np.zeros((2, 3, 3)), settings)[1].tolist() == [0, 0]
