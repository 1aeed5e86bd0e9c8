"""``pancyte models calibrate``: make the scores of a model probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pancyte.cli.group import debug_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("model", metavar="NAME|PATH")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="OUT_MODEL",
    type=click.Path(path_type=Path),
    help="Folder for the calibrated model, and for the curve of how far its scores hold.",
)
@click.option("--split", metavar="NAME", help="Split of the manifest to predict; val if not given.")
@click.option("--overwrite", is_flag=True, help="Replace such files that are in OUT_MODEL already.")
@set_option("min_score=0.3")
@debug_option
def calibrate(
    model: str,
    data: Path,
    *,
    out: Path,
    split: str | None,
    overwrite: bool,
    overrides: Sequence[str],
) -> None:
    """Make the scores of a model the probability that an object is right.

    DATA is a manifest, or a folder that holds images and labels, of which the images of a split are
    predicted that the model was not trained on. Those that it was trained on (split train) are
    looked at, so that it can say which images are unlike them. Of data without splits all images
    are predicted.
    """
    from pancyte.cli.progress import image_progress, say_loading

    say_loading()
    from pancyte.cli.settings import settings_from_options
    from pancyte.workflows.calibrate import calibrate as run
    from pancyte.workflows.calibration import CalibrateConfig

    config = settings_from_options(CalibrateConfig, {"split": split}, overrides)
    with image_progress() as report:
        result = run(model, data, out, config, overwrite=overwrite, report=report)
    click.echo(result.text())
    click.echo(f"The calibrated model is in {out}")
