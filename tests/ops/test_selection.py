"""Some objects of a segmentation."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from tests.strategies import SEEDS, label_planes

from pancyte.ops.measure import measure_objects
from pancyte.ops.selection import keep_objects
from pancyte.types import ObjectTable, Segmentation


@settings(deadline=None, max_examples=30)
@given(label_planes(), SEEDS)
def test_keep_objects_keeps_labels_and_table_in_step(labels, seed):
    classes = tuple("abc"[: len(labels)])
    table = measure_objects(labels)
    columns = {"class": np.asarray(classes)[table["class"]], "label": table["label"]}
    found = Segmentation(labels, ObjectTable(columns | {"area": table["area"]}), classes)
    keep = np.random.default_rng(seed).random(found.objects.num_objects) < 0.6

    kept = keep_objects(found, keep)

    after = measure_objects(kept.labels)
    assert_array_equal(np.asarray(classes)[after["class"]], kept.objects["class"])
    assert_array_equal(after["label"], kept.objects["label"])
    assert_array_equal(after["area"], found.objects["area"][keep])
    for k, name in enumerate(classes):
        ids = kept.objects["label"][kept.objects["class"] == name]
        assert_array_equal(ids, np.arange(1, len(ids) + 1))
        assert_array_equal(kept.labels[k] > 0, np.isin(labels[k], gone_to(found, keep, name)))


def gone_to(found, keep, name):
    """The ids that were kept, as they were before."""
    return found.objects["label"][keep & (found.objects["class"] == name)]
