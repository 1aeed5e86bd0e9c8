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
@click.option(
    "--resume-from",
    metavar="NAME",
    help="Continue the run from a checkpoint that was kept, such as epoch_20.",
)
@click.option("--dry-run", is_flag=True, help="Show and draw the first batch, and train nothing.")
@click.option(
    "-o",
    "--out",
    metavar="PNG",
    type=click.Path(path_type=Path),
    help="Picture of --dry-run; by default beside the folder of the run.",
)
@set_option("out=runs/second")
@debug_option
def train(
    config: Path,
    *,
    resume: bool,
    resume_from: str | None,
    dry_run: bool,
    out: Path | None,
    overrides: Sequence[str],
) -> None:
    """Train a model as CONFIG says, a .toml, .yaml or .json file, or a Python program.

    Start from configs/own_images.toml. Paths in CONFIG are relative to it. The folder of the run
    gets checkpoints/best, a model for 'pancyte predict --model', and metrics.csv.

    A .py file is run; it defines config = TrainConfig(...), and may define network, losses and
    metrics too. On several processes: torchrun --nproc-per-node 2 -m pancyte train CONFIG
    """
    from pancyte.cli.progress import say_loading, step_progress

    say_loading()
    from pancyte.workflows.dry_run import show_first_batch
    from pancyte.workflows.program import read_program
    from pancyte.workflows.train import train as run

    if out is not None and not dry_run:
        msg = "-o names the picture of --dry-run; the folder of the run is --set out=FOLDER."
        raise click.UsageError(msg)
    program = read_program(config, overrides)
    if dry_run:
        click.echo(show_first_batch(program.config, out))
        return
    with step_progress() as report:
        folder = run(program.config, resume=resume_from or resume, report=report, **program.parts)
    click.echo(f"The model is in {folder / 'checkpoints' / 'best'}")
