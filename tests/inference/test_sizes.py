import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inference.stubs import BandNetwork, BrightTask, SizingNetwork, image_of_discs

from pancyte.errors import CheckpointError
from pancyte.inference.model import Model
from pancyte.inference.passes import Passes
from pancyte.inference.scale import Probe, Settled
from pancyte.inference.sizes import Look, look_at, settle_by_sizes, typical_size
from pancyte.inference.tta import Predictor
from pancyte.inference.view import view_image
from pancyte.inference.windows import content_at
from pancyte.nn.architectures import Compact
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask

SHAPE = (500, 600)
TARGET = 30.0


def cells_of(diameters, *, target=TARGET):
    """Probabilities and sizes of the cells of objects, as a look has them."""
    cells = [max(1, round(np.pi / 4 * diameter**2 / 16)) for diameter in diameters]
    sizes = np.repeat(np.log2(np.asarray(diameters) / target), cells)
    return np.ones(len(sizes), np.float32), sizes.astype(np.float32)


@given(st.lists(st.floats(12.0, 200.0), min_size=1, max_size=15))
@settings(max_examples=50, deadline=None)
def test_typical_size_is_that_of_a_middling_object_and_not_of_pixels(diameters):
    size = typical_size(*cells_of(diameters), target=TARGET)

    # Cells are whole, so that objects count a little more or less than one.
    ordered = np.sort(diameters)
    low, high = int(0.3 * len(ordered)) - 1, int(np.ceil(0.3 * len(ordered)))
    assert size >= ordered[max(0, low)] * 0.99
    assert size <= ordered[min(len(ordered) - 1, high)] * 1.01


def test_typical_size_does_not_believe_in_clouds_of_specks():
    probabilities, sizes = cells_of([40.0] * 10)
    specks = np.full(20, np.log2(0.5 / TARGET), np.float32)

    size = typical_size(
        np.concatenate([probabilities, np.ones(20, np.float32)]),
        np.concatenate([sizes, specks]),
        target=TARGET,
    )

    # 20 cells of 16 pixels are as many objects of 4 pixels as 25, which would win; a tenth do not.
    assert size == pytest.approx(0.5)
    size = typical_size(
        np.concatenate([probabilities, np.ones(2, np.float32)]),
        np.concatenate([sizes, specks[:2]]),
        target=TARGET,
    )
    assert size == pytest.approx(40.0, rel=1e-3)


@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_typical_size_of_what_is_no_object_is_none(probability):
    assert typical_size(np.full(50, probability), np.zeros(50), target=TARGET) is None


def test_typical_size_of_a_corner_of_an_object_is_none():
    probabilities, sizes = np.zeros(500), np.zeros(500)
    probabilities[:3] = 1.0

    assert typical_size(probabilities, sizes + 1.0, target=TARGET) is None
    assert typical_size(np.zeros(0), np.zeros(0), target=TARGET) is None


def world_of(true, *, low=12.0, high=75.0, reach=4.0, found=None):
    """Looks and probes of an image whose objects have one diameter, and what was asked."""
    looks, probes = [], []

    def look(scale):
        looks.append(scale)
        seen = np.clip(true * scale, TARGET / reach, TARGET * reach)
        return Look(scale, None if true * scale < 3.0 else seen / scale)

    def probe(scale):
        probes.append(scale)
        visible = low <= true * scale <= high
        return Probe(scale, (found or true) if visible else None, 0.3 if visible else 0.0)

    return look, probe, looks, probes


@pytest.mark.parametrize("true", [5.0, 7.0, 15.0, 26.0, 30.0, 36.0, 60.0, 150.0, 400.0, 1200.0])
def test_settle_by_sizes_segments_once_at_the_right_scale(true):
    look, probe, looks, probes = world_of(true)

    settled = settle_by_sizes(look, probe, SHAPE, target=TARGET)

    assert 0.75 <= settled.scale * true / TARGET <= 1.34
    assert settled.diameter == pytest.approx(true, rel=0.3)
    assert settled.warnings == ()
    assert probes == [settled.scale]
    assert len(looks) <= 6


def test_settle_by_sizes_takes_one_look_and_one_at_a_quarter_where_the_size_is_right():
    look, probe, looks, probes = world_of(33.0)

    assert settle_by_sizes(look, probe, SHAPE, target=TARGET) == Settled(1.0, 33.0)
    assert (looks, probes) == ([1.0, 0.25], [1.0])


