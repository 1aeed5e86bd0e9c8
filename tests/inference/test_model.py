import logging
from dataclasses import replace

import numpy as np
import pytest
from tests.inference.stubs import BandNetwork, BrightNetwork, BrightTask, image_of_discs

from pancyte.errors import InputError, UsageError
from pancyte.inference.model import Model
from pancyte.inference.tiles import Tiling
from pancyte.inference.view import view_image
from pancyte.ops.labels import split_components
from pancyte.ops.preprocess import Preprocessing
from pancyte.types import Image

NATIVE = BrightTask(Preprocessing(percentiles=(0.0, 100.0), diameter=None))


def native_model(**settings):
    return Model(NATIVE, BrightNetwork(), tiling=Tiling(tile=64, overlap=16), **settings)


def band_model(low=15.0, high=60.0, **settings):
    return Model(BrightTask(), BandNetwork(low, high), **settings)


def assert_consistent(found, shape):
    """Labels fit the image and the table; ids are 1..n, each of one component."""
    assert found.labels.shape == (1, *shape)
    ids = np.unique(found.labels)
    count = found.objects.num_objects
    assert ids[ids > 0].tolist() == list(range(1, count + 1))
    assert split_components(found.labels[0]).max(initial=0) == count
    assert found.objects["label"].tolist() == list(range(1, count + 1))
    assert found.objects["area"].sum() == (found.labels > 0).sum()


def test_segment_returns_labels_and_a_measured_table():
    image = np.zeros((60, 100))
    image[10:20, 30:50] = 1.0
    image[40:60, 70:75] = 0.8

    found = native_model().segment(image, spacing=(0.5, 0.25))

    assert_consistent(found, (60, 100))
    table = found.objects
    assert table["class"].tolist() == ["object", "object"]
    assert table["score"].tolist() == [1.0, 0.5]
    assert table["area"].tolist() == [200, 100]
    assert table["centroid-0"].tolist() == [14.5, 49.5]
    assert table["intensity_mean-0"] == pytest.approx([1.0, 0.8])
    assert table["touches_border"].tolist() == [False, True]
    assert table["area_um2"].tolist() == [25.0, 12.5]
    assert (found.spacing, found.scale, found.warnings) == ((0.5, 0.25), 1.0, ())


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint16, np.float16, np.float64])
def test_segment_takes_arrays_of_any_real_type(dtype):
    image = np.zeros((30, 40))
    image[5:15, 5:15] = 1
    image = image.astype(dtype)
    image.setflags(write=False)

    found = native_model().segment(image)

    assert found.objects["area"].tolist() == [100]
    assert found.objects["intensity_mean-0"].tolist() == [1.0]


@pytest.mark.parametrize("axes", ["YXC", "CYX", "yxc", "YCX"])
def test_segment_takes_channels_where_the_axes_say(axes):
    planes = np.zeros((3, 30, 40), dtype=np.uint8)
    planes[0, 5:15, 5:15] = 200
    planes[1] = 7
    array = planes.transpose(["CYX".index(letter) for letter in axes.upper()])

    found = native_model().segment(array, axes=axes)

    assert found.objects["area"].tolist() == [100]
    assert found.objects["intensity_mean-1"].tolist() == [7.0]


def test_segment_uses_the_chosen_channels_in_their_order():
    planes = np.zeros((5, 30, 40), dtype=np.uint8)
    planes[3, 5:15, 5:15] = 200

    found = native_model().segment(planes, axes="CYX", channels="3,0")

    assert found.objects["area"].tolist() == [100]
    assert found.objects["intensity_mean-0"].tolist() == [200.0]
    assert "intensity_mean-2" not in found.objects


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3, 2), (5000, 1)])
@pytest.mark.parametrize("value", [0, 65535])
def test_segment_of_tiny_and_constant_images_finds_nothing(shape, value):
    found = band_model().segment(np.full(shape, value, dtype=np.uint16))

    assert_consistent(found, shape)
    assert found.objects.num_objects == 0
    line = "No objects were found: all pixels of the image are equal. Check that it was saved as"
    assert [warning.startswith(line) for warning in found.warnings] == [True]


