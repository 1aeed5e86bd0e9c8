"""A trained network as one ONNX file that takes images of any size, checked against torch.

::

    image (B, C, Y, X) float32, normalized  ->  foreground (B, K, Y, X), flow (B, 2K, Y, X)

The file holds what the network does with a tile, and nothing else: it gives the probabilities and
the vectors that a task decodes. Normalization, resizing to the size of objects that the network
knows, tiles and decoding are described in its metadata and in ``docs/export.md``.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from pancyte.config import to_mapping
from pancyte.errors import PancyteError, UsageError
from pancyte.ops.intensity import HIGHEST, LOWEST

if TYPE_CHECKING:
    from torch import Tensor

    from pancyte.inference.model import Model
    from pancyte.protocols import Task
    from pancyte.types import FloatArray

OPSET: Final = 18
"""Version of the operators: old enough for ONNX Runtime 1.14 and what is built on it."""
TOLERANCE: Final = 1e-4
"""Largest difference from torch, relative to the largest value where that is above 1."""

# Every encoder that a network can have works on multiples of this.
_MULTIPLE: Final = 32
# Neither size is a multiple of 32; the exporter takes equal ones and 1 for constants.
_TRACED: Final = (2, 70, 101)
_CHECKED: Final = ((1, 64, 96), (2, 45, 130))


@dataclass(frozen=True, slots=True, eq=False)
class OnnxNetwork:
    """An exported network, and how well it agrees with the one it was made from."""

    content: bytes
    """The file."""
    difference: float | None
    """Largest difference from torch; None where onnxruntime is not installed."""


class FreeSize(nn.Module):
    """What a task infers of images of any size, in operations whose sizes an exporter can follow.

    The networks extend images themselves, but choose in Python how, which a trace would fix for
    all images. Here the images reach them extended already.
    """

    def __init__(self, task: Task, network: nn.Module) -> None:
        super().__init__()
        self.task = task
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return foreground (B, K, Y, X) and flow (B, 2K, Y, X) of images (B, C, Y, X)."""
        height, width = image.shape[-2:]
        maps = self.task.infer(self.network, mirror_to_multiple(image, _MULTIPLE))
        flow = maps.vectors.flatten(1, 2)
        return maps.scalars[..., :height, :width], flow[..., :height, :width]


def mirror_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Do what :func:`pancyte.nn.compact.pad_to_multiple` does, by looking up rows and columns.

    Examples
    --------
    >>> mirror_to_multiple(torch.arange(6.0).reshape(1, 1, 1, 6), 4)[0, 0, 0]
    tensor([0., 1., 2., 3., 4., 5., 4., 3.])
    """
    for axis in (-1, -2):
        size = images.shape[axis]
        index = torch.arange((size + multiple - 1) // multiple * multiple, device=images.device)
        repeated = index.clamp(max=size - 1)
        mirrored = 2 * repeated - index
        # Below 0 where the axis is too short to be mirrored.
        index = torch.where(mirrored[-1:] < 0, repeated, mirrored)
        images = images.index_select(axis, index)
    return images


def export_onnx(model: Model) -> OnnxNetwork:
    """Return the network of a model as an ONNX file.

    Parameters
    ----------
    model
        On the CPU, in float32.

    Raises
    ------
    UsageError
        The packages for ONNX are not installed, or the network cannot be exported.
    PancyteError
        The file gives other values than the network.
    """
    proto = _trace(model)
    _simplify(proto)
    _describe(proto, model)
    require("onnx").checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    difference = _compare(content, model)
    return OnnxNetwork(content, difference)


def require(name: str, *, extra: str = "onnx") -> Any:  # noqa: ANN401 - a module
    """Import a package that comes with an extra.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"Exporting needs {name}. Install it with: pip install 'pancyte[{extra}]'"
        raise UsageError(msg) from error