def test_settle_by_sizes_looks_elsewhere_where_nothing_is_seen():
    look, probe, looks, _ = world_of(2.0)

    settled = settle_by_sizes(look, probe, SHAPE, target=TARGET)

    assert looks[:3] == [1.0, 0.5, 2.0]
    assert max(looks) == settled.scale == 6.0
    assert "smaller than what the model can outline (5 pixels and more)" in settled.warnings[0]
    assert "resized by 6 and not by 15" in settled.warnings[0]


def test_settle_by_sizes_says_what_is_too_small_also_where_it_comes_near_to_the_target():
    look, probe, _, probes = world_of(4.5)

    settled = settle_by_sizes(look, probe, SHAPE, target=TARGET)

    assert (settled.scale, probes) == (6.0, [6.0])
    assert settled.warnings[0].startswith("What is seen has about 4.5 pixels, smaller than what")


def test_settle_by_sizes_is_none_for_a_network_that_knows_no_sizes():
    def probe(scale):
        raise AssertionError(scale)

    assert settle_by_sizes(lambda scale: None, probe, SHAPE, target=TARGET) is None


@pytest.mark.parametrize(("seen", "count"), [(None, 1), (30.0, 1), (60.0, 2)])
def test_settle_by_sizes_of_an_empty_image_segments_at_no_scale_twice(seen, count):
    probes = []

    def probe(scale):
        probes.append(scale)
        return Probe(scale, None, 0.0)

    settled = settle_by_sizes(lambda scale: Look(scale, seen), probe, SHAPE, target=TARGET)

    assert settled == Settled(1.0, None)
    assert len(set(probes)) == len(probes) == count
    assert 1.0 in probes


def test_settle_by_sizes_takes_the_nearest_look_where_looks_run_out():
    # Whatever is done, objects seem larger than the target, and nearest to it in the third look.
    looks = []

    def look(scale):
        looks.append(scale)
        excess = 0.25 if len(looks) == 3 else 0.5
        return Look(scale, 2.0**excess * TARGET / scale)

    settled = settle_by_sizes(look, always_found, SHAPE, target=TARGET)

    assert len(looks) == 8  # seven, and one at a quarter
    assert settled.scale == looks[2]
    assert settled.diameter == pytest.approx(2.0**0.25 * TARGET / looks[2])


@pytest.mark.parametrize("seen", [None, 400.0])
def test_settle_by_sizes_asks_the_objects_where_sizes_lead_nowhere(seen):
    _, probe, _, _ = world_of(60.0)

    settled = settle_by_sizes(lambda scale: Look(scale, seen), probe, SHAPE, target=TARGET)

    assert settled == Settled(0.5, 60.0)


@pytest.mark.parametrize(("cover", "scale"), [(0.19, 0.25), (0.08, 1.0)])
def test_settle_by_sizes_prefers_objects_of_which_parts_look_like_objects(cover, scale):
    # Cells of 120 pixels with specks of 30, or clusters of 120 pixels of objects of 30.
    def look(scale):
        return Look(scale, 30.0 if scale > 0.5 else 120.0)

    def probe(scale):
        return Probe(scale, 30.0, 0.05) if scale > 0.5 else Probe(scale, 120.0, cover)

    settled = settle_by_sizes(look, probe, SHAPE, target=TARGET)

    assert settled == Settled(scale, TARGET / scale)


@pytest.mark.parametrize(("cover", "believed"), [(0.3, True), (0.1, True), (0.05, False)])
def test_settle_by_sizes_believes_objects_of_the_size_at_which_they_are_found(cover, believed):
    def probe(scale):
        return Probe(scale, 90.0, 0.2 if scale > 0.5 else cover)

    settled = settle_by_sizes(lambda scale: Look(scale, 30.0), probe, SHAPE, target=TARGET)

    assert (settled.scale, settled.diameter) == (1 / 3 if believed else 1.0, 90.0)
    assert bool(settled.warnings) != believed


def test_settle_by_sizes_warns_where_nothing_agrees():
    def probe(scale):
        return Probe(scale, 10.0 / scale, 0.2)

    settled = settle_by_sizes(lambda scale: Look(scale, 30.0), probe, SHAPE, target=TARGET)

    assert settled.scale == 1.0
    assert (
        "could not be settled: it looks like 30 pixels, but the objects found have 10"
        in settled.warnings[0]
    )


