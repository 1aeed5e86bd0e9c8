"""``pancyte evaluate``: score predictions, or a model, against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pancyte.cli.group import debug_option, set_option
from pancyte.cli.imports import without_garbage_collection

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("predictions", metavar="PREDICTIONS|MODEL")
@click.argument("truth", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Folder for tables of scores and pictures of errors; without it scores are only shown.",
)
@click.option(
    "--protocol",
    metavar="NAME",
    help="'pancyte', or 'neurips22' to leave out objects at the border as that challenge did.",
)
@click.option("--split", metavar="NAME", help="Split of the manifest to score, such as val.")
@click.option("--overwrite", is_flag=True, help="Replace scores that are in OUT already.")
@set_option("thresholds=[0.5,0.75]")
@debug_option
def evaluate(  # noqa: PLR0913 - one parameter for each option
    predictions: str,
    truth: Path,
    *,
    out: Path | None,
    protocol: str | None,
    split: str | None,
    overwrite: bool,
    overrides: Sequence[str],
) -> None:
    """Score label images in a folder, or a model, against TRUTH.

    TRUTH is a folder of label images of the same names; for a MODEL, a manifest, or a folder that
    holds images and labels. Where each class has a folder of its own, name them with
    --set 'classes=["cell","nucleus"]'.
    """
    from pancyte.cli.progress import image_progress, say_loading

    say_loading()
    with without_garbage_collection():
        from pancyte.cli.settings import settings_from_options
        from pancyte.workflows.evaluate import evaluate as run
        from pancyte.workflows.evaluation import EvaluateConfig

    options = {"protocol": protocol, "split": split}
    config = settings_from_options(EvaluateConfig, options, overrides)
    with image_progress() as report:
        result = run(predictions, truth, out, config, overwrite=overwrite, report=report)
    click.echo(result.text())
    if out is not None:
        click.echo(f"The scores are in {out}")
