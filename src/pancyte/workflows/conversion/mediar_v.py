"""The JSON of Mediar-V ("Model-V"), for training and for prediction."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from pancyte.config import to_mapping
from pancyte.errors import ConfigError
from pancyte.nn.architectures import MEDIAR_V
from pancyte.workflows.conversion.ledger import Ledger
from pancyte.workflows.conversion.shared import (
    class_names,
    convert_device,
    convert_encoder,
    convert_optimizer,
    convert_schedule,
    set_common,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM: Final = "Mediar-V"

_DATA: Final = "dataset_config"
_COMMON: Final = f"{_DATA}.common"
_TRAINING: Final = f"{_DATA}.training"
_TESTING: Final = f"{_DATA}.testing"
_FLOW: Final = f"{_COMMON}.gradient_flow"
_CRITERION: Final = "criterion.params"

_DEFAULT_ITERATIONS: Final = 200
_BORDER: Final = 2
_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}
_DEFAULTS: Final = {"batch": 1, "epochs": 100, "validation.every": 1, "seed": 0, "device": "auto"}
"""What Mediar-V does where its file does not say, and we do otherwise."""
_TILE: Final = 512
_WHAT: Final = ("size", "offset")
_SIZES: Final = {"train": 0.7, "valid": 0.1, "test": 0.2}
_LOSSES: Final = {
    "bce_mse_loss": "mediar",
    "bceloss": "bce",
    "mseloss": "mse",
    "crossentropyloss": "bce",
}


def is_mediar_v(source: Mapping[str, Any]) -> bool:
    """Return whether a JSON document is a configuration of Mediar-V."""
    return _DATA in source


def is_training(source: Mapping[str, Any]) -> bool:
    """Return whether it is for training, which is the default."""
    table = source[_DATA]
    return bool(table.get("is_training", True)) if isinstance(table, dict) else True


def convert_training(
    source: Mapping[str, Any], *, classes: tuple[str, ...], manifest: str
) -> Ledger:
    """Convert a configuration for training.

    Parameters
    ----------
    source
        The JSON document.
    classes
        Names of the classes, which it does not have; empty makes them up.
    manifest
        Path of the manifest that the settings name, relative to their file.

    Raises
    ------
    ConfigError
        A value contradicts another, or is none that Mediar-V knows.
    """
    ledger = Ledger(source)
    set_common(ledger)
    for key, value in _DEFAULTS.items():
        ledger.set(key, value)
    ledger.use(f"{_DATA}.is_training", "pancyte train")
    _convert_model(ledger, classes)
    _convert_criterion(ledger)
    _convert_common(ledger)
    _convert_data(ledger, manifest)
    ledger.keep(f"{_TRAINING}.batch_size", "batch")
    ledger.keep(f"{_TRAINING}.num_epochs", "epochs")
    ledger.keep(f"{_TRAINING}.val_freq", "validation.every")
    convert_optimizer(ledger, "optimizer")
    convert_schedule(ledger, "scheduler", epochs=int(ledger.settings["epochs"]))
    _convert_wandb(ledger)
    ledger.drop(_TESTING, "Mediar-V, too, ignores it in training")
    ledger.finish(SYSTEM)
    return ledger


def convert_prediction(source: Mapping[str, Any], *, manifest: str) -> tuple[Ledger, list[str]]:
    """Convert a configuration for prediction into settings, and what else the command needs.

    Returns
    -------
    tuple of Ledger and list of str
        Settings of ``pancyte predict``; and its words SOURCE, ``-o`` and OUT.

    Raises
    ------
    ConfigError
        A value is none that Mediar-V knows.
    """
    ledger = Ledger(source)
    ledger.use(f"{_DATA}.is_training", "pancyte predict")
    ledger.drop("model", "the model folder says what its network is")
    for needless in ("criterion", "optimizer", "scheduler"):
        ledger.drop(needless, "a prediction needs none")
    ledger.drop(f"{_COMMON}.seed", "nothing in a prediction is random")
    convert_device(ledger, f"{_COMMON}.device")
    _convert_precision(ledger)
    side = int(ledger.get(f"{_COMMON}.roi_size", _TILE))
    ledger.keep(f"{_COMMON}.roi_size", "tiling.tile")
    ledger.set("tiling", {"tile": side, "overlap": side // 2})
    _convert_decoding(ledger, "decoding")
    _convert_scores(ledger)
    _convert_weights(ledger, "model")
    out = str(ledger.get(f"{_COMMON}.predictions_dir", "predictions"))
    ledger.use(f"{_COMMON}.predictions_dir", "-o")
    ledger.drop(f"{_COMMON}.masks_subdir", "a prediction reads no labels")
    ledger.drop("wandb", "a prediction is recorded in run.json")
    images = _convert_test_images(ledger, manifest)
    ledger.finish(SYSTEM)
    return ledger, [images, "-o", out]


def _convert_test_images(ledger: Ledger, manifest: str) -> str:
    """Return the folder of images, or the manifest where only a part of them is meant."""
    folder = str(ledger.get(f"{_TESTING}.test_dir", "."))
    size = ledger.get(f"{_TESTING}.test_size", 1.0)
    offset = ledger.get(f"{_TESTING}.test_offset", 0)
    is_whole = size == 1.0 and isinstance(size, float) and not offset
    ledger.use(f"{_TESTING}.test_dir", "SOURCE")
    for name in ("test_size", "test_offset", "shuffle"):
        if is_whole:
            ledger.drop(f"{_TESTING}.{name}", "all images are predicted")
        else:
            note = "prepare divides the images, in another random order than Mediar-V"
            ledger.use(f"{_TESTING}.{name}", "split", note=note)
    if is_whole:
        return f"{folder}/images"
    layout = _test_layout(ledger, size, offset)
    if ledger.get(f"{_COMMON}.masks_subdir"):
        layout["masks_subdir"] = ledger.get(f"{_COMMON}.masks_subdir")
    ledger.todo.append(f"Make the manifest once: {prepare_command(folder, manifest, layout)}")
    ledger.set("split", "test")
    return manifest


def prepare_command(folder: str, manifest: str, settings: Mapping[str, Any]) -> str:
    """Return the command that makes a manifest."""
    return shlex.join(["pancyte", "prepare", folder, "-o", manifest, *_overrides(settings)])


def _overrides(settings: Mapping[str, Any]) -> list[str]:
    return [
        word for name, value in settings.items() for word in ("--set", f"{name}={_text(value)}")
    ]


def _text(value: Any) -> str:  # noqa: ANN401 - of any setting
    return str(value).lower() if isinstance(value, bool) else str(value)


def _convert_model(ledger: Ledger, classes: tuple[str, ...]) -> None:
    name = str(ledger.get("model.name", "MediarV")).lower()
    if name not in {"mediarv", "mediar-v", "mediar_v"}:
        msg = f"model.name: expected MediarV, but got {ledger.get('model.name')!r}. Correct it."
        raise ConfigError(msg)
    ledger.set("task.kind", "flow")
    ledger.set("task.field", "diffusion")
    ledger.set("task.architecture", to_mapping(MEDIAR_V))
    ledger.use("model.name", "task.architecture")
    params = "model.params"
    convert_encoder(ledger, params)
    count = int(ledger.get(f"{params}.out_classes", 1))
    if ledger.get("criterion.params.num_classes", count) != count:
        msg = (
            f"model.params.out_classes is {count}, but criterion.params.num_classes is "
            f"{ledger.get('criterion.params.num_classes')}. Make them equal, and convert again."
        )
        raise ConfigError(msg)
    names = class_names(classes, count, f"{params}.out_classes")
    note = "" if classes else "names are made up; give them with --classes"
    ledger.set("task.classes", names)
    ledger.keep(f"{params}.out_classes", "task.classes", names, note=note)
    ledger.keep(
        f"{params}.prefer_gn",
        "task.architecture.head_norm",
        "group" if ledger.get(f"{params}.prefer_gn", True) else "batch",
    )
    if ledger.get(f"{params}.upsample", 1) == 1:
        ledger.keep(f"{params}.upsample", "task.architecture.upsample")
    else:
        ledger.drop(f"{params}.upsample", "maps larger than the image have no equivalent")
    ledger.keep(f"{params}.zero_init_heads", "task.architecture.zero_init_heads")


def _convert_criterion(ledger: Ledger) -> None:
    name = str(ledger.get("criterion.name", "BCE_MSE_Loss"))
    loss = _LOSSES.get(name.lower())
    if loss is None:
        msg = f"criterion.name: expected one of {', '.join(_LOSSES)}, but got {name!r}. Correct it."
        raise ConfigError(msg)
    note = "" if loss == "mediar" else "could not be trained in Mediar-V; here with the flow term"
    ledger.set("task.loss", loss)
    ledger.keep("criterion.name", "task.loss", loss, note=note)
    ledger.use(f"{_CRITERION}.num_classes", "task.classes")
    never = "never worked per class there; use task.class_weights"
    for table in ("", "bce_params.", "mse_params."):
        ledger.drop(f"{_CRITERION}.{table}with_logits", "always: the network gives logits")
        ledger.drop(f"{_CRITERION}.{table}weight", never)
        ledger.drop(f"{_CRITERION}.{table}reduction", "always the mean over what was annotated")
        ledger.drop(f"{_CRITERION}.{table}ignore_index", "say what was annotated in the manifest")
        ledger.keep(f"{_CRITERION}.{table}label_smoothing", "task.label_smoothing")
        key = f"{_CRITERION}.{table}pos_weight"
        value = ledger.get(key)
        if value is None:
            ledger.drop(key, "1 is the default")
            continue
        classes = ledger.settings["task"]["classes"]
        values = value if isinstance(value, list) else [value] * len(classes)
        if len(values) != len(classes):
            msg = f"{key}: expected {len(classes)} values, one for each class, but got {values}."
            raise ConfigError(msg)
        ledger.keep(key, "task.pos_weights", dict(zip(classes, values, strict=True)))


def _convert_common(ledger: Ledger) -> None:
    key = f"{_COMMON}.seed"
    if ledger.get(key, 0) is None:
        ledger.keep(key, "seed", 0, note="without a seed its splits overlapped")
    else:
        ledger.keep(key, "seed")
    convert_device(ledger, f"{_COMMON}.device")
    _convert_precision(ledger)
    ledger.keep(f"{_COMMON}.roi_size", "sampling.patch")
    _convert_decoding(ledger, "task.decoding")
    _convert_scores(ledger)
    ledger.keep(f"{_COMMON}.predictions_dir", "out")
    ledger.settings.setdefault("out", "run")
    _convert_weights(ledger, "initialize")


def _convert_precision(ledger: Ledger) -> None:
    key = f"{_COMMON}.use_amp"
    ledger.keep(key, "precision", "auto" if ledger.get(key, True) else "float32")


def _convert_decoding(ledger: Ledger, target: str) -> None:
    ledger.keep(f"{_FLOW}.prob_threshold", f"{target}.foreground_threshold")
    key = f"{_FLOW}.flow_threshold"
    limit = ledger.get(key)
    note = "" if limit else "tests no object; there, it removed all"
    ledger.keep(key, f"{target}.flow_threshold", limit or None, note=note)
    key = f"{_FLOW}.num_iters"
    if ledger.get(key) == _DEFAULT_ITERATIONS:
        note = "pixels are followed until they arrive: 200 steps cut cells longer than 400 px"
        ledger.keep(key, f"{target}.max_iterations", None, note=note)
    else:
        ledger.keep(key, f"{target}.max_iterations")
    ledger.keep(f"{_FLOW}.min_object_size", f"{target}.min_size")


def _convert_scores(ledger: Ledger) -> None:
    key = f"{_COMMON}.iou_threshold"
    ledger.use(key, f"evaluate --set thresholds=[{ledger.get(key, 0.5)}]")
    key = f"{_COMMON}.remove_boundary_objects"
    border = _BORDER if ledger.get(key, True) else 0
    ledger.use(key, f"evaluate --set remove_border={border}", note="of scores, not of predictions")


def _convert_weights(ledger: Ledger, target: str) -> None:
    key = f"{_COMMON}.pretrained_weights"
    weights = ledger.get(key, "")
    if not weights:
        ledger.drop(key, "no weights")
        return
    folder = PurePosixPath(weights).with_suffix("").as_posix()
    ledger.keep(key, target, folder, note="the folder that the weights are converted to")
    command = shlex.join(["pancyte", "convert", weights, "-o", folder])
    ledger.todo.append(f"Convert the weights once: {command}")


def _convert_data(ledger: Ledger, manifest: str) -> None:
    """Name the folders, or the manifest that divides one folder, and say how it is made."""
    masks = str(ledger.get(f"{_COMMON}.masks_subdir", ""))
    pre_split = bool(ledger.get(f"{_TRAINING}.is_split", False))
    ledger.use(f"{_TRAINING}.is_split", "data")
    if pre_split:
        ledger.use(f"{_COMMON}.masks_subdir", "data.masks_subdir")
        _convert_folders(ledger, masks)
        ledger.drop(f"{_TRAINING}.split", "not used with is_split")
        for name in (*(f"{split}_{what}" for split in _SPLITS for what in _WHAT), "shuffle"):
            ledger.drop(
                f"{_TRAINING}.{name}", "folders are taken whole here; make manifests for parts"
            )
        return
    ledger.use(f"{_COMMON}.masks_subdir", "prepare --set masks_subdir")
    ledger.set("data", [{"path": manifest}])
    ledger.drop(f"{_TRAINING}.pre_split", "not used without is_split")
    ledger.use(f"{_TRAINING}.split.all_data_dir", "prepare FOLDER")
    for split, ours in _SPLITS.items():
        for what in _WHAT:
            target = f"prepare --set {ours if what == 'size' else f'layout.{ours}_offset'}"
            ledger.use(f"{_TRAINING}.{split}_{what}", target, note="a fraction is rounded")
    ledger.use(f"{_TRAINING}.shuffle", "prepare --set layout.shuffle")
    settings = ({"masks_subdir": masks} if masks else {}) | _layout(ledger)
    folder = str(ledger.get(f"{_TRAINING}.split.all_data_dir", "."))
    ledger.todo.append(f"Make the manifest once: {prepare_command(folder, manifest, settings)}")


def _layout(ledger: Ledger) -> dict[str, Any]:
    """Return the settings of ``prepare`` that divide the images as the JSON does."""
    settings: dict[str, Any] = {}
    for name, ours in _SPLITS.items():
        size = ledger.get(f"{_TRAINING}.{name}_size", _SIZES[name])
        offset = ledger.get(f"{_TRAINING}.{name}_offset", 0)
        settings["layout.train" if ours == "train" else ours] = size
        if offset:
            settings[f"layout.{ours}_offset"] = offset
    settings["layout.shuffle"] = bool(ledger.get(f"{_TRAINING}.shuffle", False))
    settings["seed"] = ledger.get(f"{_COMMON}.seed", 0) or 0
    return settings


def _test_layout(ledger: Ledger, size: float, offset: float) -> dict[str, Any]:
    """Return the settings of ``prepare`` that put one stretch of the images into ``test``."""
    # Mediar-V lays out the test images alone; what lies before them is for nothing.
    settings: dict[str, Any] = {"layout.train": 0, "val": 0, "test": size}
    if offset:
        settings["layout.test_offset"] = offset
    settings["layout.shuffle"] = bool(ledger.get(f"{_TESTING}.shuffle", True))
    if settings["layout.shuffle"]:
        settings["seed"] = ledger.get(f"{_COMMON}.seed", 0) or 0
    return settings


def _convert_folders(ledger: Ledger, masks: str) -> None:
    """Name the folders of the splits as data sets of their own."""
    sources = []
    for name, split in (("train_dir", "train"), ("valid_dir", "val"), ("test_dir", "test")):
        key = f"{_TRAINING}.pre_split.{name}"
        folder = str(ledger.get(key, "." if split == "train" else ""))
        if not folder:
            ledger.drop(key, f"no images for {split}")
            continue
        ledger.use(key, "data")
        sources.append(
            {"path": folder, "split": split} | ({"masks_subdir": masks} if masks else {})
        )
    ledger.set("data", sources)


def _convert_wandb(ledger: Ledger) -> None:
    if not ledger.get("wandb.use_wandb", False):
        ledger.drop("wandb", "not used")
        return
    ledger.use("wandb.use_wandb", "wandb")
    ledger.settings.setdefault("wandb", {})
    for name in ("project", "group", "entity", "name", "id", "tags", "notes", "save_code"):
        key = f"wandb.{name}"
        if ledger.get(key) in (None, []):
            ledger.drop(key, "not set")
        else:
            ledger.keep(key, key)
    ledger.set("wandb.mode", "online")
