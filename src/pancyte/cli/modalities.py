"""``pancyte prepare modalities``: find the kinds of image in a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pancyte.cli.group import debug_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence


def _number_or_auto(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError as error:
        msg = f"expected a number of clusters, such as 40, or auto, but got {text!r}"
        raise click.BadParameter(msg) from error


@click.command("modalities")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="Manifest to write; pictures of the clusters go into NAME.modalities beside it.",
)
@click.option(
    "--model",
    metavar="NAME|PATH",
    help="Model whose encoder compares the images; the bundled one by default.",
)
@click.option(
    "--clusters",
    type=_number_or_auto,
    metavar="NUMBER|auto",
    help="Kinds of image to look for; 40 by default, auto finds a number.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing manifest and its pictures.")
@set_option("seed=1")
@debug_option
def modalities(
    manifest: Path,
    *,
    out: Path,
    model: str | None,
    clusters: int | str | None,
    overwrite: bool,
    overrides: Sequence[str],
) -> None:
    """Group the images of MANIFEST by what they look like.

    The groups become the column modality of a new manifest, by which training draws rare kinds
    more often. Images need no labels.
    """
    from pancyte.cli.progress import image_progress
    from pancyte.cli.settings import settings_from_options
    from pancyte.data.modality import Clustering
    from pancyte.workflows.modalities import discover_modalities

    clustering = settings_from_options(Clustering, {"clusters": clusters}, overrides)
    with image_progress() as report:
        found = discover_modalities(
            manifest,
            out,
            model=model,
            clustering=clustering,
            overwrite=overwrite,
            on_image=report,
        )
    click.echo(str(found))
