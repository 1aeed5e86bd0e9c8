"""Samples depend on (seed, epoch, index) alone, and image and targets move together."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image as PillowImage
from tests.strategies import voronoi_cells
from torch.utils.data import DataLoader

from pancyte.augment.intensity import IntensityAugmentation, augment_intensity
from pancyte.augment.spatial import NO_SPATIAL, SpatialAugmentation, draw_matrix
from pancyte.data.datasets import PatchDataset, ReplayedDataset, Sampling
from pancyte.data.records import Record
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.types import Sample

SAMPLING = Sampling(patch=64)
TASK = FlowTask(preprocessing=Preprocessing(diameter=12.0))


def change(pixels, generator):
    return augment_intensity(pixels, IntensityAugmentation(), generator)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(11)
    made = []
    for k, (modality, diameter) in enumerate([("phase", 10), ("phase", 16), ("sem", 24)]):
        labels = voronoi_cells((100, 110), diameter, rng)
        pixels = (labels > 0) * 150 + rng.integers(0, 60, labels.shape)
        image, masks = folder / f"{k}.png", folder / f"{k}_mask.png"
        PillowImage.fromarray(pixels.astype(np.uint8)).save(image)
        PillowImage.fromarray(labels.astype(np.uint16)).save(masks)
        made.append(Record(image=image, labels=masks, modality=modality))
    return made


def dataset(records, *, task=TASK, spatial=None, intensity=None, seed=0, sampling=SAMPLING):
    return PatchDataset(
        records,
        task,
        sampling=sampling,
        draw_matrix=partial(draw_matrix, spatial or SpatialAugmentation()),
        change_intensity=intensity,
        seed=seed,
    )


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert_array_equal(np.asarray(first[name]), np.asarray(second[name]), err_msg=name)


def test_an_image_without_objects_gives_patches_of_background(tmp_path) -> None:
    plain = np.random.default_rng(0).integers(0, 255, (80, 90)).astype(np.uint8)
    for name, array in (("image", plain), ("labels", np.zeros((80, 90), np.uint16))):
        PillowImage.fromarray(array).save(tmp_path / f"{name}.png")
    record = Record(image=tmp_path / "image.png", labels=tmp_path / "labels.png")
    made = dataset([record], intensity=change)
    for index in range(4):
        sample = made[0, index]
        assert not sample["foreground"].any()
        assert not sample["flow"].any()
        assert sample["valid"].any()
        assert np.isfinite(sample["image"]).all()
    assert made.object_diameters(4).size == 0


def test_a_sample_has_the_shapes_of_the_task(records) -> None:
    sample = dataset(records, intensity=change)[0, 0]
    shapes = {name: array.shape for name, array in sample.items()}
    assert shapes == {
        "image": (3, 64, 64),
        "foreground": (1, 64, 64),
        "flow": (2, 64, 64),
        "valid": (1, 64, 64),
    }
    assert {name: array.dtype for name, array in sample.items()} == {
        "image": np.float32,
        "foreground": np.float32,
        "flow": np.float32,
        "valid": np.bool_,
    }


def test_a_sample_does_not_depend_on_those_before(records) -> None:
    first, second = dataset(records, intensity=change), dataset(records, intensity=change)
    for index in range(6):
        first[0, index]
    assert_same(first[2, 9], second[2, 9])


@pytest.mark.parametrize("other", [{"seed": 1}, {"key": (1, 0)}, {"key": (0, 1)}])
def test_seed_epoch_and_index_all_count(records, other) -> None:
    first = dataset(records, intensity=change)[0, 0]
    second = dataset(records, intensity=change, seed=other.get("seed", 0))[other.get("key", (0, 0))]
    assert not np.array_equal(first["image"], second["image"])


def darken(sample, generator):
    factor = np.float32(generator.random())
    return Sample(sample.image * factor, sample.labels * (sample.labels % 2), sample.valid)


def test_the_objects_of_a_sample_are_changed_before_its_targets_are_made(records) -> None:
    data = dataset(records, spatial=NO_SPATIAL)
    plain = data[0, 3]
    data.change_sample = darken
    changed = data[0, 3]
    assert_same(changed, data[0, 3])
    assert changed["image"].max() < plain["image"].max()
    assert 0 < changed["foreground"].sum() < plain["foreground"].sum()
    seen = []

    def look(pixels, generator):
        seen.append(pixels)
        return pixels

    data.change_intensity = look
    assert_array_equal(data[0, 3]["image"], seen[0])


# torch starts threads, after which Python 3.12 warns about the fork of a worker.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
# Four workers on a machine with two cores are what is tested.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["random", "epoch", "replay"])
def test_workers_change_no_bit(records, kind, workers) -> None:
    sampling = replace(SAMPLING, order="random" if kind == "random" else "epoch", amplify=3)
    data = dataset(records, intensity=change, sampling=sampling)
    data.change_sample = darken
    keys = [[(0, 0), (0, 1)], [(0, 2), (1, 0)], [(1, 1), (1, 2)]]
    if kind == "replay":
        data = ReplayedDataset(data, dataset(records[:1], seed=5), samples=1)
        keys = [[(0, *key) for key in batch] + [(1, 0, k)] for k, batch in enumerate(keys)]
    alone = list(DataLoader(data, batch_sampler=keys))
    shared = list(DataLoader(data, batch_sampler=keys, num_workers=workers))
    assert len(alone) == len(shared) == 3
    for first, second in zip(alone, shared, strict=True):
        assert_same(first, second)


@pytest.mark.parametrize(
    ("matrix", "turn", "flow_of"),
    [
        (np.diag([1.0, -1.0]), lambda a: a[..., ::-1], lambda f: f * [[[1]], [[-1]]]),
        (np.diag([-1.0, 1.0]), lambda a: a[..., ::-1, :], lambda f: f * [[[-1]], [[1]]]),
        (
            np.array([[0.0, 1.0], [-1.0, 0.0]]),
            lambda a: np.rot90(a, axes=(-2, -1)),
            lambda f: np.stack([-f[1], f[0]]),
        ),
    ],
    ids=["mirror x", "mirror y", "quarter turn"],
)
def test_targets_of_a_turned_sample_are_the_turned_targets(records, matrix, turn, flow_of) -> None:
    plain = dataset(records)
    plain.draw_matrix = None
    turned = dataset(records)
    turned.draw_matrix = lambda _: matrix
    compared = different = 0
    for index in range(6):
        # The matrix is not drawn here, so that both windows have the same middle.
        first, second = plain[0, index], turned[0, index]
        assert_allclose(second["image"], turn(first["image"]), atol=1e-3)
        assert_array_equal(second["foreground"], turn(first["foreground"]))
        assert_array_equal(second["valid"], turn(first["valid"]))
        error = np.abs(second["flow"] - flow_of(turn(first["flow"]))).max(axis=0)
        compared += int(first["foreground"].sum())
        different += int((error > 1e-3).sum())
    # Where two pixels of an object are equally near its middle, the first one becomes the sink,
    # which in a mirrored object is the other one; that shows in slivers at the border.
    assert different <= compared / 200
    assert compared > 1000


def test_image_and_targets_move_together(records) -> None:
    """Cells are brighter than their background in these images, and stay so in every window."""
    data = dataset(records)
    for index in range(20):
        sample = data[0, index]
        inside = (sample["foreground"][0] > 0) & sample["valid"][0]
        outside = (sample["foreground"][0] == 0) & sample["valid"][0]
        bright = sample["image"][0] > 0.5
        assert bright[inside].mean() > 0.8
        assert outside.sum() < 50 or bright[outside].mean() < 0.35


def test_objects_come_at_the_diameter_of_the_network(records) -> None:
    data = dataset(records, spatial=NO_SPATIAL)
    assert np.median(data.object_diameters(30)) == pytest.approx(12.0, rel=0.1)
    jittered = dataset(records, spatial=replace(NO_SPATIAL, scale=(2.0, 2.0)))
    assert np.median(jittered.object_diameters(30)) == pytest.approx(24.0, rel=0.1)
    as_usual = jittered.object_diameters(30, draw_matrix=data.draw_matrix)
    np.testing.assert_array_equal(as_usual, data.object_diameters(30))
    native = dataset(records[2:], task=FlowTask(preprocessing=Preprocessing(diameter=None)),
                     spatial=NO_SPATIAL)  # fmt: skip
    assert np.median(native.object_diameters(1)) == pytest.approx(24.0, rel=0.2)


def test_modalities_are_balanced(records) -> None:
    data = dataset(records, sampling=replace(SAMPLING, balance=1.0), spatial=NO_SPATIAL)
    drawn = [
        data._draw((0, 0), np.random.default_rng(seed))[0].record.modality for seed in range(300)
    ]
    assert drawn.count("sem") / 300 == pytest.approx(0.5, abs=0.1)


def test_the_cache_forgets_when_it_is_full(records) -> None:
    small = dataset(records, sampling=replace(SAMPLING, cache_megabytes=0))
    large = dataset(records)
    for index in range(20):
        assert_same(small[0, index], large[0, index])
        assert len(small.cache) == 1
    assert len(large.cache) == 3
    assert large.cache.nbytes > 3 * small.cache.nbytes / 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patch": 8}, "patch to lie in 32 to 4096 pixels, but got 8"),
        ({"balance": 2.0}, "balance and object_probability to lie in 0 to 1"),
        ({"object_probability": -1.0}, "object_probability to lie in 0 to 1"),
        ({"cache_megabytes": -1}, "cache_megabytes of 0 or more, but got -1"),
        ({"amplify": 0}, "amplify of at least 1, but got 0"),
    ],
)
def test_settings_out_of_range_are_refused(values, message) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**values)


def test_the_images_read_for_the_diameters_are_let_go(records) -> None:
    made = dataset(records)
    assert len(made.object_diameters(8)) > 0
    assert len(made.cache) == made.cache.nbytes == 0


def test_another_process_is_not_handed_the_images(records) -> None:
    made = dataset(records)
    expected = made[0, 0]
    assert made.cache.nbytes > 10_000
    copy = pickle.loads(pickle.dumps(made))
    assert len(copy.cache) == copy.cache.nbytes == 0
    assert len(made.cache) > 0
    assert_same(copy[0, 0], expected)


def test_an_epoch_goes_once_through_the_draws(records, monkeypatch) -> None:
    """Two images of one kind and one of another, of which each kind is drawn five times."""
    data = dataset(records, sampling=replace(SAMPLING, order="epoch", amplify=5))
    loaded = []
    load = data._load
    monkeypatch.setattr(data, "_load", lambda place: loaded.append(place) or load(place))
    assert data.draws_per_epoch == 10
    for epoch in range(2):
        for index in range(10):
            data[epoch, index]
    for drawn in (loaded[:10], loaded[10:]):
        counts = np.bincount(drawn)
        assert counts[2] == 5
        assert sorted(counts[:2]) == [2, 3]
    assert loaded[:10] != loaded[10:]
    with pytest.raises(IndexError):
        data[0, 10]


def test_the_order_of_epochs_shows_all_diameters(records) -> None:
    data = dataset(records, sampling=replace(SAMPLING, order="epoch"), spatial=NO_SPATIAL)
    assert data.draws_per_epoch == 3
    assert len(data.object_diameters(7)) > 7


def test_amplified_modalities_are_drawn_at_random_too(records) -> None:
    data = dataset(records, sampling=replace(SAMPLING, amplify=2, balance=0.0))
    assert_allclose(np.diff(data._bounds, prepend=0), [0.25, 0.25, 0.5])


def test_main_samples_are_the_same_with_and_without_replay(records) -> None:
    main = dataset(records, intensity=change)
    replayed = dataset(records[2:], seed=5)
    joined = ReplayedDataset(main, replayed, samples=2)
    for key in [(0, 0), (0, 7), (3, 1)]:
        assert_same(joined[0, *key], main[key])
        assert_same(joined[1, *key], replayed[key])
