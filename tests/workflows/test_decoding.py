from __future__ import annotations

import pytest

from pancyte.config import from_mapping, to_mapping
from pancyte.errors import ConfigError
from pancyte.ops.flow import FlowDecoding
from pancyte.tasks import FlowTask
from pancyte.workflows.decoding import changed_decoding

TASK = FlowTask(
    classes=("cell", "nucleus"),
    decoding=FlowDecoding(min_size=40),
    class_decoding={"nucleus": {"min_size": 10, "foreground_threshold": 0.7}},
)


def changed(changes: dict) -> FlowTask:
    mapping = to_mapping(TASK)
    found = changed_decoding(mapping, changes, TASK.classes)
    assert mapping == to_mapping(TASK)  # what is given stays as it is
    return from_mapping(FlowTask, found, where="task")


def test_what_is_asked_for_all_classes_reaches_those_with_settings_of_their_own() -> None:
    task = changed({"min_size": 50})
    assert task.decoding.min_size == 50
    assert dict(task.class_decoding["nucleus"]) == {"foreground_threshold": 0.7}


def test_what_is_asked_for_a_class_wins_over_what_is_asked_for_all() -> None:
    task = changed({"min_size": 50, "nucleus": {"min_size": 3}})
    assert dict(task.class_decoding["nucleus"]) == {"foreground_threshold": 0.7, "min_size": 3}
    assert changed({"cell": {"min_size": 9}}).class_decoding["cell"] == {"min_size": 9}


def test_without_changes_a_task_stays_as_it_is() -> None:
    assert changed({}) == TASK


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nucleus": 3}, r"decoding.nucleus: expected settings .* such as .* but got 3"),
        ({"nukleus": {"min_size": 4}}, r"no class 'nukleus', .* Did you mean 'nucleus'\?"),
        ({"min_sise": 4}, r"unknown key .*min_sise' \(did you mean 'min_size'\?\)"),
    ],
)
def test_wrong_names_and_values_are_said(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(changes)
