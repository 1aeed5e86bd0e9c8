from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.data.records import Record, write_manifest
from pancyte.errors import InputError, UsageError
from pancyte.workflows.outputs import (
    Wanted,
    check_overwriting,
    plan_jobs,
    unique_stems,
    with_class_pictures,
    written_files,
)
from pancyte.workflows.results import Results


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def planned(*sources: Path) -> dict[str, str]:
    return {job.name: job.labels.as_posix() for job in plan_jobs(sources)}


def test_the_folder_structure_is_kept(tmp_path: Path) -> None:
    touch(tmp_path, "day 1/b.tif", "day 2/b.tif", "a.png", "notes.txt")
    assert planned(tmp_path) == {
        "a.png": "a_labels.tif",
        "day 1/b.tif": "day 1/b_labels.tif",
        "day 2/b.tif": "day 2/b_labels.tif",
    }
    assert plan_jobs([tmp_path])[1].overlay.as_posix() == "day 1/b_overlay.png"


def test_a_single_file_needs_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "deep/a.tif", "deep/b.tif")
    assert planned(tmp_path / "deep/a.tif") == {"a.tif": "a_labels.tif"}


def test_several_sources_are_placed_below_the_folder_that_holds_them(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.tif", "y/z/a.tif")
    expected = {"x/a.tif": "x/a_labels.tif", "y/z/a.tif": "y/z/a_labels.tif"}
    assert planned(tmp_path / "x", tmp_path / "y") == expected
    assert planned(tmp_path / "x/a.tif", tmp_path / "y/z/a.tif") == expected


def test_no_result_lies_outside_of_the_folder_of_results(tmp_path: Path) -> None:
    touch(tmp_path, "raw/a.png", "prep/gray/b.png", "raw/sub/c.png")
    expected = {"raw/a.png": "raw/a_labels.tif", "prep/gray/b.png": "prep/gray/b_labels.tif"}
    prep = tmp_path / "prep"
    assert planned(prep / "../raw/a.png", prep / "gray/b.png") == expected
    records = [Record(image=prep / "../raw/a.png"), Record(image=prep / "gray/b.png")]
    write_manifest(prep / "data.csv", records)
    assert planned(prep / "data.csv") == expected
    jobs = plan_jobs([tmp_path / "raw/sub/.."])
    assert [job.name for job in jobs] == ["a.png", "sub/c.png"]


def test_an_image_given_twice_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.tif")
    assert planned(tmp_path / "x/a.tif", tmp_path / "x/a.tif") == {"a.tif": "a_labels.tif"}
    assert planned(tmp_path / "x/a.tif", tmp_path / "x/../x/a.tif") == {"a.tif": "a_labels.tif"}
    assert list(planned(tmp_path / "x", tmp_path / "x/a.tif")) == ["x/a.tif"]


def test_inputs_that_differ_in_suffix_alone_do_not_share_a_result(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.tif", "b.tif", "A.jpg", "sub/a.png")
    assert planned(tmp_path) == {
        "A.jpg": "A.jpg_labels.tif",
        "a.png": "a.png_labels.tif",
        "a.tif": "a.tif_labels.tif",
        "b.tif": "b_labels.tif",
        "sub/a.png": "sub/a_labels.tif",
    }


def test_an_image_whose_name_is_the_longer_name_of_another_keeps_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.tif", "a.png.tif")
    assert sorted(planned(tmp_path).values()) == [
        "a.png.tif_labels.tif",
        "a.png_labels.tif",
        "a.tif_labels.tif",
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.from_regex(r"[ab]\.?[ab]?\.(png|tif|PNG)", fullmatch=True), unique=True))
def test_stems_are_unique(names: list[str]) -> None:
    stems = unique_stems([Path(name) for name in names])
    assert len(set(stems)) == len(names)


def test_results_are_not_read_as_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "out/a_labels.tif", "out/a_overlay.png", "a_labels.tif")
    assert list(planned(tmp_path)) == ["a.tif"]