def always_found(scale):
    """A probe that never disagrees."""
    return Probe(scale, TARGET / scale, 0.3)


@given(st.floats(4.0, 600.0), st.floats(0.4, 1.0))
@settings(max_examples=50, deadline=None)
def test_settle_by_sizes_gets_there_with_looks_that_say_too_little(true, trust):
    # What is seen lies between what is there and what the network knows best.
    def look(scale):
        return Look(scale, TARGET * (true * scale / TARGET) ** trust / scale)

    settled = settle_by_sizes(look, always_found, SHAPE, target=TARGET)

    assert abs(np.log2(settled.scale * true / TARGET)) <= np.log2(1.25) / trust + 1e-6


def test_settle_by_sizes_leaves_a_plateau_with_growing_steps():
    # As phase contrast of cells of 160 pixels was seen: a little too large, again and again.
    looks = []

    def look(scale):
        looks.append(scale)
        seen = 1.3 if scale > 0.25 else 160.0 * scale / TARGET
        return Look(scale, TARGET * seen / scale)

    settled = settle_by_sizes(look, always_found, SHAPE, target=TARGET)

    assert 0.75 <= settled.scale * 160.0 / TARGET <= 1.34
    assert len(looks) <= 7


def test_settle_by_sizes_halves_the_way_between_too_small_and_too_large():
    looks = []

    def look(scale):
        looks.append(scale)
        return Look(scale, (2.0 if scale > 0.7 else 0.6) * TARGET / scale)

    settled = settle_by_sizes(look, always_found, SHAPE, target=TARGET)

    assert 0.6 < settled.scale < 0.85
    assert len(looks) <= 7


def test_settle_by_sizes_goes_half_way_back_where_nothing_is_seen():
    def look(scale):
        return Look(scale, None if scale < 0.4 else 100.0 if scale > 0.9 else TARGET / scale)

    settled = settle_by_sizes(look, always_found, SHAPE, target=TARGET)

    assert settled.scale == pytest.approx(np.sqrt(0.3))


def test_settle_by_sizes_stays_where_all_else_shows_nothing():
    def look(scale):
        return Look(scale, 100.0 if scale == 1.0 else None)

    settled = settle_by_sizes(look, always_found, SHAPE, target=TARGET)

    assert settled.scale == pytest.approx(0.3)


def sized_model(network, **changes):
    return Model(BrightTask(), network, **changes)


@pytest.mark.parametrize("diameter", [8.0, 30.0, 100.0])
def test_segment_finds_the_scale_by_sizes(diameter):
    network = SizingNetwork(15.0, 60.0)
    image = image_of_discs((int(diameter * 8), int(diameter * 6)), diameter)

    found = sized_model(network).segment(image)

    assert found.objects.num_objects == 12
    assert 0.75 <= found.scale * diameter / 30.0 <= 1.34
    assert found.warnings == ()
    assert 1 <= len(network.looks) <= 7


def test_segment_of_a_large_image_looks_at_samples(monkeypatch):
    monkeypatch.setattr("pancyte.inference.passes._LOOK_PIXELS", 6 * 192**2)
    network = SizingNetwork(15.0, 60.0)

    found = sized_model(network).segment(image_of_discs((600, 600), 20.0, spacing=1.5))

    assert found.objects.num_objects == 400
    assert found.scale == pytest.approx(1.5, rel=0.2)
    # All looks together are less than the image as the network sees it.
    assert sum(np.prod(shape[2:]) for shape in network.looks) < 900 * 900


def test_segment_with_a_wrong_size_head_still_finds_the_objects():
    image = image_of_discs((480, 360), 60.0)

    found = sized_model(SizingNetwork(15.0, 70.0, wrong=0.1)).segment(image)

    assert 0.75 <= found.scale * 60.0 / 30.0 <= 1.34


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (3, 2), (200, 1)])
@pytest.mark.parametrize("value", [0, 65535])
def test_segment_by_sizes_of_tiny_and_constant_images_finds_nothing(shape, value):
    found = sized_model(SizingNetwork(15.0, 60.0)).segment(np.full(shape, value, dtype=np.uint16))

    assert found.objects.num_objects == 0
    assert "No objects were found" in found.warnings[0]


def test_segment_by_sizes_of_an_object_larger_than_the_image():
    image = np.full((300, 300), 200, np.uint8)
    image[:4] = 10

    found = sized_model(SizingNetwork(15.0, 60.0)).segment(image)

    assert found.objects.num_objects == 1
    assert found.scale < 0.5


