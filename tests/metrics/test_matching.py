"""Matching against brute force, against Hungarian assignment, and against the stardist package."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment
from tests.strategies import KINDS, disturb, label_pairs, labels, make_labels, spread_ids

from pancyte.metrics import scores
from pancyte.metrics.matching import THRESHOLDS, Matching, match, matched_pairs
from pancyte.ops.overlap import overlap_table

GOLDEN = Path(__file__).parents[1] / "golden"
LOW_AND_HIGH = (0.05, 0.2, 0.4, 0.5, 0.7, 1.0)


def dense_counts(truth, prediction):
    """Pixels that all objects share with all objects, and both areas, as one dense table."""
    true_ids, rows = np.unique(np.append(truth, 0), return_inverse=True)
    found_ids, columns = np.unique(np.append(prediction, 0), return_inverse=True)
    table = np.zeros((len(true_ids), len(found_ids)), int)
    np.add.at(table, (rows[:-1], columns[:-1]), 1)
    return table[1:, 1:], table.sum(1)[1:, None], table.sum(0)[None, 1:]


def iou_matrix(truth, prediction):
    """IoU of all objects with all objects, straight from the definition."""
    shared, true_areas, found_areas = dense_counts(truth, prediction)
    return shared / (true_areas + found_areas - shared)


def assigned(matrix, threshold):
    """Number of matches and their summed IoU: most matches first, then the largest sum."""
    good = np.where(matrix >= threshold, 1 + matrix / (2 * max(1, min(matrix.shape))), 0)
    rows, columns = linear_sum_assignment(good, maximize=True)
    taken = matrix[rows, columns][matrix[rows, columns] >= threshold]
    return len(taken), taken.sum()


def kumar(truth, prediction):
    """Aggregated Jaccard index, line by line as in the paper."""
    shared, true_areas, found_areas = dense_counts(truth, prediction)
    jaccard = iou_matrix(truth, prediction)
    intersection = union = 0
    unused = set(range(found_areas.size))
    for i in range(true_areas.size):
        if not shared[i].any():
            union += true_areas[i, 0]
            continue
        best = int(np.argmax(jaccard[i]))
        intersection += shared[i, best]
        union += true_areas[i, 0] + found_areas[0, best] - shared[i, best]
        unused.discard(best)
    return intersection, union + sum(found_areas[0, j] for j in unused)


def assert_equal_matching(one, other):
    for field in fields(Matching):
        assert_allclose(getattr(one, field.name), getattr(other, field.name), rtol=1e-12)


@settings(deadline=None, max_examples=50)
@given(label_pairs(max_side=20))
def test_match_equals_assignment_over_all_pairs(pair):
    matrix = iou_matrix(*pair)
    result = match(*pair, LOW_AND_HIGH)
    for k, threshold in enumerate(LOW_AND_HIGH):
        count, total = assigned(matrix, threshold)
        assert result.tp[k] == count
        assert result.fn[k] == matrix.shape[0] - count
        assert result.fp[k] == matrix.shape[1] - count
        assert result.iou_sum[k] == pytest.approx(total)


@pytest.mark.parametrize("seed", range(100))
def test_match_equals_hungarian_at_half(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(8, 40, 2))
    truth = make_labels(str(rng.choice(KINDS[2:9])), shape, rng)
    prediction = disturb(truth, rng)
    matrix = iou_matrix(truth, prediction)
    result = match(truth, prediction, (0.5,))
    assert (result.tp[0], pytest.approx(result.iou_sum[0])) == assigned(matrix, 0.5)


def test_match_equals_stardist():
    golden = json.loads((GOLDEN / "matching.json").read_text())
    rows = [dict(zip(golden["columns"], row, strict=True)) for row in golden["rows"]]
    assert len(rows) == 120
    with np.load(GOLDEN / "matching.npz") as arrays:
        pairs = {k: (arrays[f"truth-{k}"], arrays[f"prediction-{k}"]) for k in range(10)}
    for row in rows:
        result = match(*pairs[row["pair"]], (row["threshold"],))
        counts = (result.tp[0], result.fp[0], result.fn[0])
        assert counts == (row["tp"], row["fp"], row["fn"])
        assert scores.precision(result)[0] == pytest.approx(row["precision"])
        assert scores.recall(result)[0] == pytest.approx(row["recall"])
        assert scores.f1(result)[0] == pytest.approx(row["f1"])
        assert scores.average_precision(result)[0] == pytest.approx(row["accuracy"])
        if row["threshold"] >= 0.5:  # below, stardist lets pairs under the threshold break ties
            assert scores.panoptic_quality(result)[0] == pytest.approx(
                row["panoptic_quality"], 1e-6
            )
            assert scores.segmentation_quality(result)[0] == pytest.approx(
                row["mean_matched_score"], 1e-6
            )


@settings(deadline=None, max_examples=40)
@given(label_pairs(max_side=20))
def test_aggregated_jaccard_equals_the_paper(pair):
    result = match(*pair)
    assert (result.aji_intersection, result.aji_union) == kumar(*pair)


@settings(deadline=None, max_examples=30)
@given(label_pairs())
def test_swapping_roles_swaps_false_positives_and_negatives(pair):
    one, other = match(*pair, LOW_AND_HIGH), match(*reversed(pair), LOW_AND_HIGH)
    assert_array_equal(one.fp, other.fn)
    assert_array_equal(one.fn, other.fp)
    assert_array_equal(one.tp, other.tp)
    assert_allclose(one.iou_sum, other.iou_sum)


@settings(deadline=None, max_examples=30)
@given(label_pairs())
def test_ids_do_not_matter(pair):
    rng = np.random.default_rng(0)
    renamed = match(spread_ids(pair[0], rng), pair[1], LOW_AND_HIGH)
    assert_array_equal(renamed.tp, match(*pair, LOW_AND_HIGH).tp)
    assert_allclose(renamed.iou_sum, match(*pair, LOW_AND_HIGH).iou_sum)


@settings(deadline=None, max_examples=30)
@given(label_pairs(max_side=24), label_pairs(max_side=24))
def test_adding_equals_matching_the_images_together(one, other):
    def together(a, b):
        both = np.zeros((a.shape[0] + b.shape[0], max(a.shape[1], b.shape[1])), np.int64)
        both[: a.shape[0], : a.shape[1]] = np.unique(a, return_inverse=True)[1].reshape(a.shape)
        if a.min(initial=1) > 0:
            both[: a.shape[0], : a.shape[1]] += 1
        second = np.unique(b, return_inverse=True)[1].reshape(b.shape) + (b.min(initial=1) > 0)
        both[a.shape[0] :, : b.shape[1]] = np.where(second > 0, second + both.max(), 0)
        return both

    whole = match(together(one[0], other[0]), together(one[1], other[1]))
    assert_equal_matching(match(*one) + match(*other), whole)


@settings(deadline=None, max_examples=30)
@given(labels())
def test_perfect_prediction_matches_everything(plane):
    result = match(plane, spread_ids(plane, np.random.default_rng(1)))
    assert not result.fp.any()
    assert not result.fn.any()
    assert_array_equal(result.tp, len(np.unique(plane[plane > 0])))
    assert_allclose(result.iou_sum, result.tp)


def test_exactly_half_is_a_match_and_only_one():
    truth, prediction = np.array([[1, 1, 2, 2]]), np.array([[7, 7, 7, 7]])
    for pair in ((truth, prediction), (prediction, truth)):
        assert match(*pair, (0.5,)).tp[0] == 1
        assert match(*pair, (0.51,)).tp[0] == 0


def test_below_half_the_number_of_matches_wins_over_their_iou():
    # 1-1 has the best IoU, but then 2 could match nothing.
    truth = np.array([[1] * 6 + [2] * 4 + [0] * 3])
    prediction = np.array([[2] * 2 + [1] * 8 + [0] * 3])
    result = match(truth, prediction, (0.3,))
    assert result.tp[0] == 2
    assert result.iou_sum[0] == pytest.approx(2 / 6 + 4 / 8)


def test_one_group_over_a_whole_image_needs_no_dense_table():
    # Shifted by half, each of 20,000 objects competes with its neighbor: a chain over all of them.
    truth = np.repeat(np.arange(1, 20_001), 10)[None]
    result = match(truth, np.roll(truth, 4), (0.2,))
    assert result.tp[0] == 20_000


def test_empty_against_objects_counts_every_object():
    truth = np.array([[1, 0, 2, 3]])
    result = match(truth, np.zeros_like(truth))
    assert_array_equal(result.fn, 3)
    assert_array_equal(result.tp + result.fp, 0)


def test_matched_pairs_are_one_to_one():
    rng = np.random.default_rng(3)
    truth = make_labels("touching", (40, 40), rng)
    table = overlap_table(truth, disturb(truth, rng))
    for threshold in (0.1, 0.5):
        pairs = matched_pairs(table, threshold)
        assert len(pairs) > 0
        assert len(np.unique(table.truth_index[pairs])) == len(pairs)
        assert len(np.unique(table.prediction_index[pairs])) == len(pairs)
        assert table.iou[pairs].min() >= threshold


def test_default_thresholds_are_the_coco_ten():
    assert_allclose(THRESHOLDS, np.arange(0.5, 0.951, 0.05))


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01, float("nan")])
def test_match_refuses_thresholds_out_of_range(threshold):
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        match(np.ones((2, 2), int), np.ones((2, 2), int), (threshold,))


def test_adding_refuses_other_thresholds():
    plane = np.ones((2, 2), int)
    with pytest.raises(ValueError, match=r"same thresholds, but got \[0.5\] and \[0.6\]"):
        match(plane, plane, (0.5,)) + match(plane, plane, (0.6,))
