"""Scores of objects that are probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.config import from_mapping, to_mapping
from pancyte.errors import ConfigError
from pancyte.ops.calibration import (
    FEATURES,
    Calibration,
    calibrated_scores,
    has_evidence,
    object_features,
    sigmoid,
)
from pancyte.types import ObjectTable

CALIBRATION = Calibration(
    intercept=0.5,
    weights={"foreground": 1.0, "border": -2.0},
    limits={"foreground": (-1.0, 3.0), "border": (0.0, 1.0)},
    middles={"foreground": 1.0, "border": 0.0},
    class_offsets={"cell": 0.25},
    min_score=0.3,
    objects=9,
    images=2,
)


def table(n=3, **changes):
    columns = {
        "foreground": np.full(n, 0.8, np.float32),
        "flow_error": np.full(n, 0.04, np.float32),
        "diameter": np.full(n, 20.0),
        "touches_border": np.zeros(n, bool),
    }
    return ObjectTable(columns | changes)


def test_features_are_what_their_names_say():
    found = object_features(table(1, touches_border=np.array([True])), scale=1.6)
    assert tuple(found) == FEATURES
    assert found["foreground"] == pytest.approx(np.log(4))
    assert found["flow_error"] == pytest.approx(0.04)
    assert found["size"] == pytest.approx(5.0)
    assert found["size_squared"] == pytest.approx(25.0)
    assert found["border"] == 1.0


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 4), st.floats(0, 1e6)), max_size=5),
    st.floats(0.01, 8),
)
def test_features_are_finite_whatever_the_object(values, scale):
    columns = np.array(values).reshape(-1, 3)
    objects = table(
        len(columns),
        foreground=columns[:, 0],
        flow_error=columns[:, 1],
        diameter=columns[:, 2],
    )
    for feature in object_features(objects, scale=scale).values():
        assert np.isfinite(feature).all()


def test_scores_follow_the_formula_within_the_limits():
    features = {"foreground": np.array([0.0, 2.0, 9.0]), "border": np.array([0.0, 1.0, 0.0])}
    classes = np.array(["cell", "nucleus", "nucleus"])
    odds = np.array([0.5 + 0.25, 0.5 + 2.0 - 2.0, 0.5 + 3.0])
    np.testing.assert_allclose(
        calibrated_scores(CALIBRATION, features, classes), 1 / (1 + np.exp(-odds)), rtol=1e-6
    )


def test_what_is_not_known_of_an_object_is_taken_as_usual():
    classes = np.array(["cell", "cell"])
    values = {"foreground": np.array([1.0, np.nan]), "border": np.zeros(2)}
    unnamed = replace(CALIBRATION, middles={})
    same = calibrated_scores(unnamed, values, classes)  # the middle of its limits
    assert same[0] == same[1]
    named = replace(CALIBRATION, middles={"foreground": 2.0})
    values["foreground"][0] = 2.0
    scores = calibrated_scores(named, values, classes)
    assert scores[0] == scores[1] > same[1]


def test_no_objects_have_no_scores():
    features = object_features(table(0), scale=1.0)
    assert calibrated_scores(CALIBRATION, features, np.array([], str)).shape == (0,)


def test_sigmoid_does_not_overflow():
    np.testing.assert_array_equal(sigmoid(np.array([-1e9, 0.0, 1e9])), [0.0, 0.5, 1.0])


def test_a_table_has_evidence_if_it_has_all_columns():
    whole = table()
    assert has_evidence(whole)
    for name in whole:
        assert not has_evidence(ObjectTable({k: v for k, v in whole.items() if k != name}))


def test_a_calibration_survives_its_file():
    assert from_mapping(Calibration, to_mapping(CALIBRATION), where="test") == CALIBRATION


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"color": 1.0}, "limits": {"color": (0.0, 1.0)}}, "same features of foregr"),
        ({"weights": {"size": 1.0}}, "got size and foreground, border"),
        ({"min_score": 1.5}, "Expected min_score to lie in 0 to 1, but got 1.5"),
        ({"intercept": np.nan}, "intercept: expected a finite number, got nan"),
        ({"middles": {"size": 1.0}}, "Expected middles of foreground, border, but got size"),
        (
            {"limits": {"foreground": (3.0, -1.0), "border": (0.0, 1.0)}},
            "limits of foreground, the lower first, but got 3.0 and -1.0",
        ),
        ({"error": 1.5}, "Expected an error of 0 to 1, but got 1.5"),
    ],
)
def test_a_calibration_refuses_what_it_cannot_mean(changes, message):
    mapping = to_mapping(CALIBRATION)
    with pytest.raises(ConfigError, match=message):
        from_mapping(Calibration, mapping | changes, where="model.toml")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"intercept": np.nan}, "intercept"),
        ({"weights": {"foreground": np.nan, "border": 0.0}}, "foreground"),
        ({"middles": {"border": np.nan}}, "border"),
        ({"class_offsets": {"cell": np.nan}}, "cell"),
    ],
)
def test_a_calibration_takes_finite_numbers(changes, name):
    # A score that is NaN would be below any limit, and all objects be left out without a word.
    with pytest.raises(ValueError, match=f"Expected a finite number for {name}, but got nan"):
        replace(CALIBRATION, **changes)
