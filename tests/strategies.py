"""Random label images for property tests, as hypothesis strategies.

``labels()`` draws one plane of any kind below. Every array is int32 and read-only, so that a
function that writes into its input fails its test.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

KINDS = (
    "empty", "pixel", "touching", "blobs", "rings", "nested", "border", "many", "noise",
    "full", "thin",
)  # fmt: skip
VOLUME_KINDS = ("empty", "voxel", "touching", "blobs", "border", "noise", "full", "sheets")
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def labels(draw, *, max_side=48, kinds=KINDS, gaps=True):
    """One plane (Y, X) of up to ``max_side`` pixels; with ``gaps`` the ids may leave some out."""
    shape = (draw(st.integers(1, max_side)), draw(st.integers(1, max_side)))
    rng = np.random.default_rng(draw(SEEDS))
    plane = make_labels(draw(st.sampled_from(kinds)), shape, rng)
    if gaps and draw(st.booleans()):
        plane = spread_ids(plane, rng)
    return frozen(plane)


@st.composite
def label_pairs(draw, *, max_side=48):
    """Two planes of one shape: unrelated, renamed, or one a disturbed copy of the other."""
    truth = draw(labels(max_side=max_side))
    rng = np.random.default_rng(draw(SEEDS))
    how = draw(st.sampled_from(("unrelated", "renamed", "disturbed", "disturbed")))
    if how == "unrelated":
        other = make_labels(draw(st.sampled_from(KINDS)), truth.shape, rng)
    elif how == "renamed":
        other = spread_ids(truth, rng)
    else:
        other = disturb(truth, rng)
    return truth, frozen(other)


@st.composite
def label_planes(draw, *, max_classes=3, max_side=32):
    """Several class planes (K, Y, X) whose objects may overlap between planes."""
    num_classes = draw(st.integers(1, max_classes))
    shape = (draw(st.integers(1, max_side)), draw(st.integers(1, max_side)))
    rng = np.random.default_rng(draw(SEEDS))
    kinds = [draw(st.sampled_from(KINDS)) for _ in range(num_classes)]
    return frozen(np.stack([make_labels(kind, shape, rng) for kind in kinds]))


def cells(*, max_side=96, min_diameter=8, max_diameter=24):
    """Touching cells without gaps in their ids, for round trips through a field."""
    return st.builds(
        lambda height, width, diameter, seed: frozen(
            voronoi_cells((height, width), diameter, np.random.default_rng(seed))
        ),
        st.integers(32, max_side),
        st.integers(32, max_side),
        st.integers(min_diameter, max_diameter),
        SEEDS,
    )


@st.composite
def label_volumes(draw, *, max_side=14, kinds=VOLUME_KINDS):
    """One volume (Z, Y, X) of labels, flat or long in one axis as it comes."""
    shape = tuple(draw(st.integers(1, max_side)) for _ in range(3))
    rng = np.random.default_rng(draw(SEEDS))
    kind = draw(st.sampled_from(kinds))
    volume = np.zeros(shape, np.int32)
    if kind == "voxel":
        volume[tuple(rng.integers(shape))] = 1
    elif kind == "touching":
        volume = voronoi_volume(shape, int(rng.integers(4, 9)), rng)
    elif kind == "blobs":
        volume = (gaussian_filter(rng.normal(size=shape), 1.2) > 0).astype(np.int32)
    elif kind == "border":
        volume[0], volume[:, -1], volume[..., 0] = 1, 2, 3
    elif kind == "noise":
        volume = rng.integers(0, 3, shape).astype(np.int32)
    elif kind == "full":
        volume[:] = 1
    elif kind == "sheets":
        volume[:, ::2] = 1 + np.arange(len(volume[0, ::2]))[:, None]
    return frozen(consecutive(volume))


def make_labels(kind, shape, rng):
    """One plane of the given kind, ids 1..n."""
    plane = np.zeros(shape, np.int32)
    if kind == "pixel":
        plane[rng.integers(shape[0]), rng.integers(shape[1])] = 1
    elif kind == "full":
        plane[:] = 1
    elif kind == "touching":
        plane = voronoi_cells(shape, int(rng.integers(4, 14)), rng, gap=0.0)
    elif kind == "blobs":
        plane = voronoi_cells(shape, int(rng.integers(5, 16)), rng)
    elif kind == "many":
        plane = np.arange(1, plane.size + 1, dtype=np.int32).reshape(shape)
    elif kind == "noise":
        plane = rng.integers(0, 4, shape).astype(np.int32)
    elif kind in ("rings", "nested"):
        draw_rings(plane, rng, fill=kind == "nested")
    elif kind == "border":
        plane[0], plane[-1], plane[:, -1] = 1, 2, 3
    elif kind == "thin":
        plane[:: int(rng.integers(2, 5))] = 1
        plane = plane * (1 + np.arange(shape[0], dtype=np.int32))[:, None]
    return consecutive(plane)


def voronoi_cells(shape, diameter, rng, *, gap=0.15):
    """Touching cells of about the given diameter; a part ``gap`` of the seeds is background."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    num_seeds = max(1, round(shape[0] * shape[1] / (0.8 * diameter**2)))
    seeds = rng.random((num_seeds, 2)) * shape
    apart = (yy[..., None] - seeds[:, 0]) ** 2 + (xx[..., None] - seeds[:, 1]) ** 2
    nearest = apart.argmin(-1)
    ids = np.arange(1, num_seeds + 1)
    ids[rng.random(num_seeds) < gap] = 0
    inside = apart.min(-1) < (0.75 * diameter) ** 2
    return consecutive(np.where(inside, ids[nearest], 0).astype(np.int32))


