from __future__ import annotations

import subprocess

import torch

from pancyte.workflows import environment
from pancyte.workflows.environment import describe_environment


def test_describe_environment_names_the_versions(monkeypatch) -> None:
    monkeypatch.setattr(environment, "_PACKAGES", ("torch", "not-installed"))
    packages = describe_environment()["packages"]
    assert packages == {"torch": torch.__version__.partition("+")[0], "not-installed": None}


def test_the_commit_is_none_where_git_is_missing_or_silent(monkeypatch, tmp_path) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert describe_environment()["commit"] is None
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "a/b/c/d.py"))
    assert describe_environment()["commit"] is None
