"""How far an image is from those that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from pancyte.ops.familiarity import familiarity_of, fit_familiarity


def cloud(count, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width))


@pytest.mark.parametrize(("count", "width"), [(40, 12), (50, 64), (30, 100)])
def test_distances_are_those_of_a_shrunk_covariance(count, width):
    known, asked = cloud(count, width), 3 * cloud(5, width, seed=1)
    expected = np.sqrt(LedoitWolf().fit(known).mahalanobis(asked))
    np.testing.assert_allclose(fit_familiarity(known).distance(asked), expected, rtol=0.02)


def test_many_axes_are_kept_as_one_variance():
    known, asked = cloud(300, 150), 3 * cloud(20, 150, seed=1)
    found = fit_familiarity(known)
    assert found.axes.shape == (64, 150)
    expected = np.sqrt(LedoitWolf().fit(known).mahalanobis(asked))
    # The order of distances is what counts, and it is nearly the same.
    assert np.corrcoef(found.distance(asked), expected)[0, 1] > 0.8


def test_the_middle_is_known_and_what_is_far_is_not():
    known = cloud(60, 20)
    found = fit_familiarity(known)
    assert found.distance(known.mean(axis=0)) == pytest.approx(0.0, abs=1e-6)
    assert found.distance(known.mean(axis=0) + 100) > 3 * found.distance(known).max()


def test_one_description_gives_one_distance():
    known = cloud(10, 4)
    found = fit_familiarity(known)
    assert found.distance(known[0]).shape == ()
    assert found.distance(known).shape == (10,)
    assert found.distance(known[0]) == pytest.approx(found.distance(known)[0])


def test_it_survives_being_stored_as_arrays():
    found = replace(fit_familiarity(cloud(10, 4), 5 + cloud(6, 4)), limit=2.5)
    again = familiarity_of({**found.to_arrays(), "other": np.zeros(1)})
    assert again is not None
    assert again.limit == 2.5
    np.testing.assert_array_equal(again.distance(cloud(5, 4)), found.distance(cloud(5, 4)))
    np.testing.assert_array_equal(again.emptiness(cloud(5, 4)), found.emptiness(cloud(5, 4)))
    assert familiarity_of(fit_familiarity(cloud(10, 4)).to_arrays()).empty is None


def test_images_without_objects_are_told_from_others_though_these_are_more():
    rng = np.random.default_rng(0)
    axis = rng.normal(size=30)
    known, empty = rng.normal(size=(200, 30)) - axis, rng.normal(size=(20, 30)) + axis
    found = fit_familiarity(known, empty)
    new_known, new_empty = rng.normal(size=(50, 30)) - axis, rng.normal(size=(50, 30)) + axis

    assert (found.emptiness(new_known) < 0.5).mean() > 0.95
    assert (found.emptiness(new_empty) > 0.5).mean() > 0.95
    # Neither is the likelier beforehand.
    assert found.emptiness(np.zeros(30)) == pytest.approx(0.5, abs=0.35)
    assert found.emptiness(empty[0]).shape == ()
    # The cloud is that of the known ones alone.
    np.testing.assert_array_equal(found.distance(empty), fit_familiarity(known).distance(empty))


def test_without_images_without_objects_none_looks_so():
    for empty in (None, np.zeros((0, 4))):
        found = fit_familiarity(cloud(10, 4), empty)
        np.testing.assert_array_equal(found.emptiness(9 * cloud(5, 4)), np.zeros(5))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("empty", np.zeros(4), r"familiarity\.empty of 5 finite numbers, but got \(4,\)"),
        ("empty", np.full(5, np.inf), "of 5 finite numbers"),
        ("variances", np.array([1.0, 0.0, 1.0, 1.0]), "variances and a limit above 0"),
        ("variances", np.ones(3), r"shapes \(D,\), \(r, D\), \(r,\) and \(2,\), but got"),
        ("mean", np.full(4, np.nan), "familiarity of finite numbers"),
        ("rest_and_limit", np.array([1.0, np.nan]), "a limit above 0"),
        ("axes", None, r"Expected familiarity\.axes, but found nothing"),
    ],
)
def test_what_no_fit_gives_is_refused(name, value, message):
    arrays = fit_familiarity(cloud(10, 4)).to_arrays()
    arrays[f"familiarity.{name}"] = value
    with pytest.raises(ValueError, match=message):
        familiarity_of({key: array for key, array in arrays.items() if array is not None})


def test_where_nothing_is_stored_nothing_is_known():
    assert familiarity_of({}) is None


@pytest.mark.parametrize("features", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((5, 3))])
def test_it_takes_two_different_images(features):
    with pytest.raises(ValueError, match="two or more different images"):
        fit_familiarity(features)
