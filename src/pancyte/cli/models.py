"""``pancyte models``: what models there are, what one of them is, and one for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pancyte.cli.calibrate import calibrate
from pancyte.cli.group import debug_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@click.group()
def models() -> None:
    """List the models at hand, show one, or export one for other programs."""


models.add_command(calibrate)


@models.command("list")
@debug_option
def list_() -> None:
    """List the bundled models, one a line: name, classes, folder."""
    from pancyte.workflows.models import describe_model, list_models

    for name, folder in list_models().items():
        classes = ", ".join(describe_model(folder).get("classes", ()))
        click.echo(f"{name}\t{classes}\t{folder}")


@models.command()
@click.argument("model", metavar="NAME|PATH")
@debug_option
def show(model: str) -> None:
    """Show what a model is: classes, settings, and what it was trained on."""
    from pancyte.workflows.models import describe_model

    for key, value in _flatten(describe_model(model)):
        click.echo(f"{key} = {value}")


@models.command()
@click.argument("model", metavar="NAME|PATH")
@click.option("--onnx", is_flag=True, help="Write the network as one ONNX file (.onnx).")
@click.option(
    "--bioimageio", is_flag=True, help="Write a package of bioimage.io (.zip) with that network."
)
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What to write.",
)
@click.option(
    "--card",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A Markdown file about the model, for the README of a package.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@debug_option
def export(
    model: str, *, onnx: bool, bioimageio: bool, out: Path, card: Path | None, overwrite: bool
) -> None:
    """Write a model for programs that do not have pancyte.

    What is written is the network: it gives maps, in which objects have yet to be found.
    docs/export.md has the code that runs it.
    """
    from pancyte.workflows.export import export_model

    if onnx == bioimageio:
        raise click.UsageError("Expected one of --onnx and --bioimageio: what shall be written?")
    kind: Literal["onnx", "bioimageio"] = "onnx" if onnx else "bioimageio"
    click.echo(str(export_model(model, out, format=kind, card=card, overwrite=overwrite)))


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
