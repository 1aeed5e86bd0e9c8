"""The errors that a user can meet, and the exit code that each one ends the command line with.

::

    PancyteError
    ├── UsageError        2  the command, an argument or an option is wrong     (also ValueError)
    │   └── ConfigError   2  a configuration has an unknown key or a bad value
    ├── InputError        3  a file cannot be read, or holds something else     (also ValueError)
    │   └── CheckpointError  3  a model folder is damaged, foreign or too new
    ├── ResourceError     4  out of memory or out of disk                       (also OSError)
    └── PartialError      5  some inputs failed; the others are done

A message has four parts: what went wrong, where, what was found against what was expected, and what
to do. Pure code in ``ops``, ``nn`` and ``metrics`` raises ``ValueError`` and ``TypeError`` instead.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class PancyteError(Exception):
    """Base of every error that pancyte raises on purpose; its text is one message for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(PancyteError, ValueError):
    """A command, an argument or an option cannot be what was meant."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration has an unknown key, a missing key or a value out of range."""


class InputError(PancyteError, ValueError):
    """A file or folder given by the user cannot be read, or does not hold what it should."""

    exit_code = 3


class CheckpointError(InputError):
    """A model folder is incomplete, damaged, of another kind, or from a newer version."""


class ResourceError(PancyteError, OSError):
    """Memory or disk did not suffice."""

    exit_code = 4


class PartialError(PancyteError):
    """Some of several inputs failed; the results of the others are complete."""

    exit_code = 5


def listed(items: Iterable[object], *, most: int = 3) -> str:
    """Name the first of several things in a message, and count the rest.

    Examples
    --------
    >>> listed(["a.tif", "b.tif", "c.tif", "d.tif"])
    'a.tif, b.tif, c.tif and 1 more'
    """
    items = list(items)
    rest = len(items) - most
    return ", ".join(map(str, items[:most])) + (f" and {rest} more" if rest > 0 else "")


def counted(count: int, noun: str, *, plural: str | None = None) -> str:
    """Return a number of things with their noun, in the plural where it is due.

    Examples
    --------
    >>> counted(1, "image"), counted(2, "image"), counted(0, "patch", plural="patches")
    ('1 image', '2 images', '0 patches')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return a sentence that asks whether the known name most like this one was meant, or nothing.

    Letter case does not count, and a name that begins another one is near to it.

    Examples
    --------
    >>> near_miss("CosineAnnealing", ["cosine", "constant"])
    " Did you mean 'cosine'?"
    >>> near_miss("x", ["cosine"])
    ''
    """
    by_folded = {other.casefold(): other for other in known}
    folded = name.casefold()
    near = difflib.get_close_matches(folded, by_folded, n=1)
    near = near or [key for key in by_folded if key and folded.startswith(key)]
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""
