from __future__ import annotations

import dataclasses

import pytest

from pancyte.params import params


@params
class Settings:
    size: int = 3


def test_params_are_frozen_keyword_only_and_compared_by_value() -> None:
    settings = Settings(size=4)
    assert settings == Settings(size=4)
    assert hash(settings) == hash(Settings(size=4))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.size = 5
    with pytest.raises(TypeError):
        Settings(4)


def test_params_refuse_unknown_names() -> None:
    with pytest.raises(TypeError, match="siez"):
        Settings(siez=4)
