"""Objects of one class to those of another that they belong to: each nucleus to its cell.

Every class is decoded on its own, so nothing says which nucleus is whose. Here each child object is
paired with at most one parent, and each parent with at most one child::

    cell     1 1 1 1 . 2 2 2 2 .       pairs    nucleus 1 - cell 1, nucleus 2 - cell 2
    nucleus  . 1 1 . . . 2 . . 3       orphan   nucleus 3: no cell holds it

Those that lie inside a parent come first, then those that overlap one; where several compete, the
assignment with the largest sum of IoU wins. Work is one pass over the pixels and a sparse problem
of the pairs that touch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pancyte.ops.ids import map_ids
from pancyte.ops.overlap import OverlapTable, overlap_table
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pancyte.types import Column, IntArray, ObjectTable, Segmentation

_CONTAINMENT = 0.75
_LEAST_OVERLAP = 0.5


@params
class Link:
    """Every object of one class belongs to one object of another class."""

    child: str
    """Class that lies inside, such as ``nucleus``. A class is the child of one link at most."""
    parent: str
    """Class that it belongs to, such as ``cell``."""
    share_ids: bool = False
    """Whether a pair gets one number in both planes of the label image. Numbers of objects without
    a partner are then used in neither of the other planes, so that the child's plane has gaps."""
    containment: float = _CONTAINMENT
    """Part of a child's area inside a parent from which on it counts as contained, above 0 to 1.
    Contained children are paired first."""
    min_overlap: float = _LEAST_OVERLAP
    """Smallest part of a child's area inside its parent, above 0 to ``containment``."""
    flag_childless: bool = False
    """Whether parents without a child are marked, in the column ``childless``."""

    def __post_init__(self) -> None:
        if self.child == self.parent:
            msg = f"Expected child and parent to be different classes, but got {self.child!r} twice"
            raise ValueError(msg)
        _check_parts(self.containment, self.min_overlap)


@dataclass(frozen=True, slots=True, eq=False)
class NestedPairs:
    """The p pairs of children and parents, in the order of the children's ids."""

    children: IntArray
    """(p,) ids, ascending."""
    parents: IntArray
    """(p,) id of the parent of each."""
    containment: npt.NDArray[np.float64]
    """(p,) part of the child's area that lies in the parent, 0 to 1."""
    area_ratio: npt.NDArray[np.float64]
    """(p,) area of the child over that of the parent."""


def pair_nested(
    child: npt.ArrayLike,
    parent: npt.ArrayLike,
    *,
    containment: float = _CONTAINMENT,
    min_overlap: float = _LEAST_OVERLAP,
) -> NestedPairs:
    """Pair the objects of one plane with those of another that hold them, one to one.

    Parameters
    ----------
    child, parent
        Labels of one shape, of any number of axes and any integer type.
    containment
        Part of a child's area inside a parent from which on it counts as contained, above 0 to 1.
    min_overlap
        Smallest part of a child's area inside its parent, above 0 to ``containment``.

    Returns
    -------
    NestedPairs
        Children that are not in it are orphans; parents that are not in it have no child.

    Raises
    ------
    ValueError
        The shapes differ, or a part is out of range.

    Notes
    -----
    First the contained children are assigned to parents, then the children that are left to the
    parents that are left. Each of the two assignments has the largest possible sum of IoU, so that
    of two contained nuclei the larger one wins: a speck inside a cell does not displace its
    nucleus. Where children of one parent are equal, the one of the lowest id is taken; other ties
    are broken by the order of ids, always in the same way. No object in either plane gives no pair.

    Examples
    --------
    >>> cells = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2]])
    >>> nuclei = np.array([[0, 5, 5, 0, 7, 0, 6, 0, 0]])
    >>> pairs = pair_nested(nuclei, cells)
    >>> pairs.children, pairs.parents, pairs.area_ratio
    (array([5, 6], dtype=int32), array([1, 2], dtype=int32), array([0.5 , 0.25]))
    """
    _check_parts(containment, min_overlap)
    table = overlap_table(child, parent)
    parts = table.counts / table.truth_areas[table.truth_index]
    chosen = _assign(table, np.flatnonzero(parts >= containment))
    free = ~np.isin(table.truth_index, table.truth_index[chosen])
    free &= ~np.isin(table.prediction_index, table.prediction_index[chosen])
    chosen = np.concatenate([chosen, _assign(table, np.flatnonzero(free & (parts >= min_overlap)))])
    chosen.sort()  # the pairs of the table are in the order of the children
    inner, outer = table.truth_index[chosen], table.prediction_index[chosen]
    return NestedPairs(
        children=table.truth_ids[inner],
        parents=table.prediction_ids[outer],
        containment=parts[chosen],
        area_ratio=table.truth_areas[inner] / table.prediction_areas[outer],
    )


