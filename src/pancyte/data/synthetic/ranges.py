"""One check, and one message, for the settings of all generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_ranges(ranges: Mapping[str, tuple[float, float, float]]) -> None:
    """Check that each value lies between its least and its greatest.

    Parameters
    ----------
    ranges
        Name of the setting -> (value, least, most), both ends allowed.

    Raises
    ------
    ValueError
        A value lies outside.

    Examples
    --------
    >>> check_ranges({"cover": (0.5, 0, 1)})
    """
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise ValueError(f"Expected {name} from {least} to {most}, but got {value}")
