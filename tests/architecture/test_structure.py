"""The rules of the house that a reviewer should not have to look for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "pancyte"
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "misc", "base"}
# A sign to heed, not a gate to game: a longer module is split where its subject splits.
MAX_LINES = 450


def module_id(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_modules_are_found() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_module_is_one_subject(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if p.relative_to(PACKAGE).parts[0] in {"ops", "nn", "metrics"}],
    ids=module_id,
)
def test_numerics_touch_no_files_logs_or_global_random_state(path: Path) -> None:
    called = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    forbidden = {"open", "print", "input", "logging.getLogger", "getLogger", "np.random.seed"}
    assert not called & forbidden


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_classes_inherit_only_what_they_may(path: Path) -> None:
    """Implementation inheritance hides where behaviour comes from; composition shows it."""
    allowed = {
        "nn.Module", "nn.Conv2d", "Dataset", "Exception", "Protocol", "Generic", "Mapping",
        "ValueError", "OSError", "click.Group", "click.Command", "yaml.SafeLoader", "TypedDict",
        "NamedTuple", "Enum", "torch.autograd.Function",
    }  # fmt: skip
    own_errors = {"PancyteError", "UsageError", "InputError"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
            assert bases <= allowed | own_errors, f"{node.name} inherits {bases - allowed}"


def test_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    result = subprocess.run(
        [*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_importing_every_module_changes_nothing_global() -> None:
    """A library that sets threads, logging or warnings on import changes the host program."""
    program = """
import importlib, logging, os, pkgutil, warnings
import numpy, numba, torch, pydantic, PIL.Image, tifffile, rich, click, yaml  # noqa
import scipy.ndimage, scipy.optimize, scipy.sparse.csgraph  # noqa
before = (dict(os.environ), list(logging.root.handlers), logging.root.level, list(warnings.filters),
          torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype(),
          numpy.geterr(), torch.is_grad_enabled(), torch.random.get_rng_state().sum().item())
import pancyte
for module in pkgutil.walk_packages(pancyte.__path__, "pancyte."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = (dict(os.environ), list(logging.root.handlers), logging.root.level, list(warnings.filters),
         torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype(),
         numpy.geterr(), torch.is_grad_enabled(), torch.random.get_rng_state().sum().item())
assert before == after, [pair for pair in zip(before, after) if pair[0] != pair[1]]
"""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr


def test_repository_names_no_machine() -> None:
    """No absolute home or work folder, and no package registry, stands in a tracked text file."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    needles = ["/" + "home/", "/" + "root/", "/" + "work/", "pypi" + ".org", "python" + "hosted"]
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".json", ".csv", ".txt", ".cff", ""}
            and path.is_file()
        ):
            text = path.read_text(encoding="utf-8", errors="ignore")
            found = [needle for needle in needles if needle in text]
            assert not found, f"{name} names {found}"
