from __future__ import annotations

from pathlib import Path

import numpy as np

from pancyte.io.tables import read_csv, read_json
from pancyte.types import ObjectTable
from pancyte.workflows.results import Results, join_tables, with_file


def table(**columns: list) -> ObjectTable:
    return ObjectTable({name.replace("_0", "-0"): np.array(c) for name, c in columns.items()})


def test_join_tables_fills_what_a_table_does_not_have() -> None:
    gray = table(label=[1, 2], mean_0=[5.0, 6.0], border=[True, False])
    color = ObjectTable({"label": np.array([1]), "mean-0": np.array([7.0]),
                         "mean-1": np.array([8.0]), "border": np.array([False])})  # fmt: skip
    joined = join_tables([gray, color])
    assert list(joined) == ["label", "mean-0", "mean-1", "border"]
    assert joined["mean-1"] == [None, None, 8.0]
    assert joined["label"] == [1, 2, 1]


def test_join_tables_of_nothing_has_a_header() -> None:
    assert join_tables([]) == {"file": [], "class": [], "label": []}


def test_with_file_puts_the_name_first() -> None:
    named = with_file(table(label=[1, 2]), "a.tif")
    assert list(named) == ["file", "label"]
    assert named["file"].tolist() == ["a.tif", "a.tif"]


def test_objects_are_counted_without_tables_too(tmp_path: Path) -> None:
    entry = {"file": "a.tif", "num_objects": 7}
    results = Results({"pancyte": "9"}, images=[entry], write_tables=False)
    results.write(tmp_path, status="complete")
    assert read_json(tmp_path / "run.json")["num_objects"] == results.num_objects == 7


def test_results_are_written_and_read_back(tmp_path: Path) -> None:
    results = Results(header={"pancyte": "9", "seed": 3})
    results.tables.append(with_file(table(label=[1, 2], score=[0.5, np.float32(0.1)]), "a, b.tif"))
    entry = {"num_objects": 2, "scale": 1.0, "seconds": 0.1, "warnings": ["unsure"]}
    results.images.append({"file": "a, b.tif", **entry})
    results.failures.append({"file": "c.tif", "error": "is truncated"})
    results.write(tmp_path, status="partial")
    assert read_csv(tmp_path / "objects.csv")["file"] == ["a, b.tif", "a, b.tif"]
    images = read_csv(tmp_path / "images.csv")
    assert images["status"] == ["done", "failed"]
    assert images["note"] == ["unsure", "is truncated"]
    document = read_json(tmp_path / "run.json")
    assert document["status"] == "partial"
    assert document["seed"] == 3
    assert document["num_objects"] == 2
    assert document["failures"] == [{"file": "c.tif", "error": "is truncated"}]
    assert document["started"] <= document["finished"]
