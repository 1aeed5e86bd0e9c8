"""``pancyte train``: train a model as a configuration file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pancyte.cli.group import debug_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Continue the run where it stopped.")
@set_option("out=runs/second")
@debug_option
def train(config: Path, *, resume: bool, overrides: Sequence[str]) -> None:
    """Train a model as CONFIG says, a .toml, .yaml or .json file.

    Start from configs/own_images.toml. Paths in CONFIG are relative to it. The folder of the run
    gets checkpoints/best, a model for 'pancyte predict --model', and metrics.csv.
    """
    from pancyte.workflows.train import train as run
    from pancyte.workflows.train_config import read_train_config

    folder = run(read_train_config(config, overrides), resume=resume)
    click.echo(f"The model is in {folder / 'checkpoints' / 'best'}")