def test_what_is_said_of_constant_images_is_not_said_of_others():
    image = np.zeros((2, 40, 50), np.uint8)
    image[1, 0, 0] = 1
    said = band_model().segment(image, axes="CYX").warnings[-1]
    assert said.startswith("No objects were found")
    assert "equal" not in said
    image[1] = 7  # each channel constant, with a value of its own
    assert "are equal" in band_model().segment(image, axes="CYX").warnings[-1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.bool_])
def test_pixels_of_few_bits_are_not_copied_and_give_the_same(dtype, monkeypatch):
    image = (image_of_discs((64, 96), 14) > 0).astype(dtype) * dtype(True)
    seen = []
    monkeypatch.setattr(
        "pancyte.inference.model.view_image",
        lambda pixels, settings: seen.append(pixels) or view_image(pixels, settings),
    )
    small, large = native_model().segment(image), native_model().segment(image.astype(np.float32))
    assert np.shares_memory(seen[0], image)
    assert [pixels.dtype for pixels in seen][1:] == [np.float32]
    np.testing.assert_array_equal(small.labels, large.labels)
    for name, column in small.objects.items():
        np.testing.assert_array_equal(column, large.objects[name])


def test_an_image_whose_labels_do_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr("pancyte.inference.inputs.available_memory", lambda: 64 * 96 * 8 - 1)
    message = "labels of 64 x 96 pixels take 49152 bytes of memory, but 49151 bytes may be used"
    with pytest.raises(InputError, match=message):
        native_model().segment(np.zeros((64, 96), np.uint8))
    native_model().segment(np.zeros((64, 95), np.uint8))


def test_segment_of_an_image_smaller_than_its_object():
    image = np.full((6, 9), 50, dtype=np.uint8)
    image[0, 0] = 0

    found = native_model().segment(image)

    assert_consistent(found, (6, 9))
    assert found.objects["touches_border"].tolist() == [True]


@pytest.mark.parametrize("diameter", [8.0, 30.0, 100.0])
def test_segment_estimates_the_size_and_resizes(diameter):
    image = image_of_discs((int(diameter * 8), int(diameter * 6)), diameter)

    found = band_model().segment(image)

    assert_consistent(found, image.shape)
    assert found.objects.num_objects == 12
    assert 0.8 <= found.scale * diameter / 30.0 <= 1.25
    assert np.median(found.objects["diameter"]) == pytest.approx(diameter, rel=0.1)
    assert found.warnings == ()
    truth = image > 100
    overlap = (found.labels[0] > 0) & truth
    assert overlap.sum() / ((found.labels[0] > 0) | truth).sum() > 0.8


@pytest.mark.parametrize("diameter", [7.5, 60.0])
def test_segment_resizes_by_the_given_diameter(diameter):
    image = image_of_discs((240, 240), diameter)

    found = band_model().segment(image, diameter=diameter)

    assert found.scale == 30.0 / diameter
    assert_consistent(found, (240, 240))
    assert found.objects.num_objects == round(240 / 2 / diameter) ** 2


def test_segment_of_a_large_image_estimates_in_samples(monkeypatch):
    monkeypatch.setattr("pancyte.inference.passes._SAMPLE_PIXELS", 200 * 200)
    image = image_of_discs((600, 600), 15.0)
    tiles = []

    found = band_model().segment(image, on_tile=lambda done, total: tiles.append((done, total)))

    assert found.objects.num_objects == 400
    assert found.scale == pytest.approx(2.0, rel=0.2)
    assert tiles.count((1, 1)) >= 8


def test_objects_that_vanish_when_shrunk_leave_the_table():
    image = np.zeros((40, 40), dtype=np.uint8)
    image[20:30, 20:30] = 200

    class Speckled(BrightTask):
        """Adds single pixels at the scale of the network, which no pixel of the image shows."""

        def decode(self, maps, *, scale=1.0, part=None):
            scalars = maps.scalars.copy()
            scalars[0, 1:8:4, 1:40:4] = 1.0
            return super().decode(replace(maps, scalars=scalars), scale=scale, part=part)

    found = Model(Speckled(), BrightNetwork()).segment(image, diameter=7.5)

    assert found.scale == 4.0
    assert_consistent(found, (40, 40))
    scores = found.objects["score"]
    assert found.labels[0, 25, 25] == found.objects.num_objects
    assert scores[-1] == 0.5
    assert len(scores) < 20


