"""Segment every cell, nucleus and organelle in a microscope image.

The names listed here are the public interface; everything else may change without notice. They are
imported when they are first used, so that ``import pancyte`` is instant.

>>> import pancyte
>>> "load" in dir(pancyte)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pancyte.errors import (
        CheckpointError,
        ConfigError,
        InputError,
        PancyteError,
        PartialError,
        ResourceError,
        UsageError,
    )
    from pancyte.inference.model import Model
    from pancyte.io.images import read_image
    from pancyte.tasks.flow import FlowTask
    from pancyte.types import Image, Segmentation
    from pancyte.viz.overlay import overlay
    from pancyte.workflows.convert import convert
    from pancyte.workflows.evaluate import evaluate
    from pancyte.workflows.evaluation import EvaluateConfig
    from pancyte.workflows.models import load
    from pancyte.workflows.predict import predict
    from pancyte.workflows.predict_config import PredictConfig
    from pancyte.workflows.prepare import PrepareConfig, prepare
    from pancyte.workflows.train import train
    from pancyte.workflows.train_config import TrainConfig

__all__ = [
    "CheckpointError",
    "ConfigError",
    "EvaluateConfig",
    "FlowTask",
    "Image",
    "InputError",
    "Model",
    "PancyteError",
    "PartialError",
    "PredictConfig",
    "PrepareConfig",
    "ResourceError",
    "Segmentation",
    "TrainConfig",
    "UsageError",
    "convert",
    "evaluate",
    "load",
    "overlay",
    "predict",
    "prepare",
    "read_image",
    "train",
]

_MODULES = {
    "CheckpointError": "pancyte.errors",
    "ConfigError": "pancyte.errors",
    "EvaluateConfig": "pancyte.workflows.evaluation",
    "FlowTask": "pancyte.tasks.flow",
    "Image": "pancyte.types",
    "InputError": "pancyte.errors",
    "Model": "pancyte.inference.model",
    "PancyteError": "pancyte.errors",
    "PartialError": "pancyte.errors",
    "PredictConfig": "pancyte.workflows.predict_config",
    "PrepareConfig": "pancyte.workflows.prepare",
    "ResourceError": "pancyte.errors",
    "Segmentation": "pancyte.types",
    "TrainConfig": "pancyte.workflows.train_config",
    "UsageError": "pancyte.errors",
    "convert": "pancyte.workflows.convert",
    "evaluate": "pancyte.workflows.evaluate",
    "load": "pancyte.workflows.models",
    "overlay": "pancyte.viz.overlay",
    "predict": "pancyte.workflows.predict",
    "prepare": "pancyte.workflows.prepare",
    "read_image": "pancyte.io.images",
    "train": "pancyte.workflows.train",
}
"""Public name to the module that defines it."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - reads files; rarely asked for

        return version("pancyte")
    if name not in _MODULES:
        msg = f"module 'pancyte' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
