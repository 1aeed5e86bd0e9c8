"""State dicts of other programs: safetensors, and PyTorch files of which only tensors are read.

A PyTorch file is a pickle, which can run code when it is read. It is read with
``weights_only=True``, which refuses all but tensors and plain values.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import safetensors
import safetensors.torch
import torch

from pancyte.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_PICKLES: Final = {".pth", ".pt", ".bin", ".ckpt", ".tar"}

_INSIDE: Final = ("state_dict", "model_state_dict", "model", "network")
"""Where training programs keep the state dict beside the optimizer's and so on."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` or ``.pth`` (``.pt``, ``.bin``, ``.ckpt``) file.

    Parameters
    ----------
    path
        A state dict, or a mapping that holds one as ``state_dict``, ``model_state_dict``, ``model``
        or ``network``.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, of another kind, or holds more than tensors and plain values.
    """
    if not path.is_file():
        msg = f"{path}: no such file or folder of weights. Check the path."
        raise CheckpointError(msg)
    content = _read_pickle(path) if path.suffix.lower() in _PICKLES else _read_safetensors(path)
    for name in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    tensors = (
        {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        msg = (
            f"{path}: expected names and tensors (a state dict), but got {type(content).__name__} "
            "without any. Save the network's state_dict()."
        )
        raise CheckpointError(msg)
    return tensors


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        msg = f"{path}: cannot be read as safetensors ({error}). Download or copy it again."
        raise CheckpointError(msg) from error
    return content


def _read_pickle(path: Path) -> Any:  # noqa: ANN401 - whatever stands in it
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        msg = (
            f"{path}: holds more than tensors and plain values, or is no PyTorch file, and is not "
            "read, since that could run code. Save the network's state_dict() alone."
        )
        raise CheckpointError(msg) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"{path}: cannot be read as a PyTorch file ({reason}). Copy it again."
        raise CheckpointError(msg) from error
