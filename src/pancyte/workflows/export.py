"""``models export``: a model as a file that other programs read, without pancyte.

What these files hold is the network. Finding objects in its maps is no part of either standard;
``docs/export.md`` says how it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pancyte.errors import UsageError
from pancyte.io.checkpoint import read_manifest
from pancyte.io.files import check_file, read_text, write_bytes
from pancyte.workflows.export_bioimageio import Facts, package_model
from pancyte.workflows.export_onnx import OPSET, export_onnx
from pancyte.workflows.models import list_models, load

if TYPE_CHECKING:
    from pancyte.inference.model import Model

Format = Literal["onnx", "bioimageio"]

_OURS: Final = "BSD-3-Clause"
_US: Final = "The pancyte developers"
_SUFFIXES: Final[dict[Format, str]] = {"onnx": ".onnx", "bioimageio": ".zip"}


@dataclass(frozen=True, slots=True)
class Export:
    """What was written; its text is what the command prints."""

    out: Path
    format: Format
    difference: float | None
    """Largest difference of the ONNX network from torch; None where onnxruntime is missing."""

    def __str__(self) -> str:
        megabytes = self.out.stat().st_size / 1e6
        lines = [f"{self.out}: {megabytes:.1f} MB, ONNX opset {OPSET}, images of any size"]
        if self.difference is None:
            lines.append("Not compared with torch: install onnxruntime (pancyte[onnx]) for that.")
        else:
            lines.append(f"Largest difference from torch: {self.difference:.1e}")
        if self.format == "bioimageio":
            lines.append(f"To test it, with pancyte[bioimageio]: bioimageio test {self.out}")
        lines.append("It holds the network; how objects are found in its maps: docs/export.md.")
        return "\n".join(lines)


def export_model(
    name_or_path: str | Path | None,
    out: Path | str,
    *,
    format: Format,  # noqa: A002 - what it is called everywhere
    card: Path | str | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a model for other programs.

    Parameters
    ----------
    name_or_path
        As for :func:`pancyte.workflows.models.load`.
    out
        The file: ``.onnx`` for ONNX, ``.zip`` for a package of bioimage.io.
    format
        ``onnx`` or ``bioimageio``.
    card
        A Markdown file about the model, for the README of the package; None writes one from what
        the model says about itself.
    overwrite
        Whether a file that is there may be replaced.

    Raises
    ------
    UsageError
        The file is there, has the wrong ending, or a package of the extra is missing.
    InputError
        The model is damaged, or the card cannot be read.
    PancyteError
        The exported network gives other values than the model.
    """
    out = Path(out)
    if out.suffix.lower() != _SUFFIXES[format]:
        msg = f"{out}: expected a name that ends in {_SUFFIXES[format]}, but got {out.name!r}."
        raise UsageError(msg)
    if out.exists() and not overwrite:
        msg = f"{out}: is there already. Choose another name, or add --overwrite."
        raise UsageError(msg)
    check_file(out)
    if card is not None and format == "onnx":
        raise UsageError("A card belongs to a package of bioimage.io; an ONNX file has no place.")
    text = None if card is None else read_text(Path(card))
    model = load(name_or_path, device="cpu", precision="float32")
    network = export_onnx(model)
    content = network.content
    if format == "bioimageio":
        facts = Facts(text, _licence(model), _authors(model))
        content = package_model(model, content, facts)
    write_bytes(out, content)
    return Export(out, format, network.difference)


def _licence(model: Model) -> str | None:
    """Return the SPDX identifier of a model's licence: its own, or ours where it is bundled."""
    own = model.manifest.get("provenance", {}).get("licence")
    if own is not None:
        return str(own)
    return _OURS if _is_bundled(model) else None


def _authors(model: Model) -> tuple[str, ...]:
    """Return who trained a model, as it says itself, or we where it is bundled."""
    own = model.manifest.get("provenance", {}).get("authors", ())
    if own:
        return (own,) if isinstance(own, str) else tuple(map(str, own))
    return (_US,) if _is_bundled(model) else ()


def _is_bundled(model: Model) -> bool:
    """Return whether a model is bundled, or is one of these that was calibrated anew."""
    # The hash of the weights is one of their file, which changes with the calibration.
    own = model.manifest.get("provenance")
    bundled = (read_manifest(folder) for folder in list_models().values())
    return own is not None and any(one.get("provenance") == own for one in bundled)
