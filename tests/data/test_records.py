"""The manifest: what is written is read, and every slip has its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pancyte.data.records import (
    COLUMNS,
    DataSource,
    Record,
    read_manifest,
    select_split,
    unannotated_classes,
    write_manifest,
)
from pancyte.errors import InputError

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)
NAMES = st.lists(st.sampled_from(["cell", "nucleus", "debris"]), min_size=1, unique=True)
SPACING = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=3)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def manifest(folder, text):
    path = folder / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return path


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.builds(
        dict,
        split=TEXT,
        modality=TEXT,
        group=TEXT,
        source=TEXT,
        weight=st.floats(0, 1e6),
        spacing=st.none() | SPACING.map(tuple),
        annotated=st.none() | NAMES.map(tuple),
    )
)
def test_write_then_read_is_the_identity(tmp_path, values) -> None:
    image, labels = tmp_path / "images" / "ä b,c.tif", tmp_path / "other" / "l.png"
    touch(image, labels)
    records = (Record(image=image, labels=labels, **values), Record(image=image, valid=labels))
    path = tmp_path / "sets" / "manifest.csv"
    path.parent.mkdir(exist_ok=True)
    write_manifest(path, records)
    read = read_manifest(path)
    resolved = [(r.image.resolve(), r.labels and r.labels.resolve()) for r in read]
    assert resolved == [(image, labels), (image, None)]
    assert read[1].valid is not None
    for name in ("split", "modality", "group", "source", "weight", "spacing", "annotated"):
        assert [getattr(r, name) for r in read] == [getattr(r, name) for r in records]


def test_a_manifest_written_by_hand_is_read(tmp_path) -> None:
    touch(tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "a_labels.tif")
    path = tmp_path / "manifest.csv"
    path.write_text(
        "\ufeffimage, labels ,split,weight,spacing,annotated\r\n"
        "a.tif,a_labels.tif, train ,0.5,0.65 0.65,cell; nucleus\r\n"
        ",,,,,\r\n"
        "b.tif,,,,,\r\n",
        encoding="utf-8",
    )
    first, second = read_manifest(path)
    assert first == Record(
        image=tmp_path / "a.tif",
        labels=tmp_path / "a_labels.tif",
        split="train",
        weight=0.5,
        spacing=(0.65, 0.65),
        annotated=("cell", "nucleus"),
    )
    assert second == Record(image=tmp_path / "b.tif")


def test_paths_are_relative_and_empty_columns_are_left_out(tmp_path) -> None:
    record = Record(image=tmp_path / "data" / "a.tif", split="val")
    path = tmp_path / "sets" / "all.csv"
    write_manifest(path, [record])
    # Lines end as in every table that pancyte writes (RFC 4180).
    assert path.read_bytes() == b"image,split\r\n../data/a.tif,val\r\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,lables\na.tif,b.tif\n", r"unknown column 'lables' \(did you mean 'labels'\?\)"),
        ("image,xyz\na.tif,\n", "unknown column 'xyz'. A manifest has the columns image, labels"),
        ("labels\na.tif\n", "expected a column 'image' in the first line"),
        ("image,split,split\na.tif,,\n", "a column name twice"),
        ("image,split\na.tif\n", "row 2 has 1 fields, but there are 2 columns"),
        ("image,split\n,train\n", "row 2: the column 'image' is empty"),
        ("image,weight\na.tif,-1\n", "row 2: Expected weight to be 0 or more, but got -1.0"),
        ("image,weight\na.tif,much\n", "row 2: could not convert string to float: 'much'"),
        ("image,spacing\na.tif,0.5\n", "row 2: Expected spacing to be 2 or 3 positive"),
        ("image\n", "expected at least one row below the header"),
        ("image\nb.tif\n", "1 of 1 files do not exist, such as .*b.tif"),
    ],
)
def test_slips_are_named(tmp_path, text, message) -> None:
    touch(tmp_path / "a.tif")
    with pytest.raises(InputError, match=message):
        read_manifest(manifest(tmp_path, text))


def test_a_missing_manifest_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none.csv: no such table"):
        read_manifest(tmp_path / "none.csv")


def test_select_split_and_columns() -> None:
    records = [Record(image=Path("a"), split="train"), Record(image=Path("b"), split="val")]
    assert select_split(records, "train") == (records[0],)
    records.append(Record(image=Path("c")))
    assert select_split(records, "", "train") == (records[0], records[2])
    assert {*COLUMNS, "class_labels"} == set(Record.__dataclass_fields__)


def test_a_source_with_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight to be 0 or more, but got -1"):
        DataSource(path=Path("x"), weight=-1)


def test_classes_with_files_of_their_own_are_columns(tmp_path) -> None:
    files = [tmp_path / name for name in ("a.tif", "b.tif", "nucleus/a.tif", "cell/a.tif", "c.tif")]
    touch(*files)
    both = (("nucleus", files[2]), ("cell", files[3]))
    records = (
        Record(image=files[0], class_labels=both),
        Record(image=files[1], class_labels=both[1:]),
        Record(image=files[1], labels=files[4], split="val"),
        Record(image=files[1]),
    )
    path = tmp_path / "all.csv"
    write_manifest(path, records)
    assert path.read_text(encoding="utf-8").splitlines() == [
        "image,labels,labels:nucleus,labels:cell,split",
        "a.tif,,nucleus/a.tif,cell/a.tif,",
        "b.tif,,,cell/a.tif,",
        "b.tif,c.tif,,,val",
        "b.tif,,,,",
    ]
    assert read_manifest(path) == records
    assert [r.label_files for r in records] == [tuple(files[2:4]), (files[3],), (files[4],), ()]
    assert [r.labels for r in records] == [files[2], files[3], files[4], None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,labels,labels:cell\na.tif,a.tif,b.tif\n", "one file of labels or one for each"),
        ("image,labels:\na.tif,a.tif\n", "unknown column 'labels:'"),
        ("image,labels:cell\na.tif,none.tif\n", "1 of 2 files do not exist, such as .*none.tif"),
    ],
)
def test_slips_in_the_columns_of_classes_are_named(tmp_path, text, message) -> None:
    touch(tmp_path / "a.tif", tmp_path / "b.tif")
    with pytest.raises(InputError, match=message):
        read_manifest(manifest(tmp_path, text))


def test_a_class_named_twice_is_refused() -> None:
    twice = (("cell", Path("b")), ("cell", Path("c")))
    with pytest.raises(
        ValueError, match=r"each class to be named once, but got \['cell', 'cell'\]"
    ):
        Record(image=Path("a"), class_labels=twice)
    with pytest.raises(ValueError, match="Expected each class once, but got"):
        DataSource(path=Path("x"), classes=("cell", "cell"))


def test_classes_that_nobody_annotated_are_found() -> None:
    cells = Record(image=Path("a"), labels=Path("b"), annotated=("cell",))
    nuclei = Record(image=Path("a"), class_labels=(("nucleus", Path("b")),))
    classes = ("cell", "nucleus", "debris")
    assert unannotated_classes([cells], classes) == ("nucleus", "debris")
    assert unannotated_classes([cells, nuclei], classes) == ("debris",)
    assert unannotated_classes([cells, Record(image=Path("a"), labels=Path("b"))], classes) == ()
