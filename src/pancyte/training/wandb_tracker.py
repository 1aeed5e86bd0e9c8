"""Weights & Biases as a :class:`~pancyte.protocols.Tracker`; needs the extra ``pancyte[wandb]``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pancyte.errors import UsageError
from pancyte.params import params

if TYPE_CHECKING:
    from collections.abc import Mapping


@params
class Wandb:
    """Where a training is recorded in Weights & Biases."""

    project: str = "pancyte"
    """Project that the run belongs to."""
    mode: Literal["offline", "online", "disabled"] = "offline"
    """``offline`` needs no account and no network: ``wandb sync`` uploads the run later."""
    group: str | None = None
    """Runs of one group are shown together."""
    entity: str | None = None
    """User or team; None is the default of the account."""
    name: str | None = None
    """Name of the run; None lets the service choose one."""
    id: str | None = None
    """Id of the run, under which a resumed training goes on; None is a new id."""
    tags: tuple[str, ...] = ()
    """Words to find the run by."""
    notes: str | None = None
    """A description of the run."""
    save_code: bool = True
    """Whether the main program is saved with the run."""
    upload_weights: bool = True
    """Whether the best model is saved with the run when the training has ended."""

    def __post_init__(self) -> None:
        if not self.project:
            raise ValueError("Expected project to be a name, but got an empty text")


class WandbTracker:
    """Scalars and, in the end, the best model, as one run of Weights & Biases.

    Parameters
    ----------
    settings
        Project, mode and descriptions.
    folder
        Of the training; the files of the service are kept in ``wandb`` in it.
    config
        Settings of the training as plain values, shown with the run.

    Raises
    ------
    UsageError
        The package is not installed, or the service refuses the run.
    """

    def __init__(self, settings: Wandb, folder: Path, *, config: Mapping[str, Any]) -> None:
        try:
            import wandb  # noqa: PLC0415 - optional, and a second to import
        except ImportError as error:
            msg = "Weights & Biases is not here. Install it with: pip install 'pancyte[wandb]'"
            raise UsageError(msg) from error
        self._settings = settings
        try:
            self._run = wandb.init(
                project=settings.project,
                mode=settings.mode,
                group=settings.group,
                entity=settings.entity,
                name=settings.name,
                id=settings.id,
                tags=settings.tags or None,
                notes=settings.notes,
                save_code=settings.save_code,
                config=dict(config),
                dir=str(folder),
                resume=None if settings.id is None else "allow",
                reinit="finish_previous",
                # The terminal and its log stay ours.
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.errors.Error as error:
            msg = (
                f"Weights & Biases refuses the run ({error}). Log in with: wandb login; or set "
                "wandb.mode=offline."
            )
            raise UsageError(msg) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record named values at a step, which never is below that of an earlier call."""
        self._run.log(dict(values), step=step)

    def keep(self, folder: Path) -> None:
        """Save the files of a model folder with the run."""
        if self._settings.upload_weights and self._settings.mode != "disabled":
            # Copied, for an offline run to be whole when the folder of the training is moved.
            place = Path(self._run.dir)
            shutil.copytree(folder, place / folder.name, dirs_exist_ok=True)
            self._run.save(str(place / folder.name / "*"), base_path=str(place), policy="now")

    def close(self) -> None:
        """End the run, which writes what is pending."""
        self._run.finish()
