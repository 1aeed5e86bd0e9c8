from __future__ import annotations

import errno
import importlib
import os
import re
import subprocess
import sys

import click
import pytest
import torch

from pancyte import errors
from pancyte.cli import exits
from pancyte.cli.exits import exit_code, run
from pancyte.config import apply_overrides, from_mapping
from pancyte.workflows.predict import PredictConfig


@pytest.fixture
def failing(monkeypatch):
    """Let ``pancyte models`` raise an error; return a function that runs it."""

    def run_with(error: BaseException, *options: str, command: str = "models") -> int:
        @click.command()
        @click.option("--debug", is_flag=True, expose_value=False)
        def models() -> None:
            raise error

        monkeypatch.setattr("pancyte.cli.group.LazyGroup.get_command", lambda *_: models)
        return run([command, *options])

    return run_with


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 2),
        (errors.InputError("x"), 3),
        (errors.CheckpointError("x"), 3),
        (errors.ResourceError("x"), 4),
        (errors.PartialError("x"), 5),
        (MemoryError(), 4),
        (torch.OutOfMemoryError("CUDA out of memory"), 4),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), 4),
        (OSError(errno.ENOSPC, "No space left on device"), 4),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.tif"), 3),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (RuntimeError("x"), 1),
        (ZeroDivisionError("x"), 1),
        (OSError("x"), 1),
    ],
    ids=repr,
)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_every_error_of_ours_has_an_exit_code_of_the_table() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.PancyteError)
    ]
    assert {cls.exit_code for cls in classes if cls is not errors.PancyteError} == {2, 3, 4, 5}


def test_an_error_is_one_sentence_on_stderr(failing, capsys) -> None:
    assert failing(errors.InputError("a.tif: is truncated. Copy it again.")) == 3
    out, err = capsys.readouterr()
    assert err == "Error: a.tif: is truncated. Copy it again.\n"
    assert out == ""


def test_debug_shows_the_traceback(failing, capsys) -> None:
    assert failing(errors.InputError("a.tif: is truncated."), "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_defect_is_one_sentence_and_its_traceback_is_saved(
    failing, capsys, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert failing(ZeroDivisionError("division by zero")) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "a defect of pancyte, not of your input: ZeroDivisionError: division by zero" in err
    (saved,) = tmp_path.iterdir()
    assert str(saved) in err
    assert "ZeroDivisionError" in saved.read_text(encoding="utf-8")


def test_a_defect_is_one_sentence_where_no_traceback_can_be_saved(
    failing, capsys, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert failing(ZeroDivisionError("division by zero")) == 1
    err = capsys.readouterr().err
    assert "division by zero. Repeat the command with --debug for the traceback; please" in err
    assert "Traceback" not in err


def test_out_of_memory_says_what_to_do(failing, capsys) -> None:
    assert failing(MemoryError("Unable to allocate 9 GiB\nand more")) == 4
    err = capsys.readouterr().err
    assert err == "Error: out of memory (Unable to allocate 9 GiB). Close other programs.\n"


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("predict", "pancyte.workflows.predict:PredictConfig"),
        ("evaluate", "pancyte.workflows.evaluation:EvaluateConfig"),
        ("train", "pancyte.workflows.train_config:TrainConfig"),
    ],
)
def test_what_a_command_can_do_against_lack_of_memory_are_settings_of_it(
    failing, capsys, command: str, settings: str
) -> None:
    assert failing(MemoryError("x"), command=command) == 4
    overrides = re.findall(r"--set (\S+?=\w+)", capsys.readouterr().err)
    assert len(overrides) == 2
    module, _, name = settings.partition(":")
    cls = getattr(importlib.import_module(module), name)
    given = {"out": "run", "data": [{"path": "x"}]} if command == "train" else {}
    config = from_mapping(cls, apply_overrides(given, overrides), where="test")
    if command == "evaluate":
        from_mapping(PredictConfig, config.predict, where="test")


def test_a_full_disk_names_the_file(failing, capsys) -> None:
    assert failing(OSError(errno.ENOSPC, "No space left on device", "out/a.tif")) == 4
    assert capsys.readouterr().err == "Error: out/a.tif: No space left on device.\n"


def test_ctrl_c_ends_with_130(failing, capsys) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_sigterm_ends_with_143(failing, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        exits._terminate(15, None)
    assert failing(caught.value) == 143
    assert capsys.readouterr().err == "Terminated.\n"


def test_wrong_use_ends_with_2_and_names_what_may_be_meant(capsys) -> None:
    assert run(["predit", "a"]) == 2
    assert "No such command 'predit'. Did you mean 'predict'?" in capsys.readouterr().err
    assert run(["xyz"]) == 2
    assert "No such command 'xyz'. There are predict, init, train," in capsys.readouterr().err
    assert run(["predict", "a", "-o", "b", "--diametre", "3"]) == 2
    assert "--diameter" in capsys.readouterr().err
    assert run(["predict", "a"]) == 2
    assert "Missing option '-o' / '--out'" in capsys.readouterr().err
    assert run([]) == 2
    assert "Usage: pancyte" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "ours", "theirs"),
    [("OMP_WAIT_POLICY", "PASSIVE", "ACTIVE"), ("THP_MEM_ALLOC_ENABLE", "1", "0")],
)
def test_what_torch_reads_when_it_is_loaded_is_set_unless_the_user_did(
    monkeypatch, variable: str, ours: str, theirs: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    run(["--version"])
    assert os.environ[variable] == ours
    monkeypatch.setenv(variable, theirs)
    run(["--version"])
    assert os.environ[variable] == theirs


def test_the_command_line_works_as_a_module_and_in_a_closed_pipe() -> None:
    command = f"{sys.executable} -m pancyte --help | head -n 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert result.stdout.startswith("Usage: pancyte")
    assert result.stderr == ""
