from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pancyte.io.results import predicted_files, read_run
from pancyte.io.tables import write_json

if TYPE_CHECKING:
    from pathlib import Path


def test_the_files_of_a_prediction_are_those_that_it_lists(tmp_path: Path) -> None:
    document = {
        "pancyte": "9",
        "images": [{"labels": "x/a_labels.tif", "overlay": "x/a_overlay.png"}, {}],
        "written": ["b_labels.tif", "run.json"],
    }
    write_json(tmp_path / "run.json", document)
    assert read_run(tmp_path) == document
    assert predicted_files(tmp_path) == {
        "x/a_labels.tif", "x/a_overlay.png", "b_labels.tif", "run.json",
    }  # fmt: skip


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"images": []}'])
def test_a_folder_without_prediction_has_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    assert read_run(tmp_path) is None
    assert predicted_files(tmp_path) == frozenset()