def _trace(model: Model) -> Any:  # noqa: ANN401 - a message of onnx
    for name in ("onnx", "onnxscript"):
        require(name)
    batch, height, width = _TRACED
    example = torch.zeros(batch, model.task.preprocessing.channels, height, width)
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    network = FreeSize(model.task, model.network).eval()
    with torch.no_grad():
        try:
            program = torch.export.export(
                network, (example,), dynamic_shapes={"image": free}, strict=False
            )
            exported = torch.onnx.export(
                program,
                input_names=["image"],
                output_names=["foreground", "flow"],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        except _NOT_EXPORTED as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            msg = (
                f"The network of the model {model.name} cannot be exported to ONNX for images of "
                f"any size ({reason[:200]}). Choose a model with another architecture, such as "
                "compact, or resnet34 with unet."
            )
            raise UsageError(msg) from error
    assert exported is not None  # noqa: S101 - None is for files that torch itself writes
    return exported.model_proto


_NOT_EXPORTED: Final = (
    RuntimeError,  # torch itself: all errors of its exporter, and operations that it does not know
    TypeError,  # a function called by the network that takes no size that is still free
    ValueError,  # a network's own check of its input, which fails where sizes are free
    AssertionError,  # the same in timm, whose encoders assert
)


def _simplify(proto: Any) -> None:  # noqa: ANN401 - a message of onnx
    """Name the free sizes, and drop what the exporter noted about its own way through the code."""
    graph = proto.graph
    names = {
        graph.input[0].type.tensor_type.shape.dim[axis].dim_param: name
        for axis, name in ((0, "batch"), (2, "height"), (3, "width"))
    }
    for value in (*graph.input, *graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = names[dimension.dim_param]
        del value.metadata_props[:]
    for part in (*graph.node, *graph.initializer, graph, proto):
        del part.metadata_props[:]
    # The intermediate sizes, which any reader infers again.
    del graph.value_info[:]
    graph.name = "pancyte"
    proto.producer_name, proto.producer_version = "pancyte", version("pancyte")


def _describe(proto: Any, model: Model) -> None:  # noqa: ANN401 - a message of onnx
    """Write what is needed to use the network into the metadata, as texts or JSON."""
    preprocessing = model.task.preprocessing
    entries = {
        "pancyte": version("pancyte"),
        "name": model.name,
        "weights_sha256": str(model.manifest.get("weights_sha256", "")),
        "classes": json.dumps(list(model.classes)),
        "diameter": json.dumps(preprocessing.diameter),
        "normalization": json.dumps(
            {
                "percentiles": preprocessing.percentiles,
                "percentiles_of": preprocessing.percentiles_of,
                "channels": preprocessing.normalization,
                "clip": [LOWEST, HIGHEST],
                "lone_channel": preprocessing.lone_channel,
            }
        ),
        "outputs": json.dumps(
            {
                "foreground": "(B, K, Y, X) probability of each class",
                "flow": "(B, 2K, Y, X) unit vectors to the middle of the object: y of class 0, x of"
                " class 0, y of class 1, ...",
            }
        ),
        "task": json.dumps(to_mapping(model.task)),
    }
    for key, value in entries.items():
        proto.metadata_props.add(key=key, value=value)


def _compare(content: bytes, model: Model) -> float | None:
    """Return the largest difference from torch at two sizes and two sizes of the batch."""
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError:
        return None
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    generator = np.random.Generator(np.random.PCG64(0))
    largest = 0.0
    for batch, height, width in _CHECKED:
        shape = batch, model.task.preprocessing.channels, height, width
        image = generator.uniform(0.0, 1.0, shape).astype(np.float32)
        found = session.run(["foreground", "flow"], {"image": image})
        for one, other in zip(found, infer(model, image), strict=True):
            difference = float(np.abs(one - other).max())
            if not difference <= TOLERANCE * max(1.0, float(np.abs(other).max())):
                msg = (
                    f"The ONNX network of {model.name} differs from the model by {difference:.2g}, "
                    f"where at most {TOLERANCE} is expected, relative to the largest value where "
                    "that is above 1, so that nothing was written. Try "
                    "another version of torch or onnxruntime."
                )
                raise PancyteError(msg)
            largest = max(largest, difference)
    return largest


def infer(model: Model, image: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return foreground (B, K, Y, X) and flow (B, 2K, Y, X) as torch computes them."""
    with torch.inference_mode():
        maps = model.task.infer(model.network, torch.from_numpy(image))
        return maps.scalars.numpy(), maps.vectors.flatten(1, 2).numpy()
