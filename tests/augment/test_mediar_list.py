"""MEDIAR's list of transforms: documented as it is, and the same patches each time."""

from __future__ import annotations

import re
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from tests.strategies import voronoi_cells
from torch.utils.data import DataLoader

from pancyte.augment.cell_aware import CellAware, change_objects
from pancyte.augment.intensity import MEDIAR_INTENSITY, augment_intensity
from pancyte.augment.spatial import MEDIAR_SPATIAL, draw_matrix
from pancyte.config import from_mapping
from pancyte.data.datasets import PatchDataset
from pancyte.data.records import Record
from pancyte.tasks.flow import FlowTask
from pancyte.workflows.train_config import TrainConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "augmentation.md"


def documented():
    """The configuration that the page shows, of a training of two classes."""
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    mapping = tomllib.loads(block)
    mapping["task"] |= {"kind": "flow", "classes": ["cell", "nucleus"]}
    mapping |= {"data": [{"path": "a.csv"}], "out": "run"}
    return from_mapping(TrainConfig, mapping, where="docs/augmentation.md")


def test_the_documented_list_is_that_of_the_constants() -> None:
    config = documented()
    assert config.spatial == MEDIAR_SPATIAL
    assert config.intensity == MEDIAR_INTENSITY
    assert config.cell_aware == CellAware()
    assert (config.sampling.patch, config.sampling.object_probability) == (512, 0.0)
    assert config.sampling.beyond == "zeros"
    assert config.task.preprocessing.diameter is None


def change(pixels, generator):
    return augment_intensity(pixels, MEDIAR_INTENSITY, generator)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.stack([voronoi_cells((90, 120), size, rng) for size in (20, 9)])
    pixels = np.where(labels[0] > 0, 9000, 500) + rng.integers(0, 400, labels.shape[1:])
    tifffile.imwrite(tmp_path / "i.tif", pixels.astype(np.uint16))
    tifffile.imwrite(tmp_path / "l.tif", labels.astype(np.uint16), metadata={"axes": "CYX"})
    config = documented()
    return PatchDataset(
        [Record(image=tmp_path / "i.tif", labels=tmp_path / "l.tif")],
        FlowTask(classes=("cell", "nucleus"), preprocessing=config.task.preprocessing),
        sampling=from_mapping(
            type(config.sampling), {"patch": 96, "beyond": "zeros"}, where="the test"
        ),
        draw_matrix=partial(draw_matrix, MEDIAR_SPATIAL),
        change_sample=partial(change_objects, cell_aware=CellAware()),
        change_intensity=change,
        seed=3,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [1, 4])
def test_patches_have_the_same_bits_with_any_number_of_workers(dataset, workers) -> None:
    keys = [[(0, index)] for index in range(8)]
    loaded = list(DataLoader(dataset, batch_sampler=keys, num_workers=workers))
    for key, batch in zip(keys, loaded, strict=True):
        expected = dataset.make_patch(key[0])
        assert set(batch) == set(expected)
        for name, value in expected.items():
            assert_array_equal(batch[name][0].numpy(), value)


def test_another_seed_gives_other_patches(dataset) -> None:
    first = dataset.make_patch((0, 0))["image"]
    assert_array_equal(first, dataset.make_patch((0, 0))["image"])
    dataset.seed = 4
    assert not np.array_equal(first, dataset.make_patch((0, 0))["image"])
