"""Clusters of embeddings: the groups that are there, numbered by size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pancyte.data.modality import Clustering, cluster_embeddings, order_by_typicality

SIZES = (9, 5, 3)


def groups(seed=0):
    """Embeddings in three tight groups of 9, 5 and 3, mixed, and the group of each."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(3), SIZES))
    centers = 10 * np.eye(3, 6)
    return (centers[truth] + 0.1 * rng.normal(size=(17, 6))).astype(np.float32), truth


@pytest.mark.parametrize("clusters", [3, "auto"])
@pytest.mark.parametrize("seed", [0, 1])
def test_groups_that_are_apart_are_found_and_numbered_by_size(seed, clusters) -> None:
    embeddings, truth = groups(seed)
    assert_array_equal(cluster_embeddings(embeddings, Clustering(clusters=clusters)), truth)


def test_the_same_seed_gives_the_same_clusters() -> None:
    noise = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    first, second = (cluster_embeddings(noise, Clustering(clusters=7)) for _ in range(2))
    assert_array_equal(first, second)
    assert (np.diff(np.bincount(first)) <= 0).all()


def test_there_are_never_more_clusters_than_different_images() -> None:
    twice = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
    for clusters in (40, "auto"):
        found = cluster_embeddings(twice, Clustering(clusters=clusters))
        assert_array_equal(found, [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("number", [1, 2])
def test_one_image_or_two_need_no_silhouette(number) -> None:
    embeddings = np.eye(number, 4, dtype=np.float32)
    found = cluster_embeddings(embeddings, Clustering(clusters="auto"))
    assert_array_equal(found, np.zeros(number))


def test_typical_images_come_first() -> None:
    embeddings, truth = groups()
    order = order_by_typicality(embeddings, truth, 0)
    rows = embeddings[truth == 0]
    away = np.linalg.norm(embeddings - rows.mean(axis=0), axis=1)[order]
    assert (np.diff(away) >= 0).all()
    assert_array_equal(np.sort(order), np.flatnonzero(truth == 0))


def test_no_image_and_no_cluster_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one image, but got \(0, 4\)"):
        cluster_embeddings(np.zeros((0, 4), np.float32), Clustering())
    with pytest.raises(ValueError, match="clusters to be auto or at least 1, but got 0"):
        Clustering(clusters=0)
