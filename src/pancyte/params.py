"""``@params``: how every settings class of pancyte is declared.

A settings class is a frozen, slotted, keyword-only dataclass. It is the configuration: the same
object that Python code constructs is what :mod:`pancyte.config` reads from a file, where an unknown
key is an error. It is checked once, in ``__post_init__``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def params(cls: type[_T]) -> type[_T]:
    """Turn a class of annotated fields into a frozen, slotted, keyword-only settings class.

    Examples
    --------
    >>> @params
    ... class Decoding:
    ...     threshold: float = 0.5
    >>> Decoding(threshold=0.4)
    Decoding(threshold=0.4)
    """
    # pydantic reads this attribute when `config` loads the class from a file; nothing is imported
    # here.
    cls.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # type: ignore[attr-defined]
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)
