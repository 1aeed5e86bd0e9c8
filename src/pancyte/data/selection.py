"""Which images of a data set are taken: by name, kind, size, and number of objects."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pancyte.params import params

if TYPE_CHECKING:
    from pancyte.data.records import Record


@params
class Selection:
    """Which images are taken; the defaults take all."""

    include: tuple[str, ...] = ()
    """Patterns such as ``*/plate1/*``, one of which the path of an image must match; ``*`` stands
    for any letters, folders between included. None takes all."""
    exclude: tuple[str, ...] = ()
    """Patterns, none of which the path of an image may match."""
    modalities: tuple[str, ...] = ()
    """Modalities to take; none takes all."""
    splits: tuple[str, ...] = ()
    """Splits to take, as the manifest or the folders name them; none takes all."""
    min_objects: int = 0
    """Fewest objects of an image, of all classes together."""
    max_objects: int | None = None
    """Most objects of an image."""
    min_side: int = 0
    """Smallest length of the shorter side of an image, in pixels."""
    max_side: int | None = None
    """Greatest length of the longer side of an image, in pixels."""

    def __post_init__(self) -> None:
        for low, high in (("min_objects", "max_objects"), ("min_side", "max_side")):
            least, most = getattr(self, low), getattr(self, high)
            if least < 0 or (most is not None and most < least):
                msg = f"Expected 0 <= {low} <= {high}, but got {least} and {most}"
                raise ValueError(msg)


def is_named(record: Record, selection: Selection) -> bool:
    """Tell whether a record is taken as far as its file need not be opened for that.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pancyte.data.records import Record
    >>> record = Record(image=Path("data/plate1/a.tif"))
    >>> is_named(record, Selection(include=("*/plate1/*",), exclude=("*_old.tif",)))
    True
    """
    path = record.image.as_posix()
    return (
        (not selection.include or any(fnmatchcase(path, one) for one in selection.include))
        and not any(fnmatchcase(path, one) for one in selection.exclude)
        and (not selection.modalities or record.modality in selection.modalities)
        and (not selection.splits or record.split in selection.splits)
    )


def has_size(shape: tuple[int, ...], num_objects: int, selection: Selection) -> bool:
    """Tell whether an image of this shape (Y, X) and number of objects is taken.

    Examples
    --------
    >>> has_size((512, 2000), 3, Selection(min_side=256, max_side=1500))
    False
    """
    most = float("inf") if selection.max_objects is None else selection.max_objects
    longest = float("inf") if selection.max_side is None else selection.max_side
    return (
        selection.min_objects <= num_objects <= most
        and min(shape) >= selection.min_side
        and max(shape) <= longest
    )
