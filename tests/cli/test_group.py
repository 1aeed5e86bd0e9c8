from __future__ import annotations

import subprocess
import sys

import click
import pytest

from pancyte.cli.exits import run
from pancyte.cli.group import COMMANDS, pancyte

HEAVY = ("torch", "numpy", "scipy", "pydantic", "numba", "PIL", "tifffile", "matplotlib")


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import sys
from pancyte.cli.exits import run
code = run({[*arguments, "--help"]!r})
loaded = [name for name in {HEAVY!r} if name in sys.modules]
assert code == 0, code
assert not loaded, loaded
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(" ".join(["Usage: pancyte", *arguments]))


def test_help_lists_every_command_in_a_line(capsys) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert any(line.split() == [name, *summary.split()] for line in text.splitlines())


def test_every_command_is_what_the_list_says() -> None:
    context = click.Context(pancyte)
    for name in COMMANDS:
        command = pancyte.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
    assert pancyte.get_command(context, "process") is None


def test_no_command_has_more_than_about_eight_options_besides_help() -> None:
    context = click.Context(pancyte)
    for name in COMMANDS:
        command = pancyte.get_command(context, name)
        options = [p for p in command.params if isinstance(p, click.Option) and p.name != "debug"]
        assert len(options) <= {"predict": 9, "init": 11}.get(name, 8), name


def test_version(capsys) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pancyte 0.")
