"""What a prediction changes of a model: how it is tiled and turned, and how objects are found.

Settings of decoding are for all classes of a model, or for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pancyte.config import from_mapping, to_mapping
from pancyte.errors import ConfigError, near_miss
from pancyte.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pancyte.inference.model import Model
    from pancyte.workflows.predict_config import PredictConfig

OF_MODEL: Final = ("decoding", "tiling", "flips", "blocks")
"""Settings of a prediction that a model holds itself."""


def configure_model(model: Model, config: PredictConfig, names: Collection[str]) -> Model:
    """Return a model with the decoding, tiling, flips and blocks that settings ask for.

    Parameters
    ----------
    model
        Stays as it is.
    config
        Settings of a prediction.
    names
        Which of the settings count; what is not among them stays as the model has it.

    Raises
    ------
    ConfigError
        The model's task has no such setting.
    """
    changes = {name: getattr(config, name) for name in OF_MODEL if name in names}
    decoding = changes.pop("decoding", {})
    if decoding:
        mapping = changed_decoding(to_mapping(model.task), decoding, model.classes)
        where = f"the decoding of the model {model.name}"
        changes["task"] = from_mapping(Task, mapping, where=where)
    return replace(model, **changes)


def changed_decoding(
    task: Mapping[str, Any], changes: Mapping[str, Any], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the mapping of a task with other settings of decoding.

    Parameters
    ----------
    task
        Keys and values of a task, as :func:`pancyte.config.to_mapping` gives them.
    changes
        Settings of all classes by name, and tables of settings by the name of a class. What is
        asked for all classes wins over what the model has for one of them.
    classes
        Of the model.

    Raises
    ------
    ConfigError
        A table is not that of a class, or a class is given something else than a table.
    """
    _check_of_classes(changes, classes)
    general = {key: value for key, value in changes.items() if key not in classes}
    own = {
        name: {key: value for key, value in settings.items() if key not in general}
        for name, settings in task.get("class_decoding", {}).items()
    }
    for name in classes:
        if name in changes:
            own[name] = {**own.get(name, {}), **changes[name]}
    changed = {**task, "decoding": {**task.get("decoding", {}), **general}}
    return {**changed, "class_decoding": own} if own else changed


def _check_of_classes(decoding: Mapping[str, Any], classes: Sequence[str]) -> None:
    for name, value in decoding.items():
        if name in classes and not isinstance(value, Mapping):
            msg = (
                f"decoding.{name}: expected settings of this class, such as "
                f"decoding.{name}.min_size=20, but got {value!r}."
            )
            raise ConfigError(msg)
        if name not in classes and isinstance(value, Mapping):
            msg = (
                f"decoding.{name}: the model has no class {name!r}, only {', '.join(classes)}."
                f"{near_miss(name, classes)}"
            )
            raise ConfigError(msg)
