"""What docs/coming-from.md promises on its right-hand side is there."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from tests.workflows.test_convert import (
    MEDIAR_PREDICT,
    MEDIAR_TRAIN,
    MEDIAR_V_PREDICT,
    MEDIAR_V_TRAIN,
)

import pancyte
from pancyte.cli.group import COMMANDS
from pancyte.cli.group import pancyte as group
from pancyte.config import from_mapping
from pancyte.workflows.train_config import TrainConfig

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "coming-from.md").read_text(encoding="utf-8")
SPAN = re.compile(r"`([^`]+)`")


def right_hand_sides() -> list[str]:
    """Return what stands in code letters in the second column, and settings in the third."""
    found = []
    for line in PAGE.splitlines():
        if not line.startswith("|") or set(line) <= set("|- "):
            continue
        _, _, here, remark, *_ = line.split("|")
        found += SPAN.findall(here)
        found += [span for span in SPAN.findall(remark) if " = " in span or span[:8] == "pancyte "]
    return sorted(set(found))


SPANS = right_hand_sides()
COMMAND_LINES = [span for span in SPANS if span.startswith("pancyte ")]
CALLS = [span for span in SPANS if span.startswith("pancyte.")]
SETTINGS = [span for span in SPANS if " = " in span]
FILES = sorted(set(SPANS) - {*COMMAND_LINES, *CALLS, *SETTINGS})


def keys(document: dict[str, object]) -> set[str]:
    """Return the last words of all keys."""
    found: set[str] = set()
    for name, value in document.items():
        found |= keys(value) if isinstance(value, dict) and value else {name}
    return found


@pytest.mark.parametrize(
    "document", [MEDIAR_V_TRAIN, MEDIAR_V_PREDICT, MEDIAR_TRAIN, MEDIAR_PREDICT]
)
def test_every_key_is_on_the_page(document: dict[str, object]) -> None:
    prose = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\w+", " ".join(SPAN.findall(prose))))
    assert keys(document) - named - {"use_wandb"} == set()


def test_each_kind_is_there() -> None:
    assert (len(COMMAND_LINES) > 15, len(CALLS) > 1, len(SETTINGS) > 50, len(FILES) > 6) == (
        True, True, True, True,
    )  # fmt: skip


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS
    command = group.get_command(None, words[0])
    command.make_context(words[0], words[1:]).close()


@pytest.mark.parametrize("call", CALLS)
def test_python_name_is_public(call: str) -> None:
    function = ast.parse(call, mode="eval").body.func
    assert function.attr in pancyte.__all__


@pytest.mark.parametrize("setting", SETTINGS)
def test_setting_is_read_from_a_file(setting: str) -> None:
    mapping = tomllib.loads(f'out = "run"\n{setting}\n' if "out =" not in setting else setting)
    mapping.setdefault("data", [{"path": "manifest.csv"}])
    task = mapping.get("task")
    if task is not None:
        task["kind"] = "flow"
        named = [*task.get("pos_weights", {}), *task.get("class_weights", {})]
        if named:
            task.setdefault("classes", named)
        kinds = {"encoder_decoder"} if task.get("architecture") else set()
        for kind in kinds:
            task["architecture"].setdefault("kind", kind)
    from_mapping(TrainConfig, mapping, where=setting)


@pytest.mark.parametrize("name", FILES)
def test_file_is_described_among_the_outputs(name: str) -> None:
    assert name in (DOCS / "outputs.md").read_text(encoding="utf-8")
