"""The notebooks run from top to bottom, offline, and are small enough to keep in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples/notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    return request.param


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["quickstart.ipynb"]


def test_notebook_is_small_and_names_no_machine(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")

    assert notebook.stat().st_size < 500_000
    assert not re.search(r"/(home|work|root|Users|tmp)/", text)


def test_links_of_a_notebook_lead_somewhere(notebook: Path) -> None:
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            for target in LINK.findall(cell.source):
                assert (notebook.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_runs_offline(notebook: Path, monkeypatch) -> None:
    from nbclient import NotebookClient

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing answers
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    content = nbformat.read(notebook, as_version=4)

    NotebookClient(
        content,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook.parent)}},
    ).execute()

    outputs = [out for cell in content.cells for out in cell.get("outputs", [])]
    pictures = [out for out in outputs if "image/jpeg" in out.get("data", {})]
    text = "".join(out.get("text", "") for out in outputs)
    assert len(pictures) == 3
    # The two classes were learned, as well as a minute allows.
    scores = re.findall(r"class (nucleus|cell) +([\d.]+)", text)
    assert [name for name, _ in scores] == ["nucleus", "cell"]
    assert all(float(value) > 0.4 for _, value in scores)
