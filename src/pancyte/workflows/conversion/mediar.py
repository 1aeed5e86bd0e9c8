"""The JSON of MEDIAR: training of all kinds, prediction, and lists of files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from pancyte.augment.spatial import NO_SPATIAL
from pancyte.config import to_mapping
from pancyte.errors import ConfigError
from pancyte.nn.architectures import MEDIAR_FORMER
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

SYSTEM: Final = "MEDIAR"

_LABELED: Final = "data_setups.labeled"
_PUBLIC: Final = "data_setups.public"
_TRAIN: Final = "train_setups"
_TRAINER: Final = f"{_TRAIN}.trainer"
_MODEL: Final = f"{_TRAIN}.model"
_PREDICT: Final = "pred_setups"

_PATCH: Final = 512
_CLUSTER: Final = 50
_FORMER: Final = ("mediar-former", "mediarformer", "mediar_former")
_OTHERS: Final = ("unet", "unetr", "swinunetr")


def is_training(source: Mapping[str, Any]) -> bool:
    """Return whether a JSON document is a configuration of MEDIAR for training."""
    return "train_setups" in source


def is_prediction(source: Mapping[str, Any]) -> bool:
    """Return whether it is one for prediction alone."""
    return "pred_setups" in source and not is_training(source)


def is_mapping(source: Mapping[str, Any]) -> bool:
    """Return whether it is a list of files: names to lists of ``{img, label}``."""
    return bool(source) and all(
        isinstance(rows, list) and all(isinstance(row, dict) and "img" in row for row in rows)
        for rows in source.values()
    )


def convert_training(source: Mapping[str, Any], *, classes: tuple[str, ...]) -> Ledger:
    """Convert a configuration for training.

    Parameters
    ----------
    source
        The JSON document.
    classes
        Name of the one class, or empty.

    Raises
    ------
    ConfigError
        It trains a network that has no equivalent here, or a value is none that MEDIAR knows.
    """
    _check_network(source)
    ledger = Ledger(source)
    set_common(ledger)
    _convert_model(ledger, classes)
    _convert_data(ledger)
    _convert_public(ledger)
    ledger.drop("data_setups.unlabeled", "MEDIAR ignores it too")
    _convert_trainer(ledger)
    convert_optimizer(ledger, f"{_TRAIN}.optimizer")
    ledger.drop(f"{_TRAIN}.optimizer.ft_rate", "MEDIAR does not use it either")
    convert_schedule(ledger, f"{_TRAIN}.scheduler", epochs=int(ledger.settings["epochs"]))
    ledger.keep(f"{_TRAIN}.seed", "seed")
    ledger.use(_PREDICT, "pancyte predict", note="a command of its own after the training")
    _convert_wandb(ledger)
    ledger.finish(SYSTEM)
    return ledger


def convert_prediction(source: Mapping[str, Any]) -> tuple[Ledger, list[str]]:
    """Convert a configuration for prediction into settings, and what else the command needs.

    Returns
    -------
    tuple of Ledger and list of str
        Settings of ``pancyte predict``; and its words SOURCE, ``-o`` and OUT.
    """
    ledger = Ledger(source)
    folders = []
    for name in ("model_path", "model_path1", "model_path2"):
        key = f"{_PREDICT}.{name}"
        path = ledger.get(key)
        ledger.use(key, "model", note="several models are an ensemble")
        if path:
            folder = PurePosixPath(path).with_suffix("").as_posix()
            folders.append(folder)
            ledger.todo.append(f"Convert the weights once: pancyte convert {path} -o {folder}")
    if folders:
        ledger.set("model", folders)
    convert_device(ledger, f"{_PREDICT}.device")
    key = f"{_PREDICT}.algo_params.use_tta"
    ledger.keep(key, "flips", 3 if ledger.get(key, False) else 1)
    ledger.set("tiling", {"tile": _PATCH, "overlap": _PATCH // 2})
    ledger.use(f"{_PREDICT}.name", "model")
    ledger.use(f"{_PREDICT}.input_path", "SOURCE")
    ledger.use(f"{_PREDICT}.output_path", "-o")
    ledger.drop(f"{_PREDICT}.model", "the model folder says what its network is")
    ledger.drop(f"{_PREDICT}.make_submission", "the challenge is over")
    ledger.drop(f"{_PREDICT}.exp_name", "names the archive of a submission")
    for name in ("train_setups", "data_setups"):
        ledger.drop(name, "a prediction needs none")
    ledger.drop("wandb_setups", "a prediction is recorded in run.json")
    ledger.finish(SYSTEM)
    source_folder = str(ledger.get(f"{_PREDICT}.input_path", "SOURCE"))
    return ledger, [source_folder, "-o", str(ledger.get(f"{_PREDICT}.output_path", "predictions"))]


def _check_network(source: Mapping[str, Any]) -> None:
    ledger = Ledger(source)
    name = str(ledger.get(f"{_MODEL}.name", "")).lower()
    if name in _OTHERS:
        msg = (
            f"{_MODEL}.name: {name!r}, the baseline of three classes (background, interior, "
            "border), has no equivalent in pancyte, and nothing was written. Convert a "
            "configuration of mediar-former, or start one with pancyte init."
        )
        raise ConfigError(msg)
    if name not in _FORMER:
        msg = (
            f"{_MODEL}.name: expected mediar-former, but got {ledger.get(f'{_MODEL}.name')!r}. "
            "Correct it, and convert again."
        )
        raise ConfigError(msg)


def _convert_model(ledger: Ledger, classes: tuple[str, ...]) -> None:
    ledger.set("task.kind", "flow")
    ledger.set("task.field", "diffusion")
    ledger.set("task.loss", "mediar")
    ledger.set("task.classes", class_names(classes, 1, "MEDIAR"))
    ledger.set("task.architecture", to_mapping(MEDIAR_FORMER))
    ledger.use(f"{_MODEL}.name", "task.architecture")
    convert_encoder(ledger, f"{_MODEL}.params")
    ledger.drop(f"{_MODEL}.params.classes", "of a head that MEDIAR throws away")
    pretrained = f"{_MODEL}.pretrained"
    if not ledger.get(f"{pretrained}.enabled", False):
        ledger.drop(pretrained, "not used")
        return
    ledger.use(f"{pretrained}.enabled", "initialize")
    weights = str(ledger.get(f"{pretrained}.weights", ""))
    folder = PurePosixPath(weights).with_suffix("").as_posix()
    ledger.keep(f"{pretrained}.weights", "initialize", folder)
    ledger.drop(f"{pretrained}.strict", "what did not fit is always said")
    ledger.todo.append(f"Convert the weights once: pancyte convert {weights} -o {folder}")


def _convert_data(ledger: Ledger) -> None:
    root = str(ledger.get(f"{_LABELED}.root", "."))
    sources = []
    for name in ("mapping_file", "join_mapping_file"):
        key = f"{_LABELED}.{name}"
        if not ledger.get(key):
            ledger.drop(key, "not set")
            continue
        manifest = _manifest(ledger, key, root)
        sources.append({"path": manifest})
        ledger.use(key, "data", note=f"as the manifest {manifest}")
    ledger.set("data", sources or [{"path": "manifest.csv"}])
    ledger.use(f"{_LABELED}.root", "convert --root")
    for name in ("mapping_file_tuning", "tuning_mapping_file"):
        ledger.drop(
            f"{_LABELED}.{name}",
            "counting cells in images without labels chose models that divide cells; "
            "validate on images with labels",
        )
    key = f"{_LABELED}.amplified"
    if ledger.get(key, False):
        ledger.keep(key, "sampling.amplify", _CLUSTER, note="of the modalities in the manifest")
        ledger.todo.append(
            "Find the modalities once: pancyte prepare modalities MANIFEST -o MANIFEST-WITH-THEM"
        )
    else:
        ledger.drop(key, "not used")
    ledger.drop(f"{_LABELED}.relabel", "files are found by the manifest, whatever their names")
    ledger.keep(f"{_LABELED}.batch_size", "batch")
    key = f"{_LABELED}.valid_portion"
    portion = ledger.get(key, 0.0)
    ledger.use(key, "prepare --val", note="the split stands in the manifest")
    if portion and sources:
        path = sources[0]["path"]
        ledger.todo.append(
            f"Set images aside for validation once: pancyte prepare {path} -o {path} "
            f"--val {portion} --overwrite"
        )


def _manifest(ledger: Ledger, key: str, root: str) -> str:
    mapping = str(ledger.get(key))
    manifest = PurePosixPath(mapping).with_suffix(".csv").name
    ledger.todo.append(
        f"Convert the list of files once: pancyte convert {mapping} -o {manifest} --root {root}"
    )
    return manifest


def _convert_public(ledger: Ledger) -> None:
    if not ledger.get(f"{_PUBLIC}.enabled", False):
        ledger.drop(_PUBLIC, "not used")
        return
    ledger.use(f"{_PUBLIC}.enabled", "replay")
    params = f"{_PUBLIC}.params"
    manifest = _manifest(ledger, f"{params}.mapping_file", str(ledger.get(f"{params}.root", ".")))
    ledger.set("replay.data", [{"path": manifest}])
    ledger.use(f"{params}.mapping_file", "replay.data", note=f"as the manifest {manifest}")
    # Public images are flipped along one axis and turned, each for half of them.
    flipped = replace(NO_SPATIAL, flip=True, flip_axis="either", quarter_turns=True)
    ledger.set("replay.spatial", to_mapping(replace(flipped, turn_probability=0.5)))
    ledger.use(f"{params}.root", "convert --root")
    ledger.keep(f"{params}.batch_size", "replay.samples")
    ledger.drop(f"{params}.valid_portion", "what is replayed is not validated on")


def _convert_trainer(ledger: Ledger) -> None:
    ledger.use(f"{_TRAINER}.name", "task.loss")
    params = f"{_TRAINER}.params"
    ledger.settings |= {"epochs": 100, "batch": ledger.settings.get("batch", 8)}
    ledger.keep(f"{params}.num_epochs", "epochs")
    ledger.keep(f"{params}.valid_frequency", "validation.every")
    convert_device(ledger, f"{params}.device")
    ledger.keep(f"{params}.amp", "precision", "auto" if ledger.get(f"{params}.amp") else "float32")
    ledger.use(f"{params}.algo_params.with_public", "replay")
    ledger.settings.setdefault("out", "run")


def _convert_wandb(ledger: Ledger) -> None:
    for name in ("project", "group", "name"):
        key = f"wandb_setups.{name}"
        if ledger.get(key):
            ledger.keep(key, f"wandb.{name}")
        else:
            ledger.drop(key, "not set")
    if "wandb" in ledger.settings:
        ledger.set("wandb.mode", "online")
