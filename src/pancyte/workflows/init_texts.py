"""What ``init`` asks, and the commented configurations that it writes from the answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from pancyte.errors import counted
from pancyte.params import params
from pancyte.tasks.flow import Loss
from pancyte.training.optim import OptimizerName, ScheduleName
from pancyte.workflows.models import DEFAULT_MODEL

Purpose = Literal["train", "predict"]
COMPACT: Final = "compact"
"""What is chosen as ``encoder`` for the small network made for CPUs."""
FLOW: Final = "flow"
TASKS: Final = (FLOW,)
LOSSES: Final = get_args(Loss)
OPTIMIZERS: Final = get_args(OptimizerName)
SCHEDULES: Final = get_args(ScheduleName)


@params
class Choices:
    """What is asked before a configuration is written."""

    purpose: Purpose = "train"
    """Whether it is for training or for prediction."""
    data: Path = Path()
    """Folder of images (and labels), or a manifest."""
    task: str = FLOW
    """Kind of task."""
    classes: tuple[str, ...] = ("cell",)
    """Names of the classes."""
    encoder: str = COMPACT
    """``compact``, or the name of an encoder of segmentation-models-pytorch or timm."""
    loss: Loss = "balanced"
    """What is minimized."""
    optimizer: OptimizerName = "adamw"
    """How it is minimized."""
    schedule: ScheduleName = "cosine"
    """Shape of the learning rate."""
    model: str = DEFAULT_MODEL
    """Of a prediction: name or folder of the model."""

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes) or "" in self.classes:
            msg = f"Expected classes to be one or more different names, but got {self.classes}"
            raise ValueError(msg)
        if self.task not in TASKS:
            msg = f"Expected task to be one of {', '.join(TASKS)}, but got {self.task!r}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder or manifest holds, as far as a look at some of it tells."""

    num_images: int
    num_labeled: int
    classes: tuple[str, ...]
    """Names of the classes; made up where nothing says them."""
    class_folders: tuple[str, ...]
    """Folders of labels, one for each class; empty where one file holds all."""
    channels: int
    """Most channels of the images that were looked at."""
    has_splits: bool
    has_validation: bool = False
    """Whether the split ``val`` has images with labels."""
    named: bool = False
    """Whether the files or folders of labels themselves name the classes."""
    diameters: tuple[float, ...] = ()
    """Median diameter of the objects of each class in the first images; empty where unknown."""

    def __str__(self) -> str:
        labeled = f", {self.num_labeled} with labels" if self.num_labeled else " without labels"
        kinds = f"; classes: {', '.join(self.classes)}" if self.num_labeled else ""
        return f"{counted(self.num_images, 'image')}{labeled}{kinds}; channels: {self.channels}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _nested(choices: Choices, found: Found) -> tuple[str, str]:
    """Return the classes of the smallest and of the largest objects, else the first and last."""
    sizes = dict(zip(found.classes, found.diameters, strict=False))
    if not set(choices.classes) <= sizes.keys():
        sizes = dict(zip(choices.classes, found.diameters, strict=False))
    if len(sizes) < len(choices.classes):
        return choices.classes[0], choices.classes[-1]
    ordered = sorted(choices.classes, key=lambda name: sizes[name])
    return ordered[0], ordered[-1]


