"""Kinds of image found by clustering: k-means on embeddings, with a given or a chosen number.

MEDIAR clustered its training images so that rare kinds could be drawn more often; the number was
40. Clusters are numbered from the largest to the smallest.

References
----------
Lee, Kim, Kim, Yun 2023, MEDIAR, arXiv:2212.03465; Rousseeuw 1987, silhouettes,
doi:10.1016/0377-0427(87)90125-7. scikit-learn does the clustering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.types import FloatArray

_MOST_AUTOMATIC: Final = 40

Clusters = npt.NDArray[np.intp]
"""(n,) number of each image's cluster, 0 is the largest cluster."""


@params
class Clustering:
    """Into how many clusters images are divided."""

    clusters: int | Literal["auto"] = 40
    """Number of clusters, as in MEDIAR, or ``auto``: the number from 2 to 40 with the best
    silhouette. Never more than there are different images."""
    seed: int = 0
    """Of the first guesses of k-means."""

    def __post_init__(self) -> None:
        if self.clusters != "auto" and self.clusters < 1:
            msg = f"Expected clusters to be auto or at least 1, but got {self.clusters}"
            raise ValueError(msg)


def cluster_embeddings(embeddings: FloatArray, settings: Clustering) -> Clusters:
    """Divide images into clusters of similar embeddings.

    Parameters
    ----------
    embeddings
        (n, D) one row for each image.
    settings
        How many clusters.

    Returns
    -------
    Clusters of shape (n,)
        Numbered from 0 by falling size, and by the first image where sizes are equal.

    Raises
    ------
    ValueError
        There is no image.
    """
    if embeddings.ndim != 2 or len(embeddings) == 0:
        msg = f"Expected embeddings (n, D) of at least one image, but got {embeddings.shape}"
        raise ValueError(msg)
    centered = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    most = len(np.unique(centered, axis=0))
    if settings.clusters == "auto":
        return _number_by_size(_best_clusters(centered, most, settings.seed))
    return _number_by_size(_k_means(centered, min(settings.clusters, most), settings.seed))


def order_by_typicality(embeddings: FloatArray, clusters: Clusters, number: int) -> Clusters:
    """Return the images of a cluster, those nearest to its mean first.

    Examples
    --------
    >>> embeddings = np.array([[0.0], [9.0], [4.0], [5.0]], np.float32)
    >>> order_by_typicality(embeddings, np.array([0, 1, 0, 0]), 0)
    array([2, 3, 0])
    """
    members = np.flatnonzero(clusters == number)
    rows = embeddings[members].astype(np.float64)
    away = np.square(rows - rows.mean(axis=0)).sum(axis=1)
    return np.asarray(members[np.argsort(away, kind="stable")])


def _best_clusters(points: npt.NDArray[np.float64], most: int, seed: int) -> Clusters:
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    # A silhouette needs two clusters and one more image.
    highest = min(_MOST_AUTOMATIC, most, len(points) - 1)
    candidates = [_k_means(points, k, seed) for k in range(2, highest + 1)]
    if not candidates:
        return np.zeros(len(points), dtype=np.intp)
    return max(candidates, key=lambda clusters: silhouette_score(points, clusters))


def _k_means(points: npt.NDArray[np.float64], number: int, seed: int) -> Clusters:
    from sklearn.cluster import KMeans  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # Threads add up in the order in which they finish.
    with threadpool_limits(limits=1):
        fitted = KMeans(n_clusters=number, n_init=10, random_state=seed).fit(points)
    return np.asarray(fitted.labels_, dtype=np.intp)


def _number_by_size(clusters: Clusters) -> Clusters:
    _, first, inverse, counts = np.unique(
        clusters, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts))
    return np.asarray(np.argsort(order)[inverse], dtype=np.intp)
