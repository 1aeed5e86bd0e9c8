"""Options of a command and its ``--set key=value`` to one settings object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from pancyte.config import apply_overrides, from_mapping, read_mapping
from pancyte.errors import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_T = TypeVar("_T")

_SUFFIXES: Final = (".toml", ".yaml", ".yml", ".json")


def settings_from_options(
    cls: type[_T], options: Mapping[str, Any], overrides: Sequence[str]
) -> _T:
    """Make the settings object of a command.

    Parameters
    ----------
    cls
        Its ``@params`` class.
    options
        Values of the options that are settings too, by name; None where not given.
    overrides
        The texts given to ``--set``: ``key=value``, or the path of a file of settings (.toml,
        .yaml or .json), which options and keys win over.

    Raises
    ------
    click.UsageError
        A setting is given by its option and by ``--set``: one of the two would be ignored.
    ConfigError
        A key or a value is not accepted.
    """
    given = {name: value for name, value in options.items() if value is not None}
    files = [Path(text) for text in overrides if _is_file(text)]
    overrides = [text for text in overrides if not _is_file(text)]
    for override in overrides:
        name = override.partition("=")[0].strip()
        if name in given:
            msg = f"--{name} and --set {override} give the same setting. Leave one out."
            raise click.UsageError(msg)
    settings: dict[str, Any] = {}
    for file in files:
        found = read_mapping(file)
        twice = sorted(settings.keys() & found.keys())
        if twice:
            msg = f"{file}: {listed(twice)} stands in another file of settings too. Keep one."
            raise click.UsageError(msg)
        settings |= found
    where = f"{listed(files)} and the options" if files else "the options"
    return from_mapping(cls, apply_overrides(settings | given, overrides), where=where)


def _is_file(text: str) -> bool:
    return "=" not in text and Path(text).suffix.lower() in _SUFFIXES
