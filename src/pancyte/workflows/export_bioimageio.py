"""A model as a package of bioimage.io: the ONNX network, how to use it, and tensors to test it.

Specification 0.5 (https://bioimage.io/docs). It has words for the axes, for the range of
intensities (``scale_range``, then ``clip``) and for maps as outputs. It has none for the size of
objects to which an image is resized, nor for how objects are found in maps; the README says so.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from pancyte.config import to_mapping
from pancyte.errors import UsageError
from pancyte.io.bitmaps import encode_png
from pancyte.ops.intensity import HIGHEST, LOWEST
from pancyte.ops.preprocess import preprocess
from pancyte.viz.overlay import to_display
from pancyte.workflows.export_onnx import OPSET, TOLERANCE, infer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pancyte.inference.model import Model
    from pancyte.ops.preprocess import Preprocessing
    from pancyte.types import FloatArray

FORMAT: Final = "0.5.4"
"""Version of the specification, 0.5 in all that is used of it."""
DESCRIPTION_NAME: Final = "bioimageio.yaml"

_CITE: Final = {
    "text": "The pancyte developers. pancyte: every cell, nucleus and organelle in a microscope "
    "image.",
    "url": "https://github.com/pancyte/pancyte",
}
_UNKNOWN: Final = "Unknown"
_NAMELESS: Final = """
Who trained the model is not known to pancyte: put the names into `authors` of bioimageio.yaml.
"""
_TEST_SHAPE: Final = (128, 192)
_USUAL_DIAMETER: Final = 30.0
# Names that YAML, Python and the specification all take.
_ODD: Final = re.compile(r"[^a-z0-9_]+")
# The same moment in every file, so that equal models give equal packages.
_ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model's own files need not tell."""

    card: str | None = None
    """Markdown about the model, for the README."""
    licence: str | None = None
    """SPDX identifier of the licence of the weights; None where it is not known."""
    authors: tuple[str, ...] = ()
    """Names of those who trained it; none where they are not known."""


def package_model(model: Model, network: bytes, facts: Facts | None = None) -> bytes:
    """Return a package of bioimage.io as a ZIP file.

    Parameters
    ----------
    model
        On the CPU, in float32.
    network
        The same as an ONNX file.
    facts
        About the model.

    Raises
    ------
    UsageError
        Percentiles are so low that the specification has no words for them.
    """
    facts = facts or Facts()
    if model.task.preprocessing.percentiles[1] <= 1.0:
        high = model.task.preprocessing.percentiles[1]
        msg = f"A package of bioimage.io needs an upper percentile above 1, but got {high}."
        raise UsageError(msg)
    image = _test_image(model.task.preprocessing)
    # The standard takes percentiles of all pixels.
    settings = replace(model.task.preprocessing, percentiles_of="all")
    foreground, flow = infer(model, preprocess(image, settings)[None])
    files = {
        "weights.onnx": network,
        "test_image.npy": _npy(image[None]),
        "test_foreground.npy": _npy(foreground),
        "test_flow.npy": _npy(flow),
        "cover.png": encode_png(_cover(image, foreground[0])),
        "README.md": _readme(model, facts).encode("utf-8"),
    }
    description = _description(model, files, facts)
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True, width=100)
    return _zip({DESCRIPTION_NAME: text.encode("utf-8"), **files})


