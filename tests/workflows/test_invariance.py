"""The bundled model finds the same nuclei however their image is presented.

It runs as it is shipped: nothing is set, and no diameter is told.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
from tests.scripts import load_script

from pancyte.data.record_files import read_pixels, read_targets
from pancyte.data.records import Record
from pancyte.workflows.models import load

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Of 256 x 256 pixels and 35 and 78 nuclei, in tissue and in culture: that of the examples, and the
# first of its size of the split dev of DSB2018.
EXAMPLE, CULTURE = "fluo_tissue_nuclei.tif", "12f89395ad5d.png"

invariance = load_script("benchmarks/invariance.py")


@pytest.fixture(scope="module")
def model():
    return load(device="cpu")


@pytest.fixture(scope="module")
def nuclei():
    """Gray values of 8 bits, (128, 128)."""
    pixels = read_pixels(Record(image=EXAMPLES / "images" / EXAMPLE))
    return invariance.as_gray(pixels[:, :128, :128])


def labels_of(model, image):
    return model.segment(image, axes="CYX").labels[0]


@pytest.fixture(scope="module")
def expected(model, nuclei):
    labels = labels_of(model, nuclei[None])
    assert len(np.unique(labels)) > 5
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
@pytest.mark.parametrize("others", ["zero", "constant", "camera noise"])
def test_the_channel_of_the_only_signal_does_not_matter(model, nuclei, expected, channel, others):
    shape = (3, *nuclei.shape)
    image = {
        "zero": np.zeros(shape, np.uint8),
        "constant": np.full(shape, 40, np.uint8),
        "camera noise": np.random.default_rng(0).integers(9, 11, shape).astype(np.uint8),
    }[others]
    image[channel] = nuclei
    np.testing.assert_array_equal(labels_of(model, image), expected)


@pytest.fixture(scope="module")
def scores(model, shared_data):
    """F1@0.5 between the objects of any two presentations, of both images together."""
    dsb2018 = shared_data / "dsb2018"
    compared = []
    for record in (
        Record(image=EXAMPLES / "images" / EXAMPLE, labels=EXAMPLES / "labels" / EXAMPLE),
        Record(image=dsb2018 / "images" / CULTURE, labels=dsb2018 / "masks" / CULTURE),
    ):
        pixels = read_pixels(record)
        truth = read_targets(record, model.classes, pixels.shape[1:])[0][0]
        compared.append(invariance.compare(model, pixels, truth))
    return invariance.scores(
        {pair: reduce(add, (of_image[pair] for of_image in compared)) for pair in compared[0]}
    )


@pytest.mark.slow
def test_the_same_objects_are_found_in_any_two_presentations(scores):
    between = {
        pair: score for pair, score in scores.items() if not {invariance.TRUTH, "dim"} & {*pair}
    }
    assert len(between) == 7 * 6 // 2
    assert {pair: score for pair, score in between.items() if score < 0.95} == {}


@pytest.mark.slow
def test_a_tenth_of_the_gray_values_still_shows_most_objects(scores):
    # Faint nuclei differ from the background by one or two of 26 gray values.
    dim = [
        score for pair, score in scores.items() if "dim" in pair and invariance.TRUTH not in pair
    ]
    assert len(dim) == 7
    assert min(dim) >= 0.85


@pytest.mark.slow
def test_what_is_found_in_any_presentation_are_the_nuclei(scores):
    # That nothing is found anywhere would be the same everywhere too.
    truth = {pair[1]: score for pair, score in scores.items() if pair[0] == invariance.TRUTH}
    assert len(truth) == 8
    assert min(truth.values()) >= 0.75, truth