def voronoi_volume(shape, diameter, rng, *, gap=0.15):
    """The same in a volume (Z, Y, X)."""
    place = np.stack(np.indices(shape), -1)
    seeds = rng.random((max(1, round(np.prod(shape) / (0.6 * diameter**3))), 3)) * shape
    apart = ((place[..., None, :] - seeds) ** 2).sum(-1)
    ids = np.arange(1, len(seeds) + 1)
    ids[rng.random(len(seeds)) < gap] = 0
    inside = apart.min(-1) < (0.75 * diameter) ** 2
    return consecutive(np.where(inside, ids[apart.argmin(-1)], 0).astype(np.int32))


def draw_rings(plane, rng, *, fill):
    """Draw rings of 1 to 3 px into plane, with another object inside each where ``fill`` is set."""
    yy, xx = np.mgrid[: plane.shape[0], : plane.shape[1]]
    for k in range(int(rng.integers(1, 4))):
        radius = np.hypot(*(rng.random(2) * plane.shape - np.stack([yy, xx], -1)).T).T
        outer = rng.uniform(3, 12)
        inner = outer - rng.uniform(1, 3)
        plane[radius <= outer] = 0
        plane[(radius <= outer) & (radius > inner)] = 2 * k + 1
        if fill:
            plane[radius <= inner - 2] = 2 * k + 2


def disturb(plane, rng):
    """A copy with objects shifted, dropped and merged, as a prediction has them."""
    out = np.roll(plane, rng.integers(-2, 3, 2), axis=(0, 1))
    ids = np.unique(out)
    table = {int(i): int(i) for i in ids}
    for i in ids[ids > 0]:
        chance = rng.random()
        table[int(i)] = 0 if chance < 0.1 else int(rng.choice(ids)) if chance < 0.2 else int(i)
    return np.vectorize(table.__getitem__, otypes=[np.int32])(out)


def spread_ids(plane, rng):
    """The same objects under other ids, with gaps, some far above 65,535."""
    ids = np.unique(plane)
    ids = ids[ids > 0]
    new = np.unique(rng.integers(1, 2**31 - 1, 2 * len(ids) + 8))
    new = np.where(rng.random() < 0.5, new, 3 * np.arange(1, len(new) + 1))
    table = np.concatenate([[0], rng.permutation(new)[: len(ids)]])
    return table[np.searchsorted(np.concatenate([[0], ids]), plane)].astype(np.int32)


def consecutive(plane):
    """Ids 1..n, by numpy alone: tests of our own renumbering must not rest on it."""
    ids = np.unique(np.concatenate([[0], plane.ravel()]))
    return np.searchsorted(ids, plane).astype(np.int32)


def frozen(array):
    """The array, read-only."""
    array.setflags(write=False)
    return array
