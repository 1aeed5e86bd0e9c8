"""The bundled model finds the same nuclei however their image is presented."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from pancyte.io.images import read_image
from pancyte.metrics.matching import match
from pancyte.metrics.scores import f1
from pancyte.workflows.models import load

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "images" / "fluo_tissue_nuclei.tif"


@pytest.fixture(scope="module")
def model():
    loaded = load(device="cpu", precision="float32")
    preprocessing = replace(loaded.task.preprocessing, lone_channel="gray")
    return replace(loaded, task=replace(loaded.task, preprocessing=preprocessing))


@pytest.fixture(scope="module")
def nuclei():
    """Gray values of 8 bits, (128, 128)."""
    pixels = read_image(EXAMPLE).image.pixels.astype(np.float64).mean(axis=0)[:128, :128]
    span = pixels.max() - pixels.min()
    return np.round(255 * (pixels - pixels.min()) / span).astype(np.uint8)


def labels_of(model, image):
    return model.segment(image, axes="CYX", diameter=16.0).labels[0]


@pytest.fixture(scope="module")
def expected(model, nuclei):
    labels = labels_of(model, nuclei[None])
    assert labels.max() >= 5
    return labels


@pytest.mark.parametrize(
    "present",
    [
        lambda gray: gray.astype(np.uint16),
        lambda gray: gray.astype(np.uint16) * 257,
        lambda gray: gray.astype(np.int32) - 1000,
        lambda gray: (gray / 255).astype(np.float32),
        lambda gray: gray / 255,
    ],
    ids=["16 bits", "16 bits of full range", "negative", "float32", "float64"],
)
def test_type_and_range_of_values_do_not_matter(model, nuclei, expected, present):
    np.testing.assert_array_equal(labels_of(model, present(nuclei)[None]), expected)


@pytest.mark.parametrize("channel", [0, 2])
@pytest.mark.parametrize("others", [0, 40])
def test_the_channel_of_the_only_signal_does_not_matter(model, nuclei, expected, channel, others):
    image = np.full((3, *nuclei.shape), others, np.uint8)
    image[channel] = nuclei
    np.testing.assert_array_equal(labels_of(model, image), expected)


@pytest.mark.slow
def test_other_presentations_give_nearly_the_same_objects(model, nuclei, expected):
    shown = {
        "inverted": 255 - nuclei,
        "dim": np.round(nuclei / 10).astype(np.uint8),
        "saturated": np.minimum(nuclei, np.uint8(np.percentile(nuclei[expected > 0], 90))),
    }
    found = {"gray": expected} | {
        name: labels_of(model, image[None]) for name, image in shown.items()
    }
    for one, two in combinations(found, 2):
        same = float(f1(match(found[one], found[two], (0.5,)))[0])
        assert same >= 0.7, (one, two, same)
