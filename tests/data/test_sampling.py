"""How often records are drawn: by probabilities, or by lists that amplify rare modalities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pancyte.data.records import Record
from pancyte.data.sampling import draws_per_epoch, epoch_draws, record_probabilities

SETTINGS = settings(deadline=None, max_examples=50)


def make(*rows):
    return [Record(image=Path(f"{k}.tif"), **row) for k, row in enumerate(rows)]


PHASE, SEM = {"modality": "phase"}, {"modality": "sem"}


@pytest.mark.parametrize(("balance", "expected"), [(0.0, 0.1), (1.0, 0.5), (0.5, 1 / (1 + 3))])
def test_balance_moves_from_images_to_modalities(balance, expected) -> None:
    records = make(*[PHASE] * 9, SEM)
    assert record_probabilities(records, balance=balance)[-1] == pytest.approx(expected)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_weights_count_within_and_between_modalities(balance) -> None:
    records = make({**PHASE, "weight": 2.0}, PHASE, {**SEM, "weight": 0.5}, {**SEM, "weight": 0.5})
    p = record_probabilities(records, balance=balance)
    assert p[0] / p[1] == pytest.approx(2.0)
    assert p[2:].sum() / p[:2].sum() == pytest.approx(1.0 / 3.0)
    assert p.sum() == pytest.approx(1.0)


def test_a_weight_of_zero_is_never_drawn_and_does_not_count_as_an_image() -> None:
    records = make(PHASE, {**PHASE, "weight": 0.0}, SEM)
    assert_allclose(record_probabilities(records, balance=0.5), [0.5, 0.0, 0.5])


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one record with a weight above 0, but got 1"):
        record_probabilities(make({"weight": 0.0}))
    with pytest.raises(ValueError, match="balance to lie in 0 to 1, but got 2"):
        record_probabilities(make({}), balance=2)


def test_probabilities_are_those_of_many_draws() -> None:
    p = record_probabilities(make(*[PHASE] * 3, SEM), balance=1.0)
    draws = np.searchsorted(np.cumsum(p), np.random.default_rng(0).random(4000), side="right")
    assert_allclose(np.bincount(draws, minlength=4) / 4000, p, atol=0.03)


def test_amplified_probabilities_are_in_proportion_to_the_draws_of_an_epoch() -> None:
    records = make(*[PHASE] * 30, *[SEM] * 5, {**SEM, "weight": 0.0})
    p = record_probabilities(records, balance=0.0, amplify=10)
    assert_allclose(p * 40, [1.0] * 30 + [2.0] * 5 + [0.0])


ROWS = st.lists(
    st.tuples(st.sampled_from(["", "phase", "sem", "dic"]), st.sampled_from([0.0, 0.5, 1.0, 3.0])),
    min_size=1,
    max_size=40,
).filter(lambda rows: any(weight > 0 for _, weight in rows))


@SETTINGS
@given(ROWS, st.none() | st.integers(1, 60), st.integers(0, 2**40), st.integers(0, 1000))
def test_an_epoch_draws_each_modality_as_often_as_it_was_amplified(rows, amplify, seed, epoch):
    records = make(*[{"modality": modality, "weight": weight} for modality, weight in rows])
    draws = epoch_draws(records, amplify=amplify, seed=seed, epoch=epoch)
    counts = np.bincount(draws, minlength=len(records))
    for modality in {modality for modality, _ in rows}:
        weights = np.array([weight * (kind == modality) for kind, weight in rows])
        number = int((weights > 0).sum())
        expected = max(amplify or 0, number) if number else 0
        inside = np.array([kind == modality for kind, _ in rows])
        assert counts[inside].sum() == expected
        share = expected * weights / max(weights.sum(), 1e-9)
        assert (np.abs(counts - share)[inside] < 1 + 1e-9).all()
    assert len(draws) == draws_per_epoch(records, amplify=amplify)
    again = epoch_draws(records, amplify=amplify, seed=seed, epoch=epoch)
    assert (draws == again).all()


def test_an_epoch_without_amplification_shows_each_image_once_in_an_order_of_its_own() -> None:
    records = make(*[PHASE] * 20, *[SEM] * 3)
    orders = [tuple(epoch_draws(records, seed=s, epoch=e)) for s in range(3) for e in range(3)]
    assert all(sorted(order) == list(range(23)) for order in orders)
    assert len(set(orders)) == 9


def test_over_many_epochs_each_image_has_its_share() -> None:
    records = make(*[{**PHASE, "weight": w} for w in (1.0, 2.0, 0.5)], SEM)
    draws = [epoch_draws(records, amplify=5, seed=0, epoch=epoch) for epoch in range(400)]
    mean = np.bincount(np.concatenate(draws)) / 400
    assert_allclose(mean, [5 / 3.5, 10 / 3.5, 2.5 / 3.5, 5.0], atol=0.08)


def test_mediars_clusters_make_an_epoch_of_2111_draws() -> None:
    """The sizes of clusters that MEDIAR published: five of forty have 50 images or more."""
    sizes = [56, 58, 59, 71, 117]
    small = [(1000 - sum(sizes)) // 35] * 35
    small[0] += 1000 - sum(sizes) - sum(small)
    records = make(*[{"modality": str(k)} for k, n in enumerate(sizes + small) for _ in range(n)])
    assert len(records) == 1000
    assert draws_per_epoch(records, amplify=50) == 2111


def test_an_epoch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one record with a weight above 0, but got 1"):
        epoch_draws(make({"weight": 0.0}), seed=0, epoch=0)