def _description(model: Model, files: Mapping[str, bytes], facts: Facts) -> dict[str, Any]:
    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    classes = _identifiers(model.classes)
    flow = [f"{name}_{axis}" for name in classes for axis in "yx"]
    tolerance = {"relative_tolerance": 1e-3, "absolute_tolerance": TOLERANCE}
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": _title(model),
        "description": "Foreground probability and flow of objects (cells, nuclei, organelles) in "
        "2D microscope images. Finding objects in these maps is not part of this package.",
        "authors": [{"name": name} for name in facts.authors or (_UNKNOWN,)],
        "cite": [_CITE],
        **({} if facts.licence is None else {"license": facts.licence}),
        "tags": ["2d", "cells", "nuclei", "instance-segmentation", "pytorch", "pancyte"],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "inputs": [
            {
                "id": "image",
                "description": "Intensities as they are in the file; see README.md for their size",
                "axes": [{"type": "batch"}, _channels(_input_names(model)), *_input_space()],
                "data": {"type": "float32"},
                "test_tensor": file("test_image.npy"),
                "preprocessing": _normalization(model.task.preprocessing),
            }
        ],
        "outputs": [
            {
                "id": name,
                "description": text,
                "axes": [{"type": "batch"}, _channels(channels), *_output_space()],
                "data": {"type": "float32"},
                "test_tensor": file(f"test_{name}.npy"),
            }
            for name, text, channels in (
                ("foreground", "Probability of lying in an object of each class", classes),
                ("flow", "Vectors to the middle of the object, y and x of each class", flow),
            )
        ],
        "weights": {"onnx": {**file("weights.onnx"), "opset_version": OPSET}},
        "config": {
            "bioimageio": {"reproducibility_tolerance": [tolerance]},
            "pancyte": {
                "version": version("pancyte"),
                "weights_sha256": model.manifest.get("weights_sha256"),
                "task": to_mapping(model.task),
            },
        },
    }


