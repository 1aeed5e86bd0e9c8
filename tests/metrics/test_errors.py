from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.strategies import label_pairs

from pancyte.metrics.errors import BOTH, FALSE, MISSED, TRUE, error_map
from pancyte.metrics.matching import match
from pancyte.ops.overlap import overlap_table


def brute_force(truth: np.ndarray, prediction: np.ndarray, threshold: float) -> np.ndarray:
    """Pixel by pixel, with partners found by looking at every pair of objects."""
    partners = set()
    for i in set(np.unique(truth)) - {0}:
        for j in set(np.unique(prediction)) - {0}:
            union = np.count_nonzero((truth == i) | (prediction == j))
            if np.count_nonzero((truth == i) & (prediction == j)) / union > threshold:
                partners.add((i, j))
    codes = np.zeros(truth.shape, np.uint8)
    for place in np.ndindex(truth.shape):
        i, j = truth[place], prediction[place]
        if i and j:
            codes[place] = TRUE if (i, j) in partners else BOTH
        elif i or j:
            codes[place] = MISSED if i else FALSE
    return codes


@settings(max_examples=40, deadline=None)
@given(label_pairs(max_side=12), st.sampled_from([0.5, 0.7]))
def test_codes_agree_with_brute_force(
    pair: tuple[np.ndarray, np.ndarray], threshold: float
) -> None:
    truth, prediction = pair
    iou = overlap_table(truth, prediction).iou
    assume(not np.isclose(iou, threshold).any())  # of ties the brute force knows nothing
    found = error_map(truth, prediction, threshold=threshold)
    assert np.array_equal(found.codes, brute_force(truth, prediction, threshold))
    counts = match(truth, prediction, (threshold,))
    assert (found.tp, found.fp, found.fn) == (counts.tp[0], counts.fp[0], counts.fn[0])


def test_matched_objects_are_marked_whole() -> None:
    truth = np.array([[1, 1, 1, 0, 7, 7]])
    prediction = np.array([[0, 4, 4, 4, 0, 9]])
    found = error_map(truth, prediction, threshold=0.5)
    assert found.matched_truth.tolist() == [[True, True, True, False, True, True]]
    assert found.matched_prediction.tolist() == [[False, True, True, True, False, True]]
    strict = error_map(truth, prediction, threshold=0.6)
    assert not strict.matched_truth.any()
    assert strict.codes.tolist() == [[MISSED, BOTH, BOTH, FALSE, MISSED, BOTH]]
    assert (strict.tp, strict.fp, strict.fn) == (0, 2, 2)


def test_empty_against_objects_misses_them_all() -> None:
    truth = np.array([[1, 2, 0]])
    found = error_map(truth, np.zeros_like(truth))
    assert (found.tp, found.fp, found.fn) == (0, 0, 2)
    assert found.codes.tolist() == [[MISSED, MISSED, 0]]


def test_empty_against_empty_is_all_background() -> None:
    nothing = np.zeros((2, 3), np.int32)
    found = error_map(nothing, nothing)
    assert not found.codes.any()
    assert (found.tp, found.fp, found.fn) == (0, 0, 0)


def test_labels_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        error_map(np.zeros((2, 3), np.int32), np.zeros((3, 2), np.int32))
