"""Scores that are probabilities, and images that are too strange."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.blobs import spot_model, spots

from pancyte.errors import UsageError
from pancyte.inference import trust
from pancyte.ops.calibration import Calibration, calibrated_scores, object_features
from pancyte.ops.familiarity import Familiarity

OUTSIDE = "This image is probably outside of what the model knows: "


def calibration(intercept=0.0, **weights):
    return Calibration(
        intercept=intercept, weights=weights, limits=dict.fromkeys(weights, (-99.0, 99.0))
    )


def familiarity(limit=10.0):
    return Familiarity(np.zeros(3), np.eye(3)[:1], np.ones(1), 1.0, limit)


def two_sizes():
    """Four large and twelve small spots."""
    image = np.zeros((160, 160), np.uint8)
    image[:96] = np.pad(spots((96, 96), radius=16), ((0, 0), (0, 64)))
    image[100:] = spots((60, 160), radius=6)
    return image


def test_scores_become_what_the_calibration_says_and_objects_stay():
    plain = spot_model()
    calibrated = replace(plain, calibration=calibration(-3.0, size=0.7))
    one, two = plain.segment(two_sizes()), calibrated.segment(two_sizes())
    np.testing.assert_array_equal(one.labels, two.labels)
    assert (one.objects["score"] > 0.99).all()
    features = object_features(one.objects, scale=1.0)
    expected = calibrated_scores(calibrated.calibration, features, one.objects["class"])
    np.testing.assert_array_equal(two.objects["score"], expected)
    assert expected.dtype == two.objects["score"].dtype == np.float32
    assert expected.min() < expected.max()


@pytest.mark.parametrize("stored", [False, True])
def test_min_score_leaves_out_objects_and_numbers_the_others_anew(stored):
    model = replace(spot_model(), calibration=calibration(-8.0, size=2.0))
    whole = model.segment(two_sizes())
    level = float(np.mean(whole.objects["score"]))
    expected = whole.objects["score"] >= level
    assert 0 < expected.sum() < len(expected)
    if stored:
        model = replace(model, calibration=replace(model.calibration, min_score=level))
        found = model.segment(two_sizes())
    else:
        found = model.segment(two_sizes(), min_score=level)
    count = int(expected.sum())
    np.testing.assert_array_equal(found.objects["label"], np.arange(1, count + 1))
    np.testing.assert_array_equal(found.objects["area"], whole.objects["area"][expected])
    kept = whole.objects["label"][expected]
    np.testing.assert_array_equal(found.labels > 0, np.isin(whole.labels, kept))
    if stored:
        assert model.segment(two_sizes(), min_score=0.0).objects.num_objects == len(expected)


def test_min_score_filters_scores_without_a_calibration_too():
    assert spot_model().segment(spots(), min_score=1.0).objects.num_objects == 0
    assert spot_model().segment(spots(), min_score=0.5).objects.num_objects == 20


@pytest.mark.parametrize("level", [-0.1, 1.1, np.nan])
def test_min_score_is_a_probability(level):
    with pytest.raises(UsageError, match=f"Expected min_score to lie in 0 to 1, but got {level}"):
        spot_model().segment(spots(), min_score=level)


def test_objects_that_are_mostly_wrong_are_said():
    model = replace(spot_model(), calibration=calibration(-1.0))
    (line,) = model.segment(spots()).warnings
    wrong = "by its own estimate 73% of the 20 objects found in it are wrong. Check the result."
    assert line == OUTSIDE + wrong
    assert replace(model, calibration=calibration(0.1)).segment(spots()).warnings == ()


def test_of_one_object_is_said_how_likely_it_is_wrong():
    image = np.pad(spots((24, 24)), 20)
    model = replace(spot_model(), calibration=calibration(-1.0))
    (line,) = model.segment(image).warnings
    assert line.startswith(OUTSIDE + "by its own estimate the 1 object found is 73% likely to be w")


@pytest.mark.parametrize(
    ("intercept", "distance", "score"),
    [(1.0, 7.0, None), (1.0, 8.0, "0.73"), (3.0, 12.0, None), (3.0, 13.0, "0.95")],
)
def test_strange_images_are_said_the_sooner_the_less_sure_the_model_is(
    monkeypatch, intercept, distance, score
):
    monkeypatch.setattr(
        trust, "embed_view", lambda model, view: np.array([0, distance, 0], np.float32)
    )
    model = replace(spot_model(), calibration=calibration(intercept), familiarity=familiarity())
    why = "it looks unlike those of its training, and the 20 objects found have a mean score of"
    line = f"{OUTSIDE}{why} {score}. Check the result."
    assert model.segment(spots()).warnings == (() if score is None else (line,))


@pytest.mark.parametrize(("bias", "is_empty"), [(0.8, False), (0.9, True)])
def test_what_looks_like_images_without_objects_is_said_however_near_it_is(
    monkeypatch, bias, is_empty
):
    monkeypatch.setattr(trust, "embed_view", lambda model, view: np.zeros(3, np.float32))
    known = replace(familiarity(), empty=np.array([1.0, 1.0, 1.0, bias]))
    model = replace(spot_model(), calibration=calibration(3.0), familiarity=known)
    why = "it looks like images without any object, and the 20 objects found have a mean score of"
    line = f"{OUTSIDE}{why} 0.95. Check the result."
    # 0.7 is the limit: the logistic function of 0.85.
    assert model.segment(spots()).warnings == ((line,) if is_empty else ())


def test_one_object_of_a_strange_image_has_a_score_and_no_mean(monkeypatch):
    monkeypatch.setattr(trust, "embed_view", lambda model, view: np.array([0, 13, 0], np.float32))
    model = replace(spot_model(), calibration=calibration(3.0), familiarity=familiarity())
    (line,) = model.segment(np.pad(spots((24, 24)), 20)).warnings
    assert "and the 1 object found has a score of 0.95. Check" in line


def test_an_image_is_looked_at_as_the_network_saw_it(monkeypatch):
    seen = []

    def look(model, view):
        seen.append(view.shape)
        return np.zeros(3, np.float32)

    monkeypatch.setattr(trust, "embed_view", look)
    model = replace(
        spot_model(diameter=30.0), calibration=calibration(3.0), familiarity=familiarity()
    )
    model.segment(spots(), diameter=15.0)
    assert seen == [(192, 256)]


@pytest.mark.parametrize(
    ("sized", "diameter", "advice"),
    [
        (None, None, ""),
        (30.0, 20.0, " Check the diameter, 20, or leave it out."),
        (30.0, None, " If there are some, give their diameter in pixels."),
    ],
)
def test_an_image_without_objects_is_said_once_and_raises_no_doubts(
    monkeypatch, sized, diameter, advice
):
    monkeypatch.setattr(trust, "embed_view", None)
    model = replace(
        spot_model(diameter=sized), calibration=calibration(-9.0), familiarity=familiarity()
    )
    image = np.zeros((40, 50), np.uint8)
    image[20, 20] = 1  # an image without any contrast is told apart
    (line,) = model.segment(image, diameter=diameter).warnings
    assert line == f"No objects were found.{advice}"


def test_doubts_say_how_many_objects_are_returned():
    model = replace(spot_model(), calibration=calibration(-8.0, size=2.0))
    scores = np.sort(model.segment(two_sizes(), min_score=0.0).objects["score"])
    assert scores.mean() < 0.5 < scores[-1]
    (line,) = model.segment(two_sizes(), min_score=0.0).warnings
    assert f"of the {len(scores)} objects found in it are wrong" in line
    kept = int((scores >= 0.5).sum())
    (line,) = model.segment(two_sizes(), min_score=0.5).warnings
    some = f"({kept} kept, scored 0.5 or more)"
    assert f"of the {len(scores)} objects found in it {some} are wrong" in line
    found = model.segment(two_sizes(), min_score=1.0)
    assert found.objects.num_objects == 0
    line = f"The {len(scores)} objects found were left out by min_score 1; min_score 0 keeps all."
    assert found.warnings == (line,)


def test_what_is_left_out_still_tells_how_strange_an_image_is(monkeypatch):
    monkeypatch.setattr(trust, "embed_view", lambda model, view: np.array([0, 9, 0], np.float32))
    model = replace(
        spot_model(), calibration=calibration(-6.0, size=2.0), familiarity=familiarity()
    )
    scores = model.segment(two_sizes(), min_score=0.0).objects["score"]
    level = float(np.median(scores)) + 0.01
    kept = int((scores >= level).sum())
    (line,) = model.segment(two_sizes(), min_score=level).warnings
    some = f"({kept} kept, scored {level:g} or more)"
    said = f"the {len(scores)} objects found {some} have a mean score of"
    assert f"{said} {scores.mean():.2f}" in line
