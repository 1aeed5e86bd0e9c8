"""``pancyte predict``: find the objects in images and write what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pancyte.cli.group import debug_option, set_option
from pancyte.cli.imports import without_garbage_collection

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument(
    "sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Folder for the results; made if it does not exist.",
)
@click.option(
    "--model",
    metavar="NAME|PATH",
    multiple=True,
    help="Model to use; see 'pancyte models list'. Given several times, they predict together.",
)
@click.option(
    "--diameter",
    type=float,
    metavar="PIXELS",
    help="Typical diameter of the objects in your images. Estimated if not given.",
)
@click.option("--axes", metavar="AXES", help="Axes of the files, such as CYX, if they do not say.")
@click.option("--channels", metavar="LIST", help="Channels to use, by number from 0 or name: 0,2.")
@click.option(
    "--only-masks", is_flag=True, default=None, help="Write label images, no pictures and tables."
)
@click.option(
    "--no-save-masks",
    "save_masks",
    is_flag=True,
    flag_value=False,
    default=None,
    help="Write pictures and tables, no label images.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that are in OUT already.")
@set_option("flips=8")
@debug_option
def predict(
    sources: Sequence[Path],
    out: Path,
    *,
    overwrite: bool,
    overrides: Sequence[str],
    **options: Any,  # noqa: ANN401 - what click collects: one value per option of the same name
) -> None:
    """Find the objects in images.

    SOURCE is an image, a folder of images, or a manifest (.csv). For each image, OUT gets
    NAME_labels.tif and NAME_overlay.png, and for all of them objects.csv, images.csv and run.json.
    The same command goes on with a prediction that was interrupted.
    """
    from pancyte.cli.progress import image_progress, say_loading

    say_loading()
    with without_garbage_collection():
        from pancyte.cli.settings import settings_from_options
        from pancyte.workflows.predict import predict as run
        from pancyte.workflows.predict_config import PredictConfig

    models = options.pop("model")
    options["model"] = models if len(models) > 1 else next(iter(models), None)
    config = settings_from_options(PredictConfig, options, overrides)
    with image_progress() as report:
        run(list(sources), out, config, overwrite=overwrite, report=report)
    click.echo(f"The results are in {out}")