def test_a_diameter_that_does_not_fit_is_said():
    image = image_of_discs((200, 200), 25.0)

    found = band_model(low=1.0, high=500.0).segment(image, diameter=100.0)

    assert "median diameter of 2" in found.warnings[0]
    assert "100 was given" in found.warnings[0]


def test_objects_of_a_size_outside_of_training_are_said(caplog):
    model = Model(
        NATIVE, BrightNetwork(), manifest={"provenance": {"diameters": [20.0, 30.0, 60.0]}}
    )
    image = image_of_discs((200, 200), 10.0)

    with caplog.at_level(logging.WARNING):
        found = model.segment(image)

    assert "outside of the 20 to 60 that it was trained on" in found.warnings[0]
    assert not caplog.records  # who asked decides what is said, and about which file
    assert model.segment(image_of_discs((200, 200), 30.0)).warnings == ()


def test_the_size_is_estimated_by_one_network_without_flips():
    class Counting(BandNetwork):
        looks = 0

        def forward(self, images):
            self.looks += 1
            return super().forward(images)

    def looks(flips, *others):
        one, more = Counting(15.0, 60.0), [Counting(15.0, 60.0) for _ in others]
        members = tuple(Model(BrightTask(), network) for network in more)
        model = Model(BrightTask(), one, flips=flips, others=members)
        found = model.segment(image_of_discs((240, 240), 30.0))
        assert found.objects.num_objects == 16
        return one.looks, *(network.looks for network in more)

    (plain,) = looks(1)
    assert plain > 1
    assert looks(8) == (plain + 8,)
    assert looks(1, "other") == (plain + 1, 1)


def test_sizes_outside_of_the_training_of_any_model_are_said():
    def trained(low, high, **settings):
        manifest = {"provenance": {"diameters": [low, 30.0, high]}}
        return Model(NATIVE, BrightNetwork(), manifest=manifest, **settings)

    image = image_of_discs((200, 200), 25.0)
    for other, words in ((28.0, "outside of the 28 to 50"), (10.0, None), (70.0, None)):
        both = trained(20.0, 60.0, others=(trained(other, other + 22.0),))
        warnings = both.segment(image).warnings
        assert (words in warnings[0]) if words else not warnings


def test_a_scale_beyond_what_is_possible_is_said():
    found = band_model().segment(image_of_discs((40, 40), 20.0), diameter=1.0)

    assert found.scale == 8.0
    assert "resized by 8 and not by 30" in found.warnings[0]


def test_pixels_that_are_not_finite_are_replaced_and_said():
    image = np.zeros((30, 40))
    image[5:15, 5:15] = 1.0
    image[0, :3] = np.nan, np.inf, -np.inf

    found = native_model().segment(image)

    assert found.objects["area"].tolist() == [100]
    assert found.warnings[0].startswith("3 pixels were NaN or infinite")
    assert np.isnan(image[0, 0])


def test_settings_of_one_call_do_not_reach_the_next():
    model = band_model()
    image = image_of_discs((240, 180), 30.0)
    planes = np.stack([np.zeros_like(image), image])
    before = model.segment(image)

    model.segment(image, diameter=15.0, spacing=(2.0, 2.0))
    model.segment(planes, axes="CYX", channels="1")
    after = model.segment(image)

    assert (after.labels == before.labels).all()
    assert (after.scale, after.spacing, after.warnings) == (1.0, None, ())
    assert set(after.objects) == set(before.objects)


def test_segment_takes_an_image_and_a_file(tmp_path):
    import tifffile

    pixels = image_of_discs((120, 120), 30.0)
    tifffile.imwrite(tmp_path / "a.tif", pixels)

    from_file = band_model().segment(tmp_path / "a.tif")
    from_text = band_model().segment(str(tmp_path / "a.tif"))
    from_image = band_model().segment(Image(pixels[None].astype(np.float32), (0.5, 0.5)))

    assert (from_file.labels == from_image.labels).all()
    assert (from_text.labels == from_image.labels).all()
    assert from_image.spacing == (0.5, 0.5)
    assert "area_um2" in from_image.objects


