"""Fitting probabilities, and measuring how far they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from pancyte.metrics.calibration import (
    choose_penalty,
    cross_validated_scores,
    divide_groups,
    expected_calibration_error,
    fit_calibration,
    log_losses,
    reliability_curve,
)
from pancyte.ops.calibration import calibrated_scores

ONE = np.array(["cell"])

scored = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60)


def simulated(count, seed=0):
    """Objects whose probability to be right is a logistic function of their features."""
    rng = np.random.default_rng(seed)
    features = {"foreground": rng.normal(2, 1.5, count), "size": rng.normal(5, 1, count)}
    odds = 0.5 + 1.2 * features["foreground"] - 0.8 * (features["size"] - 5)
    chance = 1 / (1 + np.exp(-odds))
    return features, chance, rng.random(count) < chance


def error_by_brute_force(scores, correct, bins):
    total = 0.0
    for k in range(bins):
        inside = [
            (s, c)
            for s, c in zip(scores, correct, strict=True)
            if k / bins <= s < (k + 1) / bins or (k == bins - 1 and s == 1)
        ]
        if inside:
            mean = sum(s for s, _ in inside) / len(inside)
            share = sum(c for _, c in inside) / len(inside)
            total += len(inside) * abs(mean - share)
    return total / max(len(scores), 1)


@settings(max_examples=40)
@given(scored, st.sampled_from([1, 2, 4, 8, 16]))
def test_the_error_is_that_of_a_loop_over_bins(pairs, bins):
    scores = [score for score, _ in pairs]
    correct = [right for _, right in pairs]
    found = expected_calibration_error(scores, correct, bins=bins)
    assert found == pytest.approx(error_by_brute_force(scores, correct, bins), abs=1e-9)


@settings(max_examples=40)
@given(scored, st.integers(1, 20), st.sampled_from(["width", "mass"]))
def test_a_curve_counts_every_object_once(pairs, bins, by):
    scores = np.array([score for score, _ in pairs])
    correct = np.array([right for _, right in pairs], bool)
    curve = reliability_curve(scores, correct, bins=bins, by=by)
    assert curve.count.sum() == len(pairs)
    assert (curve.count * curve.score).sum() == pytest.approx(scores.sum())
    assert (curve.count * curve.correct).sum() == pytest.approx(correct.sum())
    assert (curve.low <= curve.score + 1e-12).all()
    assert (curve.score <= curve.high + 1e-12).all()
    low, high = curve.interval
    assert (low <= curve.correct + 1e-12).all()
    assert (curve.correct <= high + 1e-12).all()
    assert 0 <= curve.error <= 1


def test_bins_of_equal_mass_hold_as_many_objects_each():
    scores = np.random.default_rng(0).random(100) ** 4
    curve = reliability_curve(scores, scores > 0.5, bins=10, by="mass")
    np.testing.assert_array_equal(curve.count, 10)
    assert (np.diff(curve.score) > 0).all()


def test_scores_that_promise_too_much_have_the_error_of_their_promise():
    assert expected_calibration_error([0.9] * 10, [True] * 5 + [False] * 5) == pytest.approx(0.4)


def test_wilson_interval_of_eight_of_ten():
    low, high = reliability_curve([0.5] * 10, [True] * 8 + [False] * 2).interval
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, method 3.
    assert (low[0], high[0]) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


@pytest.mark.parametrize(
    ("scores", "correct", "bins", "message"),
    [
        ([0.5], [True, False], 5, "of one length"),
        ([1.5], [True], 5, "scores in 0 to 1, but got 1.5"),
        ([0.5], [True], 0, "at least 1 bin, but got 0"),
    ],
)
def test_a_curve_refuses_what_is_no_score(scores, correct, bins, message):
    with pytest.raises(ValueError, match=message):
        reliability_curve(scores, correct, bins=bins)


def test_a_fit_recovers_known_probabilities():
    features, _, correct = simulated(20_000)
    fitted = fit_calibration(features, np.repeat(ONE, 20_000), correct)
    unseen, chance, outcome = simulated(20_000, seed=1)
    scores = calibrated_scores(fitted, unseen, np.repeat(ONE, 20_000))
    assert np.abs(scores - chance).max() < 0.05
    assert expected_calibration_error(scores, outcome) < 0.015
    assert fitted.weights["foreground"] == pytest.approx(1.2, abs=0.1)
    assert fitted.weights["size"] == pytest.approx(-0.8, abs=0.1)
    assert fitted.objects == 20_000
    assert fitted.class_offsets == {}


def test_a_fit_is_the_logistic_regression_of_scikit_learn():
    features, _, correct = simulated(2_000)
    fitted = fit_calibration(features, np.repeat(ONE, 2_000), correct)
    raw = np.column_stack(list(features.values()))
    spread = raw.std(axis=0)
    other = LogisticRegression(C=1.0, tol=1e-8).fit((raw - raw.mean(axis=0)) / spread, correct)
    # Platt's targets are 0.0005 off 0 and 1.
    np.testing.assert_allclose(list(fitted.weights.values()), other.coef_[0] / spread, rtol=0.02)


def test_each_class_has_its_own_offset():
    features, _, correct = simulated(4_000)
    classes = np.where(np.arange(4_000) % 2 == 0, "cell", "nucleus")
    correct &= (classes == "nucleus") | (np.random.default_rng(2).random(4_000) < 0.3)
    fitted = fit_calibration(features, classes, correct)
    scores = calibrated_scores(fitted, features, classes)
    for name in ("cell", "nucleus"):
        assert scores[classes == name].mean() == pytest.approx(
            correct[classes == name].mean(), abs=0.01
        )
    assert fitted.class_offsets["nucleus"] > fitted.class_offsets["cell"] + 1


@pytest.mark.parametrize("right", [True, False])
def test_a_fit_is_finite_where_all_objects_are_right_or_wrong(right):
    features = {"foreground": np.linspace(0, 1, 30), "border": np.zeros(30)}
    fitted = fit_calibration(features, np.repeat(ONE, 30), np.full(30, right))
    scores = calibrated_scores(fitted, features, np.repeat(ONE, 30))
    np.testing.assert_allclose(scores, 31 / 32 if right else 1 / 32, atol=0.03)
    assert fitted.weights["border"] == 0


def test_cross_validation_never_fits_on_the_group_it_scores():
    # Within each group the feature tells nothing; a fit that saw a group would know its share.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 50)
    correct = rng.random(300) < 0.5
    features = {"size": rng.normal(size=300)}
    classes = np.repeat(ONE, 300)
    parts = divide_groups(groups, 6, np.random.default_rng(1))
    scores = cross_validated_scores(features, classes, correct, groups, parts=parts)
    for group in range(6):
        out = groups == group
        fitted = fit_calibration(
            {"size": features["size"][~out]}, classes[~out], correct[~out], groups[~out]
        )
        expected = calibrated_scores(fitted, {"size": features["size"][out]}, classes[out])
        np.testing.assert_allclose(scores[out], expected, rtol=1e-6)


def test_an_image_with_many_objects_counts_as_one():
    features, _, correct = simulated(400)
    classes, groups = np.repeat(ONE, 400), np.arange(400) // 20
    fitted = fit_calibration(features, classes, correct, groups)
    # Each object of the first image nine times more.
    again = np.concatenate([np.arange(400), np.tile(np.arange(20), 9)])
    repeated = fit_calibration(
        {name: values[again] for name, values in features.items()},
        classes[again], correct[again], groups[again],
    )  # fmt: skip
    scores = calibrated_scores(fitted, features, classes)
    # Features are standardized by all objects, of which the ridge depends a little.
    assert np.abs(calibrated_scores(repeated, features, classes) - scores).max() < 0.03
    naive = fit_calibration(
        {name: values[again] for name, values in features.items()}, classes[again], correct[again]
    )
    assert np.abs(calibrated_scores(naive, features, classes) - scores).max() > 0.06


def test_a_larger_penalty_makes_scores_more_alike():
    features, _, correct = simulated(400)
    classes = np.repeat(ONE, 400)
    spreads = [
        np.ptp(
            calibrated_scores(
                fit_calibration(features, classes, correct, penalty=penalty), features, classes
            )
        )
        for penalty in (0.1, 10.0, 1000.0)
    ]
    assert spreads[0] > spreads[1] > spreads[2]
    with pytest.raises(ValueError, match="Expected a penalty above 0, but got 0"):
        fit_calibration(features, classes, correct, penalty=0.0)


def test_log_losses_are_the_mean_of_logarithms_of_each_group():
    scores, correct = [0.9, 0.2, 1.0, 0.7], [True, False, False, True]
    found = log_losses(scores, correct, np.array([7, 7, 2, 9]))
    expected = [-np.log(1e-6), -(np.log(0.9) + np.log(0.8)) / 2, -np.log(0.7)]
    np.testing.assert_allclose(found, expected)
    assert log_losses([], [], np.zeros(0, int)).shape == (0,)
    with pytest.raises(ValueError, match="Expected a group for each of 4 objects, but got 3"):
        log_losses(scores, correct, np.arange(3))


def test_the_largest_penalty_within_a_standard_error_is_chosen():
    best = np.array([0.1, 0.3, 0.1, 0.3])  # mean 0.2, standard error 0.05
    losses = {0.5: best + 0.1, 1.0: best, 2.0: best + 0.04, 4.0: best + 0.06}
    assert choose_penalty(losses) == 2.0
    assert choose_penalty({1.0: best, 0.1: best - 0.2}) == 0.1


@pytest.mark.parametrize(("groups", "folds"), [(np.zeros(4, int), 5), (np.arange(4), 1)])
def test_cross_validation_needs_two_groups_and_folds(groups, folds):
    with pytest.raises(ValueError, match="Expected two or more groups and folds"):
        divide_groups(groups, folds, np.random.default_rng(0))


@pytest.mark.parametrize("count", [0, 3])
def test_a_fit_refuses_no_objects_and_other_lengths(count):
    with pytest.raises(ValueError, match="Expected as many classes and features as"):
        fit_calibration({"size": np.arange(5.0)}, np.repeat(ONE, 5), np.ones(count, bool))


def test_what_is_not_known_counts_as_the_median():
    features, _, right = simulated(400)
    kinds = np.repeat(ONE, 400)
    fitted = fit_calibration(features, kinds, right)
    assert fitted.middles == {name: np.median(values) for name, values in features.items()}
    holes = features["size"].copy()
    holes[::7] = np.nan
    filled = np.where(np.isnan(holes), np.nanmedian(holes), holes)
    assert fit_calibration(features | {"size": holes}, kinds, right) == fit_calibration(
        features | {"size": filled}, kinds, right
    )
    nothing = fit_calibration(features | {"size": np.full(400, np.nan)}, kinds, right)
    assert nothing.weights["size"] == 0.0
