"""Pairs of nested objects: drawn cases, 200 generated pairs, and every assignment tried."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tests.strategies import SEEDS, label_pairs, spread_ids, voronoi_cells

from pancyte.ops.linking import Link, check_links, link_classes, pair_nested
from pancyte.ops.measure import measure_objects
from pancyte.types import ObjectTable, Segmentation


def segmentation(*planes, classes):
    labels = np.stack(planes).astype(np.int32)
    table = measure_objects(labels)
    names = np.asarray(classes)[table["class"]]
    return Segmentation(labels, ObjectTable({"class": names, "label": table["label"]}), classes)


def nested(num_cells, seed, *, side=640):
    """Cells on a jittered grid, each with a nucleus somewhere inside, both as ids 1..n."""
    rng = np.random.default_rng(seed)
    step = side // int(np.ceil(np.sqrt(num_cells)))
    yy, xx = np.mgrid[:side, :side]
    cells, nuclei = np.zeros((2, side, side), np.int32)
    places = list(itertools.product(range(side // step), repeat=2))[:num_cells]
    for i, (row, column) in enumerate(places, start=1):
        radius = rng.uniform(0.3, 0.55) * step  # some touch and cut into each other
        y, x = (np.array([row, column]) + 0.5 + rng.uniform(-0.08, 0.08, 2)) * step
        cells[np.hypot(yy - y, xx - x) < radius] = i
        inner = rng.uniform(0.35, 0.6) * radius
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.9) * (radius - inner)
        y, x = y + away * np.sin(angle), x + away * np.cos(angle)
        nuclei[np.hypot(yy - y, xx - x) < inner] = i
    return nuclei, cells


def test_pair_nested_pairs_what_is_drawn():
    cells = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3]])
    nuclei = np.array([[0, 8, 8, 0, 9, 0, 5, 0, 0, 7, 0, 0]])

    pairs = pair_nested(nuclei, cells)

    assert dict(zip(pairs.children, pairs.parents, strict=True)) == {5: 2, 8: 1}
    assert pairs.containment.tolist() == [1.0, 1.0]
    assert pairs.area_ratio.tolist() == [0.25, 0.5]


def test_pair_nested_prefers_the_larger_of_two_contained_objects():
    cells = np.full((6, 6), 4)
    nuclei = np.zeros((6, 6), int)
    nuclei[0, 0], nuclei[2:4, 2:5] = 1, 2  # a speck and a nucleus
    pairs = pair_nested(nuclei, cells)
    assert (pairs.children.tolist(), pairs.parents.tolist()) == ([2], [4])


def test_pair_nested_takes_a_contained_object_before_a_larger_one_that_only_overlaps():
    cells = np.zeros((4, 12), int)
    cells[:, :6] = 1
    nuclei = np.zeros((4, 12), int)
    nuclei[0, :4] = 1  # contained
    nuclei[1:, 2:9] = 2  # 12 of 21 pixels inside
    assert pair_nested(nuclei, cells).children.tolist() == [1]
    nuclei[0] = 0
    assert pair_nested(nuclei, cells).children.tolist() == [2]


def test_pair_nested_gives_a_parent_to_each_where_one_alone_could_have_its_choice():
    # Nucleus 1 overlaps both cells, nucleus 2 only the first: 1 must go to the second.
    cells = np.array([[1] * 6 + [2] * 6])
    nuclei = np.array([[2, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0]])
    pairs = pair_nested(nuclei, cells, min_overlap=0.3)
    assert dict(zip(pairs.children, pairs.parents, strict=True)) == {1: 2, 2: 1}


def test_pair_nested_takes_the_lowest_id_of_equal_children():
    cells = np.full((3, 9), 1)
    nuclei = np.zeros((3, 9), int)
    nuclei[1, 1], nuclei[1, 4], nuclei[1, 7] = 30, 10, 20
    assert pair_nested(nuclei, cells).children.tolist() == [10]


@pytest.mark.parametrize("seed", range(3))
def test_pair_nested_pairs_200_generated_pairs_and_finds_every_orphan(seed):
    nuclei, cells = nested(200, seed)
    rng = np.random.default_rng(seed)
    renamed = spread_ids(nuclei, rng)
    lost = rng.permutation(200)[:20] + 1  # cells that were not found
    shown = np.where(np.isin(cells, lost), 0, cells)

    pairs = pair_nested(renamed, shown)

    truth = dict(zip(renamed[nuclei > 0].tolist(), nuclei[nuclei > 0].tolist(), strict=True))
    kept = {child: cell for child, cell in truth.items() if cell not in lost}
    found = dict(zip(pairs.children.tolist(), pairs.parents.tolist(), strict=True))
    right = sum(found.get(child) == cell for child, cell in kept.items())
    assert right / len(kept) >= 0.99
    assert not set(truth) - set(kept) & set(found), "an orphan has a parent"
    assert len(set(found.values())) == len(found)


@settings(deadline=None, max_examples=50)
@given(label_pairs(max_side=24), st.sampled_from([0.1, 0.3, 0.5, 0.75]))
def test_pairs_are_one_to_one_and_overlap_as_asked(planes, least):
    child, parent = planes
    pairs = pair_nested(child, parent, min_overlap=least)
    assert (np.diff(pairs.children.astype(np.int64)) > 0).all()
    assert len(np.unique(pairs.parents)) == len(pairs.parents)
    for i, j, part, ratio in zip(
        pairs.children, pairs.parents, pairs.containment, pairs.area_ratio, strict=True
    ):
        shared = ((child == i) & (parent == j)).sum()
        assert part == shared / (child == i).sum() >= least
        assert ratio == (child == i).sum() / (parent == j).sum()
    # Nobody who is alone could still be paired.
    left = np.where(np.isin(child, pairs.children), 0, child)
    free = np.where(np.isin(parent, pairs.parents), 0, parent)
    assert len(pair_nested(left, free, min_overlap=least).children) == 0


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_pairs_follow_their_objects_through_new_ids(seed):
    rng = np.random.default_rng(seed)
    cells = voronoi_cells((40, 40), 12, rng)
    nuclei = np.where(rng.random(cells.shape) < 0.4, cells, 0)
    names, others = spread_ids(nuclei, rng), spread_ids(cells, rng)
    pairs, renamed = pair_nested(nuclei, cells), pair_nested(names, others)
    before = {(i, j) for i, j in zip(pairs.children, pairs.parents, strict=True)}
    back = {
        (nuclei[names == i][0], cells[others == j][0])
        for i, j in zip(renamed.children, renamed.parents, strict=True)
    }
    assert back == before == {(i, i) for i in np.unique(nuclei[nuclei > 0])}


def best_sum(iou):
    """The largest sum of IoU of any assignment, trying all of them."""
    rows, cols = iou.shape
    if rows > cols:
        return best_sum(iou.T)
    picks = itertools.permutations(range(cols), rows)
    return max(sum(iou[i, j] for i, j in enumerate(pick)) for pick in picks)


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_the_assignment_has_the_largest_sum_of_iou(seed):
    rng = np.random.default_rng(seed)
    child, parent = rng.integers(0, 6, (2, 5, 6))
    least = 0.15

    pairs = pair_nested(child, parent, containment=least, min_overlap=least)

    iou = np.zeros((6, 6))
    for i, j in itertools.product(range(1, 6), repeat=2):
        shared = ((child == i) & (parent == j)).sum()
        if (child == i).any() and shared / (child == i).sum() >= least:
            iou[i, j] = shared / ((child == i) | (parent == j)).sum()
    found = sum(iou[i, j] for i, j in zip(pairs.children, pairs.parents, strict=True))
    assert found == pytest.approx(best_sum(iou[1:, 1:]))


def test_no_objects_give_no_pairs():
    empty, full = np.zeros((4, 5), int), np.ones((4, 5), int)
    for child, parent in ((empty, empty), (empty, full), (full, empty)):
        assert len(pair_nested(child, parent).children) == 0


def test_volumes_are_paired_too():
    cells = np.zeros((3, 6, 6), int)
    cells[:, 1:5, 1:5] = 7
    nuclei = np.zeros_like(cells)
    nuclei[1, 2:4, 2:4] = 3
    assert pair_nested(nuclei, cells).parents.tolist() == [7]


def test_link_classes_says_who_belongs_to_whom():
    cells = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3]])
    nuclei = np.array([[0, 1, 1, 0, 2, 0, 3, 0, 0, 0, 0, 0]])
    found = segmentation(cells, nuclei, classes=("cell", "nucleus"))

    linked = link_classes(found, [Link(child="nucleus", parent="cell", flag_childless=True)])

    assert_array_equal(linked.labels, found.labels)
    assert {name: column.tolist() for name, column in linked.objects.items()} == {
        "class": ["cell"] * 3 + ["nucleus"] * 3,
        "label": [1, 2, 3, 1, 2, 3],
        "parent_class": ["", "", "", "cell", "cell", "cell"],
        "parent": [0, 0, 0, 1, 0, 2],
        "area_ratio": pytest.approx([np.nan] * 3 + [0.5, np.nan, 0.25], nan_ok=True),
        "orphan": [False, False, False, False, True, False],
        "childless": [False, False, True, False, False, False],
    }
    assert "childless" not in link_classes(found, [Link(child="nucleus", parent="cell")]).objects
    assert link_classes(found, []) is found


def test_shared_ids_are_those_of_the_family_and_of_nobody_else():
    cells = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 3, 3]])
    nuclei = np.array([[0, 0, 0, 0, 1, 0, 2, 2, 0, 0, 0, 3, 3, 0]])
    nucleoli = np.array([[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 3, 0, 0]])
    classes = ("nucleolus", "cell", "nucleus")
    found = segmentation(nucleoli, cells, nuclei, classes=classes)
    links = [
        Link(child="nucleolus", parent="nucleus", share_ids=True),
        Link(child="nucleus", parent="cell", share_ids=True),
    ]

    linked = link_classes(found, links)

    # Nucleus 1 is an orphan with a nucleolus: both are 4. Nucleolus 1 has no nucleus: it is 5.
    assert_array_equal(linked.labels[1], cells)
    assert linked.labels[2].tolist() == [[0, 0, 0, 0, 4, 0, 2, 2, 0, 0, 0, 3, 3, 0]]
    assert linked.labels[0].tolist() == [[5, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0]]
    rows = zip(*(linked.objects[n].tolist() for n in ("class", "label", "parent")), strict=True)
    assert list(rows) == [
        ("nucleolus", 3, 3), ("nucleolus", 4, 4), ("nucleolus", 5, 0),
        ("cell", 1, 0), ("cell", 2, 0), ("cell", 3, 0),
        ("nucleus", 2, 2), ("nucleus", 3, 3), ("nucleus", 4, 0),
    ]  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.booleans(), st.booleans())
def test_linking_keeps_objects_and_table_in_step_and_again_changes_nothing(seed, first, second):
    rng = np.random.default_rng(seed)
    planes = [voronoi_cells((40, 44), size, rng, gap=0.3) for size in (14, 7, 6)]
    found = segmentation(*planes, classes=("cell", "nucleus", "vacuole"))
    links = [
        Link(child="nucleus", parent="cell", share_ids=first),
        Link(child="vacuole", parent="cell", share_ids=second, min_overlap=0.3),
    ]

    linked = link_classes(found, links)

    table = measure_objects(linked.labels)
    assert_array_equal(np.asarray(linked.classes)[table["class"]], linked.objects["class"])
    assert_array_equal(table["label"], linked.objects["label"])
    assert_array_equal(linked.labels > 0, found.labels > 0)
    parents = linked.objects["parent"]
    assert set(parents[parents > 0]) <= set(np.unique(linked.labels[0]))
    assert_array_equal(
        linked.objects["orphan"], (linked.objects["parent_class"] != "") & (parents == 0)
    )
    for name, shared in (("nucleus", first), ("vacuole", second)):
        rows = linked.objects["class"] == name
        paired = rows & (parents > 0)
        assert len(np.unique(parents[paired])) == paired.sum()
        if shared:
            assert_array_equal(parents[paired], linked.objects["label"][paired])
            alone = linked.objects["label"][rows & (parents == 0)]
            assert not set(alone) & set(np.unique(linked.labels[0]))
    again = link_classes(linked, links)
    assert_array_equal(again.labels, linked.labels)
    for name in linked.objects:
        assert_array_equal(again.objects[name], linked.objects[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"child": "a", "parent": "a"}, "different classes, but got 'a' twice"),
        ({"child": "a", "parent": "b", "containment": 1.5}, "above 0 to 1 .* but got 1.5 and 0.5"),
        ({"child": "a", "parent": "b", "min_overlap": 0.0}, "but got 0.75 and 0.0"),
        ({"child": "a", "parent": "b", "min_overlap": 0.8}, "but got 0.75 and 0.8"),
    ],
)
def test_link_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Link(**settings)


def test_check_links_refuses_what_makes_no_tree():
    link = Link(child="nucleus", parent="cell")
    check_links([link, Link(child="vacuole", parent="cell")], ("cell", "nucleus", "vacuole"))
    with pytest.raises(ValueError, match=r"between the classes \('cell',\), but got 'nucleus'"):
        check_links([link], ("cell",))
    twice = [link, Link(child="nucleus", parent="colony")]
    with pytest.raises(ValueError, match="'nucleus' is linked to 'cell' and 'colony'"):
        check_links(twice, ("cell", "nucleus", "colony"))
    ring = [link, Link(child="cell", parent="nucleus")]
    with pytest.raises(ValueError, match="links that end, but 'nucleus' belongs to itself"):
        check_links(ring, ("cell", "nucleus"))


def test_pair_nested_refuses_parts_and_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="min_overlap not the larger one, but got 0.2 and 0.5"):
        pair_nested(np.ones((2, 2), int), np.ones((2, 2), int), containment=0.2)
    with pytest.raises(ValueError, match="of one shape"):
        pair_nested(np.ones((2, 2), int), np.ones((2, 3), int))
