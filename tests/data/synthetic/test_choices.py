"""What all generated scenes have in common, with settings as they are drawn for a training."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import SEEDS

from pancyte.data.synthetic import choices
from pancyte.data.synthetic.adherent import draw_adherent, draw_quantitative, draw_stained
from pancyte.data.synthetic.cells import draw_suspension, draw_yeast
from pancyte.data.synthetic.histology import draw_histology
from pancyte.data.synthetic.membranes import draw_membranes
from pancyte.data.synthetic.negatives import Negative, draw_negative
from pancyte.data.synthetic.nuclei import draw_hard_nuclei
from pancyte.data.synthetic.scene import SMALLEST
from pancyte.ops.labels import boundaries, keep_largest_component

SCENES = {
    "membranes": (partial(choices.any_membranes, appearance="bright"), draw_membranes),
    "suspension": (partial(choices.any_suspension, contrast="brightfield"), draw_suspension),
    "yeast": (partial(choices.any_yeast, contrast="phase"), draw_yeast),
    "adherent": (partial(choices.any_adherent, contrast="dic"), draw_adherent),
    "quantitative": (choices.any_quantitative, draw_quantitative),
    "stained": (choices.any_stained, draw_stained),
    "nuclei": (partial(choices.any_nuclei, place="tissue"), draw_hard_nuclei),
    "histology": (choices.any_histology, draw_histology),
    "negative": (partial(choices.any_negative, subject="well"), draw_negative),
}

drawn_scenes = pytest.mark.parametrize(("choose", "draw"), SCENES.values(), ids=SCENES)


@drawn_scenes
@settings(max_examples=3, deadline=None)
@given(seed=SEEDS)
def test_objects_are_numbered_and_of_one_piece(choose, draw, seed):
    generator = np.random.default_rng(seed)
    scene = choose((64, 80), generator)
    shape = scene.shape if isinstance(scene, Negative) else scene.scene.shape
    image, labels = draw(scene, generator)

    assert image.dtype in (np.uint8, np.uint16)
    assert image.shape[1:] == labels.shape == shape
    assert image.shape[0] in (1, 2, 3)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique([0, *labels.flat]), np.arange(labels.max() + 1))
    np.testing.assert_array_equal(keep_largest_component(labels), labels)
    assert (np.bincount(labels.flat)[1:] >= SMALLEST).all()


@drawn_scenes
def test_the_same_seed_draws_the_same_image(choose, draw):
    def make():
        generator = np.random.default_rng(5)
        return draw(choose((64, 64), generator), generator)

    for first, second in zip(make(), make(), strict=True):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


@drawn_scenes
def test_another_seed_draws_other_objects(choose, draw):
    scene = choose((96, 96), np.random.default_rng(5))
    _, first = draw(scene, np.random.default_rng(1))
    _, second = draw(scene, np.random.default_rng(2))

    if isinstance(scene, Negative):
        assert not first.any()
    else:
        lines, others = boundaries(first), boundaries(second)
        assert np.count_nonzero(lines & others) < 0.5 * np.count_nonzero(lines | others)


@settings(max_examples=50)
@given(
    side=st.integers(16, 2000),
    least=st.floats(5, 50),
    ratio=st.floats(1, 5),
    seed=SEEDS,
)
def test_an_image_shows_a_few_objects_and_not_too_many(side, least, ratio, seed):
    generator = np.random.default_rng(seed)
    scene = choices.any_scene(
        (side, 200), generator, least=least, most=ratio * least, spread=(0.1, 0.3)
    )

    assert least * (1 - 1e-9) <= scene.diameter <= ratio * least * (1 + 1e-9)
    assert 0.1 <= scene.spread <= 0.3
    for length in scene.shape:
        assert length <= min(512, 20 * scene.diameter + 1)
        assert length >= min(512, 4.5 * scene.diameter - 1)
