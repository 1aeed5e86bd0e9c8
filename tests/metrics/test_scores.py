"""Scores on counts small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from tests.strategies import label_pairs, labels

from pancyte.metrics import scores
from pancyte.metrics.matching import match

PER_THRESHOLD = (
    scores.precision,
    scores.recall,
    scores.f1,
    scores.average_precision,
    scores.segmentation_quality,
    scores.recognition_quality,
    scores.panoptic_quality,
)
WHOLE = (scores.dice, scores.aji)


def hand_made():
    """Three true objects, four predicted, two matches of IoU 1 and 0.75."""
    truth = np.array([[1, 1, 0, 2, 2, 2, 2, 0, 3, 0, 0]])
    prediction = np.array([[1, 1, 0, 2, 2, 2, 0, 0, 0, 3, 4]])
    return match(truth, prediction, (0.5, 0.8))


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (scores.precision, (2 / 4, 1 / 4)),
        (scores.recall, (2 / 3, 1 / 3)),
        (scores.f1, (4 / 7, 2 / 7)),
        (scores.average_precision, (2 / 5, 1 / 6)),
        (scores.segmentation_quality, (1.75 / 2, 1.0)),
        (scores.recognition_quality, (4 / 7, 2 / 7)),
        (scores.panoptic_quality, (1.75 / 3.5, 1 / 3.5)),
    ],
)
def test_score_by_hand(score, expected):
    assert_allclose(score(hand_made()), expected)


def test_dice_and_aji_by_hand():
    assert scores.dice(hand_made()) == pytest.approx(2 * 5 / (7 + 7))
    assert scores.aji(hand_made()) == pytest.approx((2 + 3) / (2 + 4 + 1 + 1 + 1))


@pytest.mark.parametrize("score", PER_THRESHOLD)
def test_empty_against_empty_is_nan(score):
    empty = np.zeros((4, 4), int)
    assert np.isnan(score(match(empty, empty))).all()


@pytest.mark.parametrize("score", WHOLE)
def test_empty_against_empty_is_nan_for_pixels(score):
    empty = np.zeros((4, 4), int)
    assert np.isnan(score(match(empty, empty)))


@pytest.mark.parametrize("score", PER_THRESHOLD + WHOLE)
def test_objects_against_nothing_score_zero(score):
    empty, plane = np.zeros((4, 4), int), np.eye(4, dtype=int)
    assert not np.any(score(match(plane, empty)))
    assert not np.any(score(match(empty, plane)))


@settings(deadline=None, max_examples=25)
@given(labels())
def test_perfect_prediction_scores_one(plane):
    result = match(plane, plane)
    expected = 1.0 if plane.any() else np.nan
    for score in PER_THRESHOLD + WHOLE:
        assert_array_equal(score(result), expected)


@settings(deadline=None, max_examples=25)
@given(label_pairs())
def test_scores_lie_between_zero_and_one_and_fall_with_the_threshold(pair):
    result = match(*pair, (0.3, 0.5, 0.7, 0.9))
    for score in PER_THRESHOLD + WHOLE:
        values = np.atleast_1d(score(result))
        assert np.all(np.isnan(values) | ((values >= 0) & (values <= 1 + 1e-12)))
    for score in (scores.precision, scores.recall, scores.f1, scores.average_precision):
        assert np.all(np.isnan(score(result)[1:]) | (np.diff(score(result)) <= 0))


@settings(deadline=None, max_examples=25)
@given(label_pairs())
def test_panoptic_is_segmentation_times_recognition(pair):
    result = match(*pair)
    product = scores.segmentation_quality(result) * scores.recognition_quality(result)
    assert_allclose(scores.panoptic_quality(result), product)
