"""Embeddings describe an image with the same bits each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from tests.blobs import spot_model

from pancyte.errors import UsageError
from pancyte.inference.embedding import embed_image, embed_view
from pancyte.inference.model import Model
from pancyte.inference.view import view_image
from pancyte.runtime import using_threads
from pancyte.tasks.flow import FlowTask


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    task = FlowTask()
    return Model(task, task.network().eval())


def random_image(shape=(1, 70, 90)):
    return np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)


def test_an_embedding_has_the_same_bits_for_any_number_of_threads(model) -> None:
    found = []
    for threads in (1, 2, 2):
        with using_threads(threads):
            found.append(embed_image(model, random_image()))
    assert found[0].dtype == np.float32
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[1], found[2])


def test_its_four_parts_are_unit_vectors_of_the_features_at_strides_4_and_16(model) -> None:
    found = embed_image(model, random_image())
    assert found.shape == (2 * 24 + 2 * 112,)
    for part in np.split(found, [24, 48, 160]):
        assert np.linalg.norm(part) == pytest.approx(1.0, abs=1e-5)


def test_brightness_and_gain_of_the_microscope_do_not_matter(model) -> None:
    image = random_image().astype(np.float32)
    assert_allclose(embed_image(model, image), embed_image(model, 3 * image + 100), atol=1e-3)


def test_only_the_middle_of_a_large_image_counts(model) -> None:
    image = np.zeros((1, 420, 500), np.float32)
    image[0, 18:402, 58:442] = np.random.default_rng(0).random((384, 384))
    # The same quantiles, so that normalization is the same.
    changed = image.copy()
    changed[0, :18] = image[0, :18, ::-1]
    assert_array_equal(embed_image(model, image), embed_image(model, changed))


@pytest.mark.parametrize("shape", [(1, 70, 90), (1, 500, 90)])
def test_a_view_at_the_scale_of_the_image_has_its_embedding(model, shape) -> None:
    image = random_image(shape).astype(np.float32)
    view = view_image(image, model.task.preprocessing)
    assert_array_equal(embed_view(model, view), embed_image(model, image))
    smaller = view.resized((64, 64))
    assert not np.array_equal(embed_view(model, smaller), embed_view(model, view))


def test_a_network_without_an_encoder_is_refused() -> None:
    with pytest.raises(UsageError, match="spots has no encoder with features at several scales"):
        embed_image(spot_model(), random_image())


def test_too_many_channels_are_refused(model) -> None:
    with pytest.raises(ValueError, match="channels"):
        embed_image(model, random_image((5, 40, 40)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 6, 52), (1, 52, 6), (3, 17, 40)])
def test_images_smaller_than_the_coarsest_stride_have_as_many_numbers(model, shape) -> None:
    assert embed_image(model, random_image(shape)).shape == (2 * 24 + 2 * 112,)
