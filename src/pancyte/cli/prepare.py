"""``pancyte prepare``: list a folder of images and labels in a manifest for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pancyte.cli.group import debug_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="Manifest to write, ending in .csv; it can be edited by hand.",
)
@click.option(
    "--val", type=float, metavar="SHARE", help="Share of the images for validation, such as 0.1."
)
@click.option("--test", type=float, metavar="SHARE", help="Share that no training touches.")
@click.option(
    "--group",
    metavar="REGEX",
    help="What in a path names a movie, a stack or a patient; its images stay together.",
)
@click.option("--modality", metavar="NAME", help="Kind of the images, such as 'phase contrast'.")
@click.option("--overwrite", is_flag=True, help="Replace an existing manifest.")
@set_option("skip_unmatched=true")
@debug_option
def prepare(  # noqa: PLR0913 - one parameter for each option
    folder: Path,
    *,
    out: Path,
    val: float | None,
    test: float | None,
    group: str | None,
    modality: str | None,
    overwrite: bool,
    overrides: Sequence[str],
) -> None:
    """List the images and labels in FOLDER, with a split, for training.

    Images and labels are paired by name: images/a.tif with labels/a.tif, or a_image.tif with
    a_labels.tif. Every pair is opened and checked.
    """
    from pancyte.cli.progress import image_progress
    from pancyte.cli.settings import settings_from_options
    from pancyte.workflows.prepare import PrepareConfig
    from pancyte.workflows.prepare import prepare as run

    options = {"val": val, "test": test, "group": group, "modality": modality}
    config = settings_from_options(PrepareConfig, options, overrides)
    with image_progress() as report:
        found = run(folder, out, config=config, overwrite=overwrite, on_image=report)
    click.echo(str(found))