def test_sizes_are_those_of_the_first_network_without_flips():
    first = SizingNetwork(15.0, 60.0)
    second = SizingNetwork(15.0, 60.0)
    model = sized_model(first, others=(sized_model(second),), flips=4)

    model.segment(image_of_discs((240, 180), 30.0))

    assert len(first.looks) == 2
    assert second.looks == []


def test_look_at_leaves_out_what_is_beyond_the_image():
    network = SizingNetwork(15.0, 60.0)
    image = np.zeros((50, 61), np.float32)
    image[40:, 50:] = 1.0
    view = view_image(image[None], BrightTask().preprocessing)

    probabilities, sizes = look_at(Predictor(((BrightTask(), network),)), [view], tile=64)

    assert network.looks == [(1, 3, 64, 64)]
    assert len(probabilities) == len(sizes) == 13 * 16
    # A cell at the end has its middle beyond the image, where the object is mirrored.
    assert probabilities.sum() == 3 * 4


def test_look_at_is_none_without_a_network_that_knows_sizes():
    view = view_image(np.zeros((1, 40, 40), np.float32), BrightTask().preprocessing)
    plain = FlowTask(architecture=Compact(decoder_channels=(8, 8, 8, 8, 8)))

    assert look_at(Predictor(((BrightTask(), BandNetwork(1, 2)),)), [view], tile=32) is None
    assert look_at(Predictor(((plain, plain.network()),)), [view], tile=32) is None


def test_look_at_a_trained_network_leaves_it_in_training():
    task = FlowTask(
        architecture=Compact(decoder_channels=(8, 8, 8, 8, 8), sizes=True),
        preprocessing=Preprocessing(diameter=30.0),
    )
    network = task.network().train()
    view = view_image(np.zeros((1, 40, 70), np.float32), task.preprocessing)

    probabilities, sizes = look_at(Predictor(((task, network),)), [view], tile=96)

    assert network.training
    assert probabilities.shape == sizes.shape == (10 * 18,)
    assert probabilities.dtype == sizes.dtype == np.float32


def test_sizes_that_are_not_finite_are_an_error():
    task = FlowTask(architecture=Compact(decoder_channels=(8, 8, 8, 8, 8), sizes=True))
    network = task.network()
    with torch.no_grad():
        network.size_head[2].bias.fill_(float("nan"))

    with pytest.raises(CheckpointError, match="not finite"):
        next(
            Predictor(((task, network),)).sizes_each(
                [np.zeros((1, 3, 32, 32), np.float32)], count=1
            )
        )


def test_a_given_diameter_needs_no_look():
    network = SizingNetwork(15.0, 60.0)
    model = replace(sized_model(network))

    assert model.segment(image_of_discs((120, 120), 15.0), diameter=15.0).scale == 2.0
    assert network.looks == []


@pytest.mark.parametrize(("most", "flips", "passes"), [(2**24, 1, 1), (2**14, 1, 7), (2**24, 8, 7)])
def test_a_scale_is_checked_on_the_final_segmentation_or_on_a_sample(
    monkeypatch, most, flips, passes
):
    monkeypatch.setattr("pancyte.inference.passes._CHECK_PIXELS", most)
    monkeypatch.setattr("pancyte.inference.passes._CHECK_SAMPLE_PIXELS", 100 * 100)
    seen = []

    found = sized_model(SizingNetwork(15.0, 60.0), flips=flips).segment(
        image_of_discs((600, 600), 30.0), on_tile=lambda done, total: seen.append(done)
    )

    assert found.objects.num_objects == 100
    assert seen.count(1) == passes


def sparse_image(side=600, *, diameter=10.0):
    """A dark image with discs in its upper left corner of 160 pixels."""
    image = np.full((side, side), 10, np.uint8)
    image[:160, :160] = image_of_discs((160, 160), diameter)
    return image


def small_samples(monkeypatch):
    for name in ("_LOOK_PIXELS", "_CHECK_PIXELS", "_CHECK_SAMPLE_PIXELS", "_SAMPLE_PIXELS"):
        monkeypatch.setattr(f"pancyte.inference.passes.{name}", 6 * 192**2)