def training_text(
    choices: Choices, found: Found, *, file: str, manifest: str, validate: bool
) -> str:
    """Return a configuration for training; ``file`` and ``manifest`` are named in it."""
    compact = choices.encoder == COMPACT
    names = ", ".join(_quoted(name) for name in choices.classes)
    start = (
        f"# Start from the bundled model: that needs far fewer images than random weights do.\n"
        f'initialize = "{DEFAULT_MODEL}"\n'
        if compact and found.channels <= 3
        else "# Weights to start from: a model folder, or a local file of the encoder's weights\n"
        "# (.safetensors, .pth). Nothing is downloaded. Without it the weights are random.\n"
        '# initialize = "encoder.safetensors"\n'
    )
    network = (
        "[task.architecture]\n"
        '# The small network made for CPUs. For a GPU: kind = "encoder_decoder" with an encoder\n'
        '# such as "resnet34"; see docs/networks.md.\n'
        'kind = "compact"\n'
        # Weights of the bundled model are used as they were trained.
        'padding = "replicate"\n'
        "# It also learns how large objects are, so that prediction finds the scale of an image\n"
        "# (not with a diameter of none).\n"
        "sizes = true\n"
        if compact
        else "[task.architecture]\n"
        "# An encoder by its name in segmentation-models-pytorch or timm, and a decoder: manet,\n"
        "# unet or fpn. See docs/networks.md.\n"
        'kind = "encoder_decoder"\n'
        f"encoder = {_quoted(choices.encoder)}\n"
        'decoder = "manet"\n'
    )
    wide = (
        "# Part of the patches is magnified by 0.2 to 4, for the sizes alone.\n"
        "[spatial]\nwide_probability = 0.15\n\n"
        if compact
        else ""
    )
    rate = 1e-2 if choices.optimizer == "sgd" else 3e-4 if compact else 2e-4
    validation = (
        "# The model with the best mean F1 on the images of the split val is kept.\n"
        "[validation]\n"
        "every = 2\n"
        'metric = "f1"\n'
        "# Stop when so many validations in a row brought nothing.\n"
        "# patience = 10\n"
        if validate
        else (
            "# There are too few images to set some aside: the last model is kept.\n"
            if choices.data.is_dir()
            else "# No image has the split val, so that the last model is kept. To keep the best,\n"
            "# set some aside (pancyte prepare MANIFEST -o NEW.csv --val 0.1), and every to 2.\n"
        )
        + "[validation]\n"
        "every = 0\n"
    )
    child, parent = _nested(choices, found)
    links = (
        "\n# Say which class lies inside which, and each object gets the id of the one it is in:\n"
        "# [[task.links]]\n"
        f"# child = {_quoted(child)}\n"
        f"# parent = {_quoted(parent)}\n"
        if len(choices.classes) > 1
        else ""
    )
    momentum = "momentum = 0.9\n" if choices.optimizer == "sgd" else ""
    return f"""# Written by pancyte init. Train with
#
#   pancyte train {file}
#
# Add --dry-run to see the first batch, --resume to go on after an
# interruption. Paths are relative to this file. What is not named here keeps its default; every
# setting is explained in docs/training.md.

# The folder that the run is written to; the model ends up in checkpoints/best below it.
out = "run"
name = "my_model"

# More steps help until the validation score in metrics.csv stops rising. About 1 s a step on two
# CPU cores for the compact network; max_hours ends a training that would take longer.
steps = 2000
max_hours = 2.0
batch = 8
seed = 0

{start}
# {found}
[[data]]
path = {_quoted(manifest)}

[task]
kind = {_quoted(choices.task)}
classes = [{names}]
loss = {_quoted(choices.loss)}
{links}
[task.preprocessing]
# Images of fewer channels are filled up; of more, choose some when they are read.
channels = {max(3, found.channels)}
# Images are scaled so that a median object has this diameter, in pixels; "none" never scales.
diameter = 30.0

{network}
[sampling]
# Side of the patches, in pixels after scaling.
patch = 224

{wide}[optimization]
optimizer = {_quoted(choices.optimizer)}
learning_rate = {rate:g}
{momentum}schedule = {_quoted(choices.schedule)}

{validation}"""


def prediction_text(choices: Choices, file: str) -> str:
    """Return settings for a prediction; ``file`` is named in them."""
    return f"""# Written by pancyte init. Predict with
#
#   pancyte predict {choices.data.as_posix()} -o results --set {file}
#
# What is not named here keeps its default; every setting is explained in docs/prediction.md.

# A bundled model, or the folder of your own: my_run/checkpoints/best
model = {_quoted(choices.model)}

# Typical diameter of the objects in pixels; "none" estimates it in each image.
diameter = "none"

# Objects with a lower score, or of fewer pixels, are left out.
min_score = "none"
min_area = 0.0

# See each image under 3, 4 or 8 flips and turns and average: better, and as many times slower.
flips = 1

# Pictures with the contours beside the label images.
save_pictures = true
"""
