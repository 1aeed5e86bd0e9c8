"""Options of a command and its ``--set key=value`` to one settings object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from pancyte.config import apply_overrides, from_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_T = TypeVar("_T")


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
        The texts given to ``--set``.

    Raises
    ------
    click.UsageError
        A setting is given by its option and by ``--set``: one of the two would be ignored.
    ConfigError
        A key or a value is not accepted.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for override in overrides:
        name = override.partition("=")[0].strip()
        if name in given:
            msg = f"--{name} and --set {override} give the same setting. Leave one out."
            raise click.UsageError(msg)
    return from_mapping(cls, apply_overrides(given, overrides), where="the options")