def _channels(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": list(names)}


def _input_space() -> list[dict[str, Any]]:
    return [{"type": "space", "id": axis, "size": {"min": 32, "step": 1}} for axis in "yx"]


def _output_space() -> list[dict[str, Any]]:
    return [
        {"type": "space", "id": axis, "size": {"tensor_id": "image", "axis_id": axis}}
        for axis in "yx"
    ]


def _input_names(model: Model) -> list[str]:
    count = model.task.preprocessing.channels
    return ["red", "green", "blue"] if count == 3 else [f"channel{c}" for c in range(count)]


def _normalization(settings: Preprocessing) -> list[dict[str, Any]]:
    low, high = settings.percentiles
    axes = ["channel", "y", "x"] if settings.normalization == "joint" else ["y", "x"]
    scale = {"axes": axes, "min_percentile": low, "max_percentile": high}
    return [
        {"id": "scale_range", "kwargs": scale},
        {"id": "clip", "kwargs": {"min": LOWEST, "max": HIGHEST}},
    ]


def _identifiers(names: Sequence[str]) -> list[str]:
    """Return names of letters, digits and underscores, all different."""
    result: list[str] = []
    for index, name in enumerate(names):
        plain = _ODD.sub("_", name.lower()).strip("_")
        plain = plain if plain[:1].isalpha() else f"class_{plain or index}"
        numbered, number = plain, index
        while numbered in result:
            numbered, number = f"{plain}_{number}", number + 1
        result.append(numbered)
    return result


def _test_image(settings: Preprocessing) -> FloatArray:
    """Return an image (C, Y, X) of bright ellipses of the size that the network knows."""
    generator = np.random.Generator(np.random.PCG64(0))
    y, x = np.mgrid[: _TEST_SHAPE[0], : _TEST_SHAPE[1]]
    radius = min(settings.diameter or _USUAL_DIAMETER, _TEST_SHAPE[0] / 3) / 2
    plane = np.full(_TEST_SHAPE, 200.0)
    for _ in range(14):
        center = generator.uniform((0, 0), _TEST_SHAPE)
        axes = radius * generator.uniform(0.8, 1.2, 2)
        distance = np.hypot((y - center[0]) / axes[0], (x - center[1]) / axes[1])
        inside = 1 / (1 + np.exp(8 * (distance - 1)))
        plane = np.maximum(plane, 200 + generator.uniform(800, 2000) * inside)
    planes = generator.poisson(np.broadcast_to(plane, (settings.channels, *_TEST_SHAPE)))
    return planes.astype(np.float32)


def _cover(image: FloatArray, foreground: FloatArray) -> npt.NDArray[np.uint8]:
    """Return a picture twice as wide as high: the image, and where its objects are."""
    side = min(_TEST_SHAPE)
    shown = to_display(image[:3, :side, :side])
    probability = np.rint(255 * foreground.max(axis=0)[:side, :side]).astype(np.uint8)
    return np.concatenate([shown, np.repeat(probability[..., None], 3, axis=-1)], axis=1)


def _npy(array: FloatArray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return stream.getvalue()


_README: Final = """\
# {title}

Classes: {classes}. Made by pancyte {version}.

## What it does, and what it does not

The network gives two maps: `foreground`, for each class the probability of a pixel to lie in an
object, and `flow`, for each class a vector (y, x) of about length 1 that points to the middle of
the object.

**Finding objects in these maps is not part of this package**: the standard has no step for it. A
threshold of 0.5 on `foreground` separates objects from background, but not objects that touch.
pancyte does, with the same weights: `pancyte predict images -o out`.

## Input

- {channels} channels. A gray image is repeated in all of them; channels that are missing are 0.
- Intensities of any range: percentile {low:g} becomes 0 and {high:g} becomes 1, {together}, and
  what lies beyond {lowest:g} and {highest:g} is cut. Tiles have the range of the whole image.
{nonzero}{lone}- Any height and width. Tiles of 512 pixels that share 96 with each neighbor,
  of which the outer 36 count nothing, give nearly what the whole image would.
{diameter}
## Validation

{validation}

## Licence and citation

{licence}
{trained}
To cite the program: {cite} {repository}
"""
_NONZERO: Final = """\
- pancyte takes percentiles of the pixels that are not 0, for which the standard has no words.
"""
_LONE: Final = """\
- pancyte sees an image of which one channel alone shows anything as gray, for which the standard
  has no words: repeat that channel in all of them.
"""
_DIAMETER: Final = """\
- Objects with a diameter of about {:g} pixels. **Resize the image until they have**; pancyte
  estimates by how much.
"""
_ADVICE: Final = (
    "Compare with annotated images of your own before you trust it; `pancyte evaluate` scores "
    "objects."
)
_HEADING: Final = re.compile(r"#+ ")


def _readme(model: Model, facts: Facts) -> str:
    """Return what a user of the package needs to know, and the card of the model."""
    settings = model.task.preprocessing
    joint = settings.normalization == "joint"
    text = _README.format(
        title=_title(model),
        classes=", ".join(model.classes),
        version=version("pancyte"),
        channels=settings.channels,
        low=settings.percentiles[0],
        high=settings.percentiles[1],
        together="all channels together" if joint else "in each channel",
        lowest=LOWEST,
        highest=HIGHEST,
        nonzero=_NONZERO if settings.percentiles_of == "nonzero" else "",
        lone=_LONE if settings.lone_channel == "gray" else "",
        diameter="" if settings.diameter is None else _DIAMETER.format(settings.diameter),
        validation=_validation(model.manifest.get("provenance", {})),
        licence=f"{facts.licence}."
        if facts.licence
        else "Ask whoever trained the model for its licence.",
        trained="" if facts.authors else _NAMELESS,
        cite=_CITE["text"],
        repository=_CITE["url"],
    )
    if facts.card is None:
        return text
    return f"{text}\n## Model card\n\n{_embedded(facts.card)}"


def _embedded(card: str) -> str:
    """Return a card below a heading, without its pictures, which the package does not have."""
    lines = [line for line in card.splitlines() if not line.startswith("![")]
    return "".join(f"##{line}\n" if _HEADING.match(line) else f"{line}\n" for line in lines)


def _validation(provenance: Mapping[str, Any]) -> str:
    """Return the scores of the validation in training, if the model has some."""
    scores = provenance.get("validation") or {}
    lines = [f"- {name}: {value:.3f}" for name, value in scores.items() if isinstance(value, float)]
    if not lines:
        return _ADVICE
    return "\n".join(["On the split `val` of its training:", "", *lines, "", _ADVICE])


def _title(model: Model) -> str:
    """Return a name of the characters that the specification allows."""
    return re.sub(r"[^A-Za-z0-9_+\- ()]", " ", f"pancyte {model.name}")[:128]
