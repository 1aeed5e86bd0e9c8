"""``pancyte prepare``: list a folder of images and labels in a manifest for training."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pancyte.cli.group import debug_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence


def _number_or_share(text: str) -> float:
    """Return a whole number as int, which means images, and any other as float, a share."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    msg = f"expected a number of images, such as 5, or a share, such as 0.1, but got {text!r}"
    raise click.BadParameter(msg)


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
    "--val",
    type=_number_or_share,
    metavar="NUMBER",
    help="Images for validation: a share such as 0.1, or a number such as 5.",
)
@click.option(
    "--test",
    type=_number_or_share,
    metavar="NUMBER",
    help="Images that no training touches: a share or a number.",
)
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
