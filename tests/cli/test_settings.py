from __future__ import annotations

import click
import pytest

from pancyte.cli.settings import settings_from_options
from pancyte.errors import ConfigError
from pancyte.params import params


@params
class Size:
    diameter: float | None = None
    tile: int = 512


def test_options_and_overrides_become_settings() -> None:
    options = {"diameter": 12.5, "tile": None}
    assert settings_from_options(Size, options, ["tile=64"]) == Size(diameter=12.5, tile=64)


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(click.UsageError, match="--diameter and --set diameter=3 give the same"):
        settings_from_options(Size, {"diameter": 2.0}, ["diameter=3"])


def test_an_unknown_setting_is_refused_with_what_may_be_meant() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'tyle' \(did you mean 'tile'"):
        settings_from_options(Size, {}, ["tyle=3"])
