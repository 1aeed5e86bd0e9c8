"""What the images that a model was trained on look like to its own encoder."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from tests.blobs import spot_model, spots

from pancyte.data.records import Record
from pancyte.ops.labels import split_components
from pancyte.workflows.familiarity import fit_looks, looks_of
from pancyte.workflows.models import load


@pytest.fixture(scope="module")
def model():
    return replace(load("generalist", device="cpu"), familiarity=None)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Twelve images of spots in noise: one cannot be read, and one has no objects."""
    folder = tmp_path_factory.mktemp("known")
    generator = np.random.default_rng(0)
    records = []
    for k in range(12):
        image = spots((64, 64), radius=6 + k % 3)
        paths = folder / f"{k}.tif", folder / f"{k}_labels.tif"
        noisy = image / 2 + generator.normal(20, 4, image.shape)
        tifffile.imwrite(paths[0], noisy.astype(np.uint8))
        truth = split_components(image[None] > 0)[0] if k != 5 else np.zeros_like(image)
        tifffile.imwrite(paths[1], truth.astype(np.uint16))
        records.append(Record(image=paths[0], labels=paths[1]))
    records[3].image.write_bytes(b"no image")
    return records


def looks_at(model, record):
    return looks_of(model, tifffile.imread(record.image)[None], 30 / 13)


def test_what_a_model_was_fitted_on_is_no_farther_than_its_limit(model, known, caplog):
    others = [record for k, record in enumerate(known) if k not in {3, 5}]
    looks = [looks_at(model, record) for record in others]
    with caplog.at_level(logging.WARNING):
        fitted = fit_looks(model, known, looks)
    assert "3.tif" in caplog.text
    assert "It is left out." in caplog.text
    distances = np.array([fitted.distance(one) for one in looks])
    assert distances.max() == pytest.approx(fitted.limit)
    stripes = np.tile(np.arange(64, dtype=np.uint8) % 2 * 200, (64, 1))
    assert fitted.distance(looks_of(model, stripes[None], 1.0)) > 2 * fitted.limit


def test_images_without_objects_teach_what_is_none(model, known, tmp_path):
    generator = np.random.default_rng(1)

    def noise(name, labels=None, **changes):
        paths = tmp_path / f"{name}.tif", tmp_path / f"{name}_labels.tif"
        tifffile.imwrite(paths[0], generator.integers(0, 255, (64, 64), dtype=np.uint8))
        tifffile.imwrite(paths[1], np.zeros((64, 64), np.uint16))
        return Record(image=paths[0], labels=paths[1], **changes)

    looks = [looks_at(model, record) for k, record in enumerate(known) if k not in {3, 5}]
    empty = [noise(k) for k in range(10)]
    fitted = fit_looks(model, [*known, *empty], looks)
    unseen = looks_of(model, tifffile.imread(noise("new").image)[None], 1.0)
    assert fitted.emptiness(unseen) > 0.7
    assert (fitted.emptiness(np.stack(looks)) < 0.3).all()
    # An image with a part that nobody annotated may have objects there.
    mask = tmp_path / "valid.tif"
    tifffile.imwrite(mask, np.eye(64, dtype=np.uint8))
    partly = [noise(f"part{k}", valid=mask) for k in range(12)]
    others = [record for k, record in enumerate(known) if k != 5]
    assert fit_looks(model, [*others, *partly], looks).empty is None


def test_with_too_few_images_a_model_knows_what_it_knew(model, known, caplog):
    looks = [looks_at(model, known[0])] * 10
    with caplog.at_level(logging.WARNING):
        assert fit_looks(model, known[:8], looks) is None
    assert "takes 10 images of the training and 10 others with objects" in caplog.text
    assert "but there are 6 and 10" in caplog.text
    fitted = load("generalist", device="cpu").familiarity
    assert fit_looks(replace(model, familiarity=fitted), known[:2], looks) is fitted


def test_a_network_without_an_encoder_knows_no_images(known):
    model = spot_model()
    assert looks_at(model, known[0]) is None
    assert fit_looks(model, known, []) is None