@pytest.mark.parametrize("axes", ["ZYX", "ZCYX"])
def test_a_stack_is_refused_with_a_sentence(axes):
    array = np.zeros((30, 2, 20, 20) if "C" in axes else (30, 20, 20), dtype=np.uint8)

    advice = "projection" if "C" in axes else 'Python axes="CYX", channels="15"'
    with pytest.raises(UsageError, match=f"stack of 30 slices .*models segment planes.*{advice}"):
        native_model().segment(array, axes=axes)
    with pytest.raises(UsageError, match="the image: is a stack of 30 slices .* Give one slice"):
        native_model().segment(Image(np.zeros((1, 30, 20, 20), np.float32)))


def test_channels_that_are_neither_one_nor_all_are_said():
    image = np.stack([image_of_discs((120, 120), 30)] * 3)
    line = (
        "The image has 2 channels: they are seen as the first 2 of the 3 that the network takes, "
        "and the last is empty."
    )
    said = [
        warning
        for count in (1, 2, 3)
        for warning in native_model().segment(image[:count], axes="CYX").warnings
    ]
    assert [text.startswith(line) for text in said] == [True]
    assert native_model().segment(image, axes="CYX", channels="1").warnings == ()


@pytest.mark.parametrize("shape", [(30, 64, 64), (64, 64, 3), (3, 64, 64)])
def test_a_third_axis_is_asked_for_and_not_guessed(shape):
    with pytest.raises(InputError, match="does not say what each axis is. Give --axes"):
        native_model().segment(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ([[1, 2], [3, 4]], {}, "numpy array, a path or an Image .* got list"),
        (np.zeros(5), {}, r"rows and columns to segment, but got shape \(5,\)"),
        (np.zeros((0, 5)), {}, "at least one pixel"),
        (np.zeros((5, 5), dtype=complex), {}, "real numbers to segment, but got type complex128"),
        (np.array([["a"]]), {}, "real numbers to segment"),
        (np.zeros((5, 5)), {"axes": "CYX"}, "names 3 axes, but the file has 2"),
        (
            np.zeros((4, 5, 5)),
            {"axes": "CYX"},
            "^the array: .*1 to 3 channels, but got 4.*--channels",
        ),
        (np.full((5, 5), np.nan), {}, "^the array: channel 0 holds no finite pixel"),
        (
            Image(np.full((1, 5, 5), np.inf, np.float32)),
            {},
            "^the image: channel 0 holds no finite",
        ),
        (np.zeros((5, 5)), {"channels": "1"}, "has no channel '1'"),
        (np.zeros((5, 5)), {"spacing": (1.0,)}, "2 positive micrometre values"),
        (np.zeros((5, 5)), {"spacing": (1.0, -1.0)}, "2 positive micrometre values"),
        (np.zeros((5, 5)), {"diameter": 0.0}, "diameter to be a positive number.* got 0.0"),
        (np.zeros((5, 5)), {"diameter": float("nan")}, "diameter to be a positive number"),
        (Image(np.zeros((1, 5, 5), np.float32)), {"axes": "CYX"}, "leave axes out"),
    ],
)
def test_segment_refuses_what_it_cannot_mean(source, settings, message):
    with pytest.raises(UsageError, match=message):
        band_model().segment(source, **settings)


def test_a_diameter_is_refused_where_it_would_change_nothing():
    with pytest.raises(UsageError, match="diameter 20.0: the model .* at its own scale"):
        native_model().segment(np.zeros((5, 5)), diameter=20.0)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="missing.tif"):
        native_model().segment(tmp_path / "missing.tif")


def test_notes_about_reading_a_file_are_among_the_warnings(tmp_path):
    from PIL import Image as PillowImage

    rgba = np.zeros((20, 30, 4), dtype=np.uint8)
    rgba[5:15, 5:15, :3] = 200
    rgba[..., 3] = 128
    PillowImage.fromarray(rgba).save(tmp_path / "a.png")

    found = native_model().segment(tmp_path / "a.png")

    assert any("the alpha channel was dropped" in warning for warning in found.warnings)


def test_too_many_channels_in_a_file_name_the_file(tmp_path):
    import tifffile

    planes = np.zeros((4, 20, 20), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "four.tif", planes, imagej=True, metadata={"axes": "CYX"})

    with pytest.raises(UsageError, match=r"four\.tif: Expected an image of 1 to 3 channels"):
        native_model().segment(tmp_path / "four.tif")


def test_a_model_prints_as_one_line():
    model = Model(NATIVE, BrightNetwork(), name="bright")
    assert repr(model) == f"Model('bright', classes={NATIVE.classes}, precision='float32')"