def check_links(links: Sequence[Link], classes: Sequence[str]) -> None:
    """Raise an error where links name unknown classes, or do not make a tree.

    Parameters
    ----------
    links
        Any number of them.
    classes
        Names of the K classes.

    Raises
    ------
    ValueError
        A class does not exist, is the child of two links, or is its own ancestor.
    """
    parents: dict[str, str] = {}
    for link in links:
        for name in (link.child, link.parent):
            if name not in classes:
                msg = f"Expected links between the classes {tuple(classes)}, but got {name!r}"
                raise ValueError(msg)
        if link.child in parents:
            msg = (
                f"Expected each class to be the child of one link, but {link.child!r} is linked to "
                f"{parents[link.child]!r} and {link.parent!r}. Link them in a chain."
            )
            raise ValueError(msg)
        parents[link.child] = link.parent
    for start in parents:
        name, seen = start, {start}
        while name in parents:
            name = parents[name]
            if name in seen:
                msg = f"Expected links that end, but {start!r} belongs to itself by way of {name!r}"
                raise ValueError(msg)
            seen.add(name)


def link_classes(found: Segmentation, links: Sequence[Link]) -> Segmentation:
    """Pair the objects of linked classes, and say in the table which belongs to which.

    Parameters
    ----------
    found
        Labels (K, [Z,] Y, X) and a table with the columns class and label, one row per object, in
        the order of classes, then of labels.
    links
        As :func:`check_links` accepts them; none leaves everything as it is.

    Returns
    -------
    Segmentation
        With the columns ``parent_class``, ``parent`` (label of the parent, 0 for none),
        ``area_ratio`` (child to parent, NaN for none), ``orphan`` (of a class with a parent, but
        without one), and ``childless`` where a link asks for it. Where links share ids, planes and
        rows are renumbered: parents keep theirs, a child takes that of its parent, and orphans get
        ids above all others of their family.

    Notes
    -----
    Pairs are found in the labels, whatever the table says: to link again after objects were removed
    or renumbered gives what linking only the remaining ones would have given.
    """
    if not links:
        return found
    pairs = {link.child: _pair(found, link) for link in links}
    columns = _empty_columns(found, flag_childless=any(link.flag_childless for link in links))
    for link in links:
        _fill(columns, found.objects, link, pairs[link.child])
    linked = replace(found, objects=found.objects.with_columns(columns))
    shared = [link for link in _parents_first(links) if link.share_ids]
    return _renumber(linked, _family_ids(found, shared, pairs)) if shared else linked


def _check_parts(containment: float, min_overlap: float) -> None:
    if not 0 < min_overlap <= containment <= 1:
        msg = (
            "Expected containment and min_overlap to be parts of a child's area, above 0 to 1 and "
            f"min_overlap not the larger one, but got {containment} and {min_overlap}"
        )
        raise ValueError(msg)


