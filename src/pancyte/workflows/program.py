"""A training as a file: a configuration, or a Python program that brings its own parts."""

from __future__ import annotations

import logging
import runpy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pancyte.config import apply_overrides, from_mapping, to_mapping
from pancyte.errors import ConfigError
from pancyte.workflows.train_config import TrainConfig, read_train_config, resolve_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

_PARTS: Final = ("network", "losses", "metrics")


@dataclass(frozen=True, slots=True)
class Program:
    """What a file says about a training."""

    config: TrainConfig
    parts: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of :func:`pancyte.train`: network, losses and metrics, where it has any."""


def read_program(path: Path, overrides: Sequence[str] = ()) -> Program:
    """Read a configuration, or run the Python program that defines one.

    Parameters
    ----------
    path
        A TOML, YAML or JSON file, or a ``.py`` file that defines ``config`` and, if it likes,
        ``network``, ``losses`` and ``metrics`` as :func:`pancyte.train` takes them.
    overrides
        ``key=value`` strings, as in :func:`pancyte.config.read_config`.

    Raises
    ------
    ConfigError
        The file cannot be read, or does not define ``config``.
    """
    if path.suffix.lower() != ".py":
        return Program(read_train_config(path, overrides))
    if not path.is_file():
        msg = f"{path}: no such Python file. Check the path."
        raise ConfigError(msg)
    _LOGGER.info("Running %s, which is a Python program", path)
    # Its name is not "__main__", so that what it does only as a script is left out.
    defined = runpy.run_path(str(path), run_name="pancyte_config")
    config = defined.get("config")
    if not isinstance(config, TrainConfig):
        found = "nothing of that name" if config is None else type(config).__name__
        msg = f"{path}: expected the program to define config = TrainConfig(...), but got {found}"
        raise ConfigError(msg)
    if overrides:
        mapping = apply_overrides(to_mapping(config), overrides)
        config = from_mapping(TrainConfig, mapping, where=str(path))
    parts: dict[str, Any] = {name: defined[name] for name in _PARTS if name in defined}
    return Program(resolve_paths(config, path.resolve().parent), parts)
