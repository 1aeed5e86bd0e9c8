"""What the configurations of Mediar-V and MEDIAR have in common.

Both train the same way: no average of the weights, a schedule that moves once an epoch, images at
their own scale, their channels stretched together between two percentiles, and one fixed list of
transforms. None of that stands in their files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pancyte.augment.cell_aware import CellAware
from pancyte.augment.intensity import MEDIAR_INTENSITY
from pancyte.augment.spatial import MEDIAR_SPATIAL
from pancyte.config import to_mapping
from pancyte.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pancyte.workflows.conversion.ledger import Ledger

_OPTIMIZERS: Final = ("sgd", "adam", "adamw")
_SCHEDULES: Final = {
    "step": "step",
    "steplr": "step",
    "exponential": "exponential",
    "exponentiallr": "exponential",
    "multistep": "multistep",
    "multisteplr": "multistep",
    "cosine": "cosine",
    "cosineannealing": "cosine",
    "cosineannealinglr": "cosine",
}

PERCENTILES: Final = (0.0, 99.5)
"""Of the pixels that are not 0, of all channels together: what becomes 0 and 1."""

COMMON: Final[Mapping[str, Any]] = {
    "task.preprocessing.diameter": None,
    "task.preprocessing.normalization": "joint",
    "task.preprocessing.percentiles": list(PERCENTILES),
    "task.preprocessing.percentiles_of": "nonzero",
    "sampling.balance": 0.0,
    "sampling.object_probability": 0.0,
    "sampling.order": "epoch",
    "sampling.beyond": "zeros",
    "sampling.patch": 512,
    "epoch_steps": None,
    "optimization.decay": "all",
    "optimization.per_epoch": True,
    "optimization.warmup_steps": 0,
    "optimization.clip_norm": None,
    "optimization.average_decay": None,
    "validation.split": "val",
}
"""What both do without saying it in a file, by our keys."""


def set_common(ledger: Ledger) -> None:
    """Set what the systems do without saying it: preprocessing, schedule, augmentation."""
    for key, value in COMMON.items():
        ledger.set(key, value)
    ledger.set("spatial", to_mapping(MEDIAR_SPATIAL))
    ledger.set("intensity", to_mapping(MEDIAR_INTENSITY))
    ledger.set("cell_aware", to_mapping(CellAware()))


def convert_optimizer(ledger: Ledger, key: str) -> None:
    """Convert the table of an optimizer, ``{name, params}``."""
    name = str(ledger.get(f"{key}.name", "")).lower()
    if name not in _OPTIMIZERS:
        msg = (
            f"{key}.name: expected one of {', '.join(_OPTIMIZERS)}, but got "
            f"{ledger.get(f'{key}.name')!r}. Correct it, and convert again."
        )
        raise ConfigError(msg)
    ledger.keep(f"{key}.name", "optimization.optimizer", name)
    params = f"{key}.params"
    ledger.keep(f"{params}.lr", "optimization.learning_rate")
    ledger.keep(f"{params}.weight_decay", "optimization.weight_decay")
    ledger.keep(f"{params}.amsgrad", "optimization.amsgrad")
    ledger.keep(f"{params}.betas", "optimization.betas")
    ledger.keep(f"{params}.eps", "optimization.epsilon")
    ledger.keep(f"{params}.momentum", "optimization.momentum")
    ledger.keep(f"{params}.dampening", "optimization.dampening")
    ledger.keep(f"{params}.nesterov", "optimization.nesterov")
    for other in ("maximize", "foreach", "capturable", "differentiable", "fused"):
        ledger.drop(f"{params}.{other}", "does not change what is learned")


def convert_schedule(ledger: Ledger, key: str, *, epochs: int) -> None:
    """Convert the table of a schedule, ``{name, params}``; without one the rate is constant."""
    if ledger.get(key) is None or ledger.get(f"{key}.enabled") is False:
        ledger.set("optimization.schedule", "constant")
        ledger.use(key, "optimization.schedule", note="the learning rate is constant")
        return
    ledger.use(f"{key}.enabled", "optimization.schedule")
    name = _SCHEDULES.get(str(ledger.get(f"{key}.name", "")).lower())
    if name is None:
        msg = (
            f"{key}.name: expected a schedule such as cosine, step, multistep or exponential, but "
            f"got {ledger.get(f'{key}.name')!r}. Correct it, and convert again."
        )
        raise ConfigError(msg)
    ledger.keep(f"{key}.name", "optimization.schedule", name)
    params = f"{key}.params"
    if name == "multistep":
        ledger.set("optimization.milestone_epochs", [30.0, 80.0])
    ledger.drop(f"{params}.last_epoch", "a resumed run knows how far it is")
    ledger.drop(f"{params}.verbose", "the learning rate is in metrics.csv")
    ledger.keep(f"{params}.step_size", "optimization.step_epochs")
    ledger.keep(f"{params}.gamma", "optimization.gamma")
    ledger.keep(f"{params}.milestones", "optimization.milestone_epochs")
    if name == "cosine":
        _convert_cosine(ledger, params, epochs=epochs)


def _convert_cosine(ledger: Ledger, params: str, *, epochs: int) -> None:
    period = ledger.get(f"{params}.T_max", 100)
    lowest = ledger.get(f"{params}.eta_min", 0.0)
    rate = ledger.settings["optimization"].get("learning_rate", 1e-3)
    if period <= 0 or not 0 <= lowest <= rate or rate <= 0:
        msg = (
            f"{params}: expected T_max above 0 and eta_min from 0 to the learning rate of {rate}, "
            f"but got T_max={period} and eta_min={lowest}. Correct them, and convert again."
        )
        raise ConfigError(msg)
    note = ""
    if period < epochs:
        turns = epochs // period
        note = f"the rate turns {turns} times: it falls, rises again, and so on, as published"
        if turns % 2 == 0:
            note += ", and the last epoch trains at the highest rate; none falls once over all"
    ledger.set("optimization.period", float(period))
    ledger.keep(f"{params}.T_max", "optimization.period", float(period), note=note)
    fraction = float(f"{lowest / rate:.9g}")
    ledger.set("optimization.final_fraction", fraction)
    note = "as a fraction of the learning rate"
    ledger.keep(f"{params}.eta_min", "optimization.final_fraction", fraction, note=note)


def convert_encoder(ledger: Ledger, params: str) -> None:
    """Convert the parameters of a network that both systems have."""
    ledger.keep(f"{params}.encoder_name", "task.architecture.encoder")
    ledger.drop(
        f"{params}.encoder_weights",
        "nothing is downloaded; give a local file of weights as initialize",
    )
    ledger.keep(f"{params}.decoder_channels", "task.architecture.decoder_channels")
    ledger.keep(f"{params}.decoder_pab_channels", "task.architecture.attention_channels")
    ledger.keep(f"{params}.in_channels", "task.preprocessing.channels")


def convert_device(ledger: Ledger, key: str) -> None:
    """Convert a device; a GPU of one machine is not that of the next."""
    device = str(ledger.get(key, "auto"))
    note = "" if device == "cpu" else "takes a GPU where there is one; cuda:1 names one"
    ledger.keep(key, "device", "cpu" if device == "cpu" else "auto", note=note)


def class_names(classes: tuple[str, ...], count: int, where: str) -> list[str]:
    """Return the names of the classes, made up where none were given.

    Raises
    ------
    ConfigError
        Another number of names was given.
    """
    if not classes:
        return ["object"] if count == 1 else [f"class {k}" for k in range(1, count + 1)]
    if len(classes) != count:
        msg = f"{where}: expected {count} names of classes, but got {len(classes)}: {list(classes)}"
        raise ConfigError(msg)
    return list(classes)