def test_labels_beside_images_are_left_out_and_said(tmp_path: Path, caplog) -> None:
    touch(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/b.png", "more/c.png")
    with caplog.at_level(logging.INFO):
        assert sorted(planned(tmp_path)) == ["images/a.png", "images/b.png", "more/c.png"]
    assert "Left out the labels beside images: 2 in masks" in caplog.text
    # Where there are no images beside them, they are what is wanted.
    assert sorted(planned(tmp_path / "masks")) == ["a.png", "b.png"]


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file or folder"):
        plan_jobs([tmp_path / "nowhere"])


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(InputError, match="holds no image"):
        plan_jobs([tmp_path])


def test_no_source_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="at least one image or folder to predict, but got none"):
        plan_jobs([])


def test_check_overwriting_names_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, *(f"in/{name}.tif" for name in "abcde"))
    jobs = plan_jobs([tmp_path / "in"])
    out = tmp_path / "out"
    check_overwriting(jobs, out, overwrite=False)
    touch(out, "unrelated.txt", "a_labels.tif", "b_overlay.png", "c_labels.tif", "objects.csv")
    Results({"pancyte": "9"}, written={"a_labels.tif", "b_overlay.png", "c_labels.tif"}).write(
        out, status="complete"
    )
    with pytest.raises(UsageError, match=r"overwrite 6 files: a_lab.* and 3 more\. .*--overwrite"):
        check_overwriting(jobs, out, overwrite=False)
    check_overwriting(jobs, out, overwrite=True)


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"images": []}', "\x00"])
def test_files_that_no_prediction_lists_are_never_overwritten(tmp_path: Path, document) -> None:
    touch(tmp_path, "in/a.tif", "out/a_labels.tif")
    jobs = plan_jobs([tmp_path / "in"])
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="1 file that no prediction wrote.*a_labels.tif. Cho"):
            check_overwriting(jobs, tmp_path / "out", overwrite=overwrite)
    (tmp_path / "out/run.json").write_text(document)
    with pytest.raises(UsageError, match="2 files that no prediction wrote"):
        check_overwriting(jobs, tmp_path / "out", overwrite=True)


def test_what_is_gone_is_not_a_result_any_more(tmp_path: Path) -> None:
    """Else a file made by hand later, under the same name, would be replaced."""
    touch(tmp_path, "a_labels.tif")
    written = {"a_labels.tif", "b_labels.tif"}
    Results({"pancyte": "9"}, written=written).write(tmp_path, status="complete")
    assert written_files(tmp_path) == {"a_labels.tif", "images.csv", "objects.csv", "run.json"}


def test_each_of_several_classes_has_a_picture(tmp_path: Path) -> None:
    touch(tmp_path, "day 1/a.tif")
    (job,) = with_class_pictures(plan_jobs([tmp_path]), ("cell", "T-cell / NK"))
    assert [path.as_posix() for path in job.class_overlays] == [
        "day 1/a_cell_overlay.png",
        "day 1/a_T-cell-NK_overlay.png",
    ]
    (alone,) = with_class_pictures(plan_jobs([tmp_path]), ("cell",))
    assert alone.class_overlays == ()


def test_classes_whose_names_differ_in_odd_characters_have_pictures_of_their_own(tmp_path) -> None:
    touch(tmp_path, "a.tif")
    (job,) = with_class_pictures(plan_jobs([tmp_path]), ("a b", "a-b", "A/B"))
    assert [path.name for path in job.class_overlays] == [
        "a_a-b_overlay.png", "a_a-b-2_overlay.png", "a_A-B-3_overlay.png",
    ]  # fmt: skip


def test_pictures_that_nobody_wants_have_no_names_that_clash(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_cell.tif")
    jobs = plan_jobs([tmp_path])
    assert with_class_pictures(jobs, ("cell", "nucleus"), Wanted(pictures=False)) == jobs


def test_pictures_of_the_same_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_cell.tif")
    with pytest.raises(UsageError, match="a_cell_overlay.png: would be the picture of two images"):
        with_class_pictures(plan_jobs([tmp_path]), ("cell", "nucleus"))
