"""What README and docs tell people to type works: every command parses, and most are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from tests.blobs import spot_model

import pancyte
from pancyte.cli.exits import run
from pancyte.cli.group import pancyte as group
from pancyte.workflows import predict as predicting

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples/README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)")


def blocks(page: Path, language: str) -> list[str]:
    return [
        body for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language
    ]


def command_lines() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    return sorted({line.strip() for line in lines if line.strip()})


def pancyte_arguments(line: str) -> list[str] | None:
    """Return what follows ``pancyte`` in a command line, None where it is another program."""
    words = shlex.split(line)
    if words[:2] == ["uv", "run"]:
        words = [word for word in words[2:] if not word.startswith("--no-sync")]
    return words[1:] if words[0] == "pancyte" else None


PANCYTE_LINES = [line for line in command_lines() if pancyte_arguments(line)]


def test_readme_opens_with_the_two_commands() -> None:
    first = blocks(ROOT / "README.md", "sh")[0]
    assert first == "uv run pancyte predict examples/images -o out\nuv run pytest\n"
    before = (ROOT / "README.md").read_text(encoding="utf-8").split("```")[0]
    assert before.strip() == "# pancyte"


def test_the_pages_have_commands() -> None:
    assert len(PANCYTE_LINES) > 10
    others = {line.split()[0] for line in command_lines() if pancyte_arguments(line) is None}
    assert others <= {"uv"}


@pytest.mark.parametrize("line", PANCYTE_LINES)
def test_every_command_parses(line: str) -> None:
    """A renamed option or command cannot stay in the documentation."""
    name, *arguments = pancyte_arguments(line) or []
    command = group.get_command(click.Context(group), name)
    assert command is not None
    command.make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target) if target else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert anchor[1:] in anchors, f"{page.name} links to {target}{anchor}"


@pytest.mark.slow
def test_the_first_commands_run(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(predicting, "load", lambda *_, **__: spot_model())
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for line in ("pancyte predict examples/images -o out", "pancyte evaluate out examples/labels"):
        assert line in " ".join(PANCYTE_LINES)
        assert run(pancyte_arguments(line) or []) == 0
    assert "5 images" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 13


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("pancyte.workflows.models.load", lambda *_, **__: spot_model())
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})


def test_readme_python_is_five_lines() -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) <= 5
    assert "pancyte.load()" in block
    assert "model.segment(" in block


def test_outputs_page_names_every_column_exit_code_and_file(tmp_path: Path, monkeypatch) -> None:
    from tests.blobs import write_spots

    from pancyte.errors import PancyteError
    from pancyte.io.tables import read_csv, read_json

    monkeypatch.setattr(predicting, "load", lambda *_, **__: spot_model())
    page = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")
    config = pancyte.PredictConfig(spacing=(0.5, 0.5))
    out = pancyte.predict(write_spots(tmp_path / "a.tif"), tmp_path / "out", config)
    for column in read_csv(out / "objects.csv"):
        first = re.sub(r"^bbox-[123]$", "bbox-0", column)
        assert f"`{first}`" in page, column
    record = read_json(out / "run.json")
    for key in record.keys() - {"started", "finished", "num_objects"}:
        assert f"`{key}`" in page, key
    codes = {cls.exit_code for cls in PancyteError.__subclasses__()} | {0, 1, 130, 143}
    table = page.split("## Exit codes")[1]
    assert all(re.search(rf"\b{code}\b", table) for code in codes)


def test_glossary_names_every_public_value() -> None:
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").lower()
    for term in ("labels", "spacing", "foreground", "flow", "score", "tile", "task", "checkpoint"):
        assert re.search(rf"^\| [^|]*{term}[^|]* \|", page, re.MULTILINE), term


def test_examples_are_all_documented() -> None:
    page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    attribution = (ROOT / "ATTRIBUTION.md").read_text(encoding="utf-8")
    images = sorted((ROOT / "examples").glob("*/*.tif"))
    assert len(images) == 14
    for path in images:
        assert f"`{path.stem}`" in page
        assert f"`{path.stem}`" in attribution
    for folder, truth in (("images", "labels"), ("stacks", "stack_labels")):
        names = {path.name for path in (ROOT / "examples" / folder).iterdir()}
        assert names == {path.name for path in (ROOT / "examples" / truth).iterdir()}