def _assign(table: OverlapTable, candidates: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the candidate pairs that use each object once at most, with the largest sum of IoU."""
    if len(candidates) == 0:
        return candidates
    children, child = np.unique(table.truth_index[candidates], return_inverse=True)
    parents, parent = np.unique(table.prediction_index[candidates], return_inverse=True)
    iou = table.iou[candidates]
    if len(children) == len(candidates):
        # One parent for each child: each parent takes its best.
        order = np.lexsort((child, -iou, parent))
        first = np.unique(parent[order], return_index=True)[1]
        best: npt.NDArray[np.intp] = candidates[order[first]]
        return best
    # Half a second of start-up, for what few images need.
    from scipy.sparse import csr_array  # noqa: PLC0415
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching  # noqa: PLC0415

    # Each child may also stay alone, in a column of its own. Costs are above 0, because a sparse
    # matrix does not tell 0 from absent.
    alone = len(parents) + np.arange(len(children))
    costs = csr_array(
        (
            np.concatenate([2.0 - iou, np.full(len(children), 2.0)]),
            (
                np.concatenate([child, np.arange(len(children))]),
                np.concatenate([parent, alone]),
            ),
        ),
        shape=(len(children), len(parents) + len(children)),
    )
    rows, cols = min_weight_full_bipartite_matching(costs)
    partner = np.full(len(children), -1)
    partner[rows] = cols
    chosen: npt.NDArray[np.intp] = candidates[parent == partner[child]]
    return chosen


def _pair(found: Segmentation, link: Link) -> NestedPairs:
    child, parent = (found.labels[found.classes.index(n)] for n in (link.child, link.parent))
    return pair_nested(child, parent, containment=link.containment, min_overlap=link.min_overlap)


def _empty_columns(found: Segmentation, *, flag_childless: bool) -> dict[str, Column]:
    count = found.objects.num_objects
    width = max(len(name) for name in found.classes)
    columns: dict[str, Column] = {
        "parent_class": np.zeros(count, dtype=f"<U{width}"),
        "parent": np.zeros(count, dtype=np.int32),
        "area_ratio": np.full(count, np.nan, dtype=np.float32),
        "orphan": np.zeros(count, dtype=np.bool_),
    }
    if flag_childless:
        columns["childless"] = np.zeros(count, dtype=np.bool_)
    return columns


def _fill(columns: dict[str, Column], objects: ObjectTable, link: Link, pairs: NestedPairs) -> None:
    """Write what one link says into the rows of its two classes."""
    rows = np.flatnonzero(objects["class"] == link.child)
    labels = objects["label"][rows]
    paired = np.isin(labels, pairs.children)
    place = np.searchsorted(pairs.children, labels[paired])
    columns["parent_class"][rows] = link.parent
    columns["parent"][rows[paired]] = pairs.parents[place]
    columns["area_ratio"][rows[paired]] = pairs.area_ratio[place]
    columns["orphan"][rows] = ~paired
    if link.flag_childless:
        rows = np.flatnonzero(objects["class"] == link.parent)
        columns["childless"][rows] |= ~np.isin(objects["label"][rows], pairs.parents)


def _parents_first(links: Sequence[Link]) -> list[Link]:
    left, ordered = list(links), []
    while left:
        children = {link.child for link in left}
        ordered += [link for link in left if link.parent not in children]
        left = [link for link in left if link.parent in children]
    return ordered


def _family_ids(
    found: Segmentation, links: Sequence[Link], pairs: Mapping[str, NestedPairs]
) -> dict[str, IntArray]:
    """Return a table of new ids for each class whose ids are shared; links are parents first."""
    labels = {
        name: found.objects["label"][found.objects["class"] == name] for name in found.classes
    }
    tables: dict[str, IntArray] = {}
    family, used = {}, {}
    for link in links:
        if link.parent not in tables:
            table = np.zeros(_length(labels[link.parent]), dtype=np.int32)
            table[np.sort(labels[link.parent])] = np.arange(1, len(labels[link.parent]) + 1)
            tables[link.parent] = table
            family[link.parent], used[link.parent] = link.parent, len(labels[link.parent])
        root = family[link.child] = family[link.parent]
        table = np.zeros(_length(labels[link.child]), dtype=np.int32)
        pair = pairs[link.child]
        table[pair.children] = tables[link.parent][pair.parents]
        orphans = np.setdiff1d(labels[link.child], pair.children)
        table[orphans] = np.arange(used[root] + 1, used[root] + 1 + len(orphans))
        used[root] += len(orphans)
        tables[link.child] = table
    return tables


def _length(labels: IntArray) -> int:
    return int(labels.max(initial=0)) + 1


def _renumber(found: Segmentation, tables: Mapping[str, IntArray]) -> Segmentation:
    labels, objects = found.labels.copy(), found.objects
    label, parent = objects["label"].copy(), objects["parent"].copy()
    for name, table in tables.items():
        k = found.classes.index(name)
        labels[k] = map_ids(np.ascontiguousarray(found.labels[k]), table)
        rows = objects["class"] == name
        label[rows] = table[objects["label"][rows]]
        rows = objects["parent_class"] == name
        parent[rows] = table[objects["parent"][rows]]
    place = np.array([found.classes.index(name) for name in objects["class"]], dtype=np.intp)
    order = np.lexsort((label, place))
    objects = objects.with_columns({"label": label, "parent": parent}).select(order)
    return replace(found, labels=labels, objects=objects)
