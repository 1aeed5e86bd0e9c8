from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pancyte


def test_the_public_names_are_a_short_sorted_list() -> None:
    assert pancyte.__all__ == sorted(pancyte.__all__)
    assert len(pancyte.__all__) <= 24


@pytest.mark.parametrize("verb", ["evaluate", "predict", "prepare", "train"])
def test_the_settings_of_each_verb_are_public(verb: str) -> None:
    (settings,) = {
        name
        for name in pancyte.__all__
        if re.search(rf"\b{name}\b", str(inspect.signature(getattr(pancyte, verb))))
        and name.endswith("Config")
    }
    assert settings.lower().startswith(verb)


@pytest.mark.parametrize("name", pancyte.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(pancyte, name)
    assert value.__doc__
    assert value.__name__ == name
    assert name in dir(pancyte)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(pancyte.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert imported == pancyte._MODULES
    assert sorted(imported) == pancyte.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pancyte' has no attribute 'segmnt'"):
        _ = pancyte.segmnt


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert pancyte.__version__ == version("pancyte")


def test_import_loads_nothing_heavy_and_changes_nothing() -> None:
    program = """
import os, sys, logging, warnings, signal
before = dict(os.environ), logging.root.handlers[:], warnings.filters[:], signal.getsignal(15)
import pancyte
assert before == (dict(os.environ), logging.root.handlers, warnings.filters, signal.getsignal(15))
loaded = {"torch", "numpy", "scipy", "pydantic", "numba", "click"} & set(sys.modules)
assert not loaded, loaded
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_errors_need_nothing_heavy() -> None:
    program = "import sys, pancyte; pancyte.InputError; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
