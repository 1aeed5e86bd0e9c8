"""Axes, channels and units of files to those of pancyte: ``(C, [Z,] Y, X)`` and micrometre.

A file may name its axes by one letter each: ``T`` time, ``C`` channel, ``Z`` slice, ``Y`` row,
``X`` column, ``S`` color sample. Any other letter means that the file does not say what the axis
is. Such an axis is never guessed from its size: the caller is asked to name it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pancyte.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_ORDER = "CZYX"
_MICROMETRE = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "um": 1.0,
    "µm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "å": 1e-4,
    "angstrom": 1e-4,
    "pm": 1e-6,
}


def micrometres(unit: str) -> float | None:
    r"""Return the length of a unit in micrometre, or None for pixels, inches and unknown words.

    An inch is how printers and scanners count dots; in a microscope image it is a default that
    nobody set.

    Examples
    --------
    >>> micrometres("micron"), micrometres(r"\u00B5m"), micrometres("nm"), micrometres("pixel")
    (1.0, 1.0, 0.001, None)
    """
    # ImageJ writes the micro sign as an escape; Unicode has two of them.
    word = unit.strip().replace("\\u00B5", "µ").replace("\u03bc", "µ").lower()
    return _MICROMETRE.get(word)


def resolve_axes(shape: Sequence[int], file_axes: str, *, axes: str | None, where: str) -> str:
    """Return one letter of ``TCZYX`` for each axis of an array, or ask for them.

    Parameters
    ----------
    shape
        Shape of the array in the file.
    file_axes
        One letter for each axis as the file names them.
    axes
        The letters given by the user, which win over those of the file; None to use the file's.
    where
        The file, named in the message of an error.

    Returns
    -------
    str
        Letters of ``CZYX``; an axis of length 1 may keep another letter.

    Raises
    ------
    UsageError
        ``axes`` does not fit the array.
    InputError
        The file does not say what an axis is, or has one that cannot be segmented.

    Examples
    --------
    >>> resolve_axes((30, 256, 256), "QYX", axes="zyx", where="a.tif")
    'ZYX'
    >>> resolve_axes((64, 48, 3), "YXS", axes=None, where="a.png")
    'YXC'
    """
    if axes is not None:
        named = _check_given(axes, shape, file_axes, where)
    else:
        named = _check_found(shape, file_axes, where)
    steps = dict(zip(named, shape, strict=True)).get("T", 1)
    if steps > 1:
        msg = (
            f"{where}: is a time series of {steps} frames (axes {named}, shape {tuple(shape)}), "
            "but one image is expected. Save each frame as a file of its own."
        )
        raise InputError(msg)
    return named


def _check_given(axes: str, shape: Sequence[int], file_axes: str, where: str) -> str:
    named = axes.strip().upper().replace("S", "C")
    if set(named) - set("TCZYX") or len(set(named)) < len(named) or not {"Y", "X"} <= set(named):
        msg = (
            f"axes {axes!r}: expected each of Y and X once, and T, C or Z at most once, "
            "such as YX, CYX, YXC, ZYX or ZCYX"
        )
        raise UsageError(msg)
    if len(named) != len(shape):
        msg = (
            f"{where}: axes {axes!r} names {len(named)} axes, but the file has {len(shape)}: "
            f"shape {tuple(shape)}, read as {file_axes}. Name each of them."
        )
        raise UsageError(msg)
    return named


def _check_found(shape: Sequence[int], file_axes: str, where: str) -> str:
    # tifffile names Y or X twice where a shape says little, such as (1, 1, 1).
    file_axes = "".join(
        "Q" if letter in file_axes[place + 1 :] else letter
        for place, letter in enumerate(file_axes)
    )
    known = "".join(
        letter for letter, size in zip(file_axes, shape, strict=True) if size > 1 or letter in "YX"
    )
    if "C" in known and "S" in known:
        msg = (
            f"{where}: has channels and color samples at once (axes {file_axes}, shape "
            f"{tuple(shape)}). Save the channels as gray images."
        )
        raise InputError(msg)
    unknown = [letter for letter in known if letter not in "TCZYXS"]
    if unknown or not {"Y", "X"} <= set(known):
        raise InputError(_question(shape, file_axes, where))
    named = file_axes
    if "S" in known:
        # A channel axis of length 1 beside the color samples says nothing and is squeezed.
        named = named.replace("C", "Q").replace("S", "C")
    return named.replace("S", "Q")


def _question(shape: Sequence[int], file_axes: str, where: str) -> str:
    options = {
        3: "CYX for channels, YXC for channels that come last, or ZYX for a stack of slices; one "
        "slice of a stack is taken with CYX and its number as that of a channel (--channels 0)",
        4: "ZCYX or CZYX, in the order of the file",
    }.get(len(shape))
    if options is None:
        return (
            f"{where}: has {len(shape)} axes (shape {tuple(shape)}, read as {file_axes}), but an "
            "image has Y and X, and channels C and slices Z at most. Save a part of it."
        )
    return (
        f"{where}: has shape {tuple(shape)} and does not say what each axis is. "
        f"Give --axes (in Python axes=...): {options}."
    )


def to_image_axes(array: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """Return a view of an array with axes ``(C, [Z,] Y, X)``.

    Parameters
    ----------
    array
        Any array with Y and X among its axes.
    axes
        One letter for each axis. Axes other than C, Z, Y, X must have length 1 and are dropped, as
        is a Z of length 1; C is added where it is missing.

    Examples
    --------
    >>> import numpy as np
    >>> to_image_axes(np.zeros((64, 48, 3)), "YXC").shape
    (3, 64, 48)
    >>> to_image_axes(np.zeros((1, 30, 64, 48)), "TZYX").shape
    (1, 30, 64, 48)
    """
    if len(axes) != array.ndim:
        msg = f"Expected one letter for each axis of shape {array.shape}, but got {axes!r}"
        raise ValueError(msg)
    dropped = tuple(
        i
        for i, letter in enumerate(axes)
        if letter not in _ORDER or (letter == "Z" and array.shape[i] == 1)
    )
    kept = [letter for i, letter in enumerate(axes) if i not in dropped]
    squeezed = array.squeeze(axis=dropped)
    ordered = squeezed.transpose([kept.index(letter) for letter in _ORDER if letter in kept])
    return ordered if "C" in kept else ordered[None]


def choose_channels(
    channels: str | Sequence[int | str] | None, names: Sequence[str], *, count: int, where: str
) -> list[int]:
    """Return the indices of the channels that the user asked for, by index or by name.

    Parameters
    ----------
    channels
        ``"0,2"``, ``"DAPI,0"`` or a sequence of indices and names; None for all channels.
    names
        Names of the channels in the file, or nothing.
    count
        Number of channels in the file.
    where
        The file, named in the message of an error.

    Raises
    ------
    UsageError
        A channel is not there, or none is asked for.

    Examples
    --------
    >>> choose_channels("dapi, 0", ["GFP", "DAPI"], count=2, where="a.tif")
    [1, 0]
    """
    if channels is None:
        return list(range(count))
    asked = channels.split(",") if isinstance(channels, str) else list(channels)
    if not asked:
        msg = f"{where}: no channel is chosen. Choose from {_available(names, count)}."
        raise UsageError(msg)
    return [_channel_index(channel, names, count, where) for channel in asked]


def _channel_index(channel: int | str, names: Sequence[str], count: int, where: str) -> int:
    text = str(channel).strip()
    folded = [name.casefold() for name in names]
    if text.casefold() in folded and folded.count(text.casefold()) == 1:
        return folded.index(text.casefold())
    if text.isascii() and text.isdigit() and int(text) < count:
        return int(text)
    msg = f"{where}: has no channel {text!r}. Choose from {_available(names, count)}."
    raise UsageError(msg)


def _available(names: Sequence[str], count: int) -> str:
    indices = "0" if count == 1 else f"0 to {count - 1}"
    return indices + (f" or the names {', '.join(names)}" if names else "")
