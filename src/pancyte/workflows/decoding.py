"""Settings of decoding that a prediction changes, for all classes of a model or for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pancyte.errors import ConfigError, near_miss

if TYPE_CHECKING:
    from collections.abc import Sequence


def change_decoding(
    task: dict[str, Any], changes: Mapping[str, Any], classes: Sequence[str]
) -> None:
    """Change the settings of decoding in the mapping of a task.

    Parameters
    ----------
    task
        Keys and values of a task, as :func:`pancyte.config.to_mapping` gives them; changed.
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
    task["decoding"] = {**task.get("decoding", {}), **general}
    own = {
        name: {key: value for key, value in settings.items() if key not in general}
        for name, settings in task.get("class_decoding", {}).items()
    }
    for name in classes:
        if name in changes:
            own[name] = {**own.get(name, {}), **changes[name]}
    if own:
        task["class_decoding"] = own


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
