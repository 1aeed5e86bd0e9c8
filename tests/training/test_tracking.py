from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pancyte.errors import InputError, UsageError
from pancyte.training.tracking import CsvTracker, TensorBoardTracker, read_metrics


def test_csv_tracker_writes_one_row_per_step_and_adds_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    tracker = CsvTracker(path)
    tracker.log(10, {"loss/total": 1.5})
    tracker.log(20, {"loss/total": 1.25})
    tracker.log(20, {"val/f1": 0.75})
    tracker.close()
    assert path.read_text() == "step,loss/total,val/f1\n10,1.5,\n20,1.25,0.75\n"
    assert read_metrics(path) == [
        {"step": 10, "loss/total": 1.5},
        {"step": 20, "loss/total": 1.25, "val/f1": 0.75},
    ]


def test_csv_tracker_drops_rows_that_are_done_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for step in (10, 20, 30):
        CsvTracker(path, last_step=step).log(step, {"loss/total": float(step)})
    CsvTracker(path, last_step=20).log(30, {"loss/total": 7.0})
    assert [row["loss/total"] for row in read_metrics(path)] == [10.0, 20.0, 7.0]


def test_csv_tracker_keeps_steps_of_long_trainings_exact(tmp_path: Path) -> None:
    tracker = CsvTracker(tmp_path / "metrics.csv")
    tracker.log(12_345_678, {"loss/total": 1.0})
    assert read_metrics(tracker.path)[0]["step"] == 12_345_678


def test_read_metrics_of_no_file_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.csv") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("step,loss\n1,high\n", "not a table of numbers"), ("loss\n1\n", "no value of step")],
)
def test_read_metrics_refuses_other_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_metrics(path)


def test_tensorboard_tracker_writes_events(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.log(1, {"loss/total": 1.0})
    tracker.close()
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"loss/total" in events.read_bytes()


def test_tensorboard_tracker_names_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'pancyte\[tensorboard\]'"):
        TensorBoardTracker(tmp_path)