def test_objects_in_a_corner_of_a_large_image_are_found(monkeypatch):
    small_samples(monkeypatch)
    image = sparse_image()

    found = sized_model(SizingNetwork(15.0, 60.0)).segment(image)

    alone = sized_model(SizingNetwork(15.0, 60.0)).segment(image[:160, :160])
    assert found.objects.num_objects == alone.objects.num_objects == 64
    assert found.scale == pytest.approx(alone.scale, rel=0.25)
    assert found.warnings == ()


class Plain(SizingNetwork):
    """Counts the pixels of what is looked at."""

    def pixels(self):
        return sum(int(np.prod(shape[2:])) for shape in self.looks)


@pytest.mark.parametrize("network", [SizingNetwork, BandNetwork])
def test_all_of_an_image_is_looked_at_where_samples_show_nothing(monkeypatch, network):
    # Windows that are misled: by content they are where nothing is.
    small_samples(monkeypatch)
    monkeypatch.setattr(
        "pancyte.inference.passes.content_of",
        lambda view: content_at(view.shape, np.array([550.0]), np.array([550.0])),
    )

    found = sized_model(network(15.0, 60.0)).segment(sparse_image())

    assert found.objects.num_objects == 64
    assert found.scale == pytest.approx(3.0, rel=0.25)
    assert found.warnings == ()


@pytest.mark.parametrize("bound", [2**24, 2**16])
def test_a_look_at_all_of_an_image_is_bounded(monkeypatch, bound):
    small_samples(monkeypatch)
    monkeypatch.setattr("pancyte.inference.passes._ALL_PIXELS", bound)
    network = Plain(15.0, 60.0)
    image = np.full((700, 700), 10, np.uint8)
    image[0, 0] = 11

    (line,) = sized_model(network).segment(image).warnings

    assert line == "No objects were found. If there are some, give their diameter in pixels."
    # Samples at its own scale and twice it; half and a quarter are looked at as a whole.
    samples = 2 * 6 * 192**2 + 700**2 * (1 / 4 + 1 / 16)
    # All of it at both; or not larger than a sample, and not at all.
    everything = 700**2 * (1 + 4) if bound == 2**24 else 0
    assert samples + everything <= network.pixels() <= 1.2 * (samples + everything)


def test_what_only_the_final_pass_finds_is_returned_with_a_warning(monkeypatch):
    # As if neither the samples nor a look at all of the image had shown anything.
    monkeypatch.setattr("pancyte.inference.passes.Passes.settle", lambda *_: Settled(1.0, None))

    found = sized_model(SizingNetwork(15.0, 60.0)).segment(image_of_discs((120, 120), 30.0))

    assert found.objects.num_objects == 4
    (line,) = found.warnings
    assert line.startswith("The size of the objects could not be estimated, since samples")


class Watched(BrightTask):
    """Counts the label planes of whole images that are held at the same time."""

    def watch(self, size):
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "held", [])
        object.__setattr__(self, "most", [])

    def decode(self, maps, *, scale=1.0, part=None):
        found = super().decode(maps, scale=scale, part=part)
        self.held.append(weakref.ref(found.labels))
        alive = [labels() for labels in self.held]
        self.most.append(sum(labels is not None and labels.size == self.size for labels in alive))
        return found


@pytest.mark.parametrize(("held", "most"), [(2**25, 2), (2**16, 1)])
def test_labels_of_all_of_an_image_are_held_twice_at_most_and_of_a_large_one_once(
    monkeypatch, held, most
):
    monkeypatch.setattr("pancyte.inference.passes._HELD_PIXELS", held)
    task = Watched()
    task.watch(600 * 600)
    # Sizes and objects disagree, so that several scales are tried.
    model = Model(task, SizingNetwork(15.0, 70.0, wrong=0.5))

    found = model.segment(image_of_discs((600, 600), 60.0))

    assert found.objects.num_objects == 25
    assert len(task.most) >= 2
    assert max(task.most) == most


def test_the_final_pass_is_computed_while_no_other_is_held():
    task = Watched()
    task.watch(200 * 200)
    model = Model(task, SizingNetwork(15.0, 60.0))
    view = view_image(image_of_discs((200, 200), 30.0)[None], task.preprocessing)
    passes = Passes(task, model._predictor(), view, tiling=model.tiling, blocks=model.blocks)
    settled = passes.settle(30.0)
    kept = passes.segment(settled.scale)
    assert task.most == [1]
    del kept

    passes.settle(30.0)
    passes.segment(0.9)

    assert task.most == [1, 1, 1]
