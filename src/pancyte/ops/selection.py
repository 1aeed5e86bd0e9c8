"""Some of the objects of a segmentation: the others leave labels and table, which stay in step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pancyte.ops.ids import map_ids

if TYPE_CHECKING:
    from pancyte.types import BoolArray, Segmentation


def keep_objects(found: Segmentation, keep: BoolArray) -> Segmentation:
    """Keep some objects, and number those of each class 1..n in the order of their ids.

    Parameters
    ----------
    found
        Labels (K, [Z,] Y, X) with any ids, and a table with the columns class and label that has
        one row for each object of the labels.
    keep
        (num_objects,) one value per row of the table.

    Returns
    -------
    Segmentation
        Rows stay in their order. Columns that name other objects, such as ``parent``, are as they
        were: ``Task.relate`` brings them up to date.
    """
    labels = np.zeros_like(found.labels)
    old, new = found.objects["label"], np.zeros(found.objects.num_objects, np.int32)
    for k, name in enumerate(found.classes):
        rows = np.flatnonzero((found.objects["class"] == name) & keep)
        new[rows] = 1 + np.argsort(np.argsort(old[rows]))
        plane = np.ascontiguousarray(found.labels[k])
        table = np.zeros(int(plane.max(initial=0)) + 1, np.int32)
        table[old[rows]] = new[rows]
        labels[k] = map_ids(plane, table)
    objects = found.objects.with_columns({"label": new}).select(keep)
    return replace(found, labels=labels, objects=objects)
