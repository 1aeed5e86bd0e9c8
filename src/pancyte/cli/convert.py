"""``pancyte convert``: bring configurations and weights of other systems along."""

from __future__ import annotations

from pathlib import Path

import click

from pancyte.cli.group import debug_option


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="What to write: a .toml or .csv file, or a folder for weights.",
)
@click.option(
    "--root",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder that the paths of a list of files start from; that of the list, if not given.",
)
@click.option("--classes", metavar="NAMES", help="Names of the classes, such as nucleus,cell.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@debug_option
def convert(
    source: Path, *, out: Path, root: Path | None, classes: str | None, overwrite: bool
) -> None:
    """Convert a configuration, a list of files or weights of Mediar-V or MEDIAR.

    SOURCE is a JSON file or a .pth file. A configuration becomes a .toml for 'pancyte train' or
    'pancyte predict --set', a list of files a .csv manifest, and weights a model folder. Every
    key that has no equivalent is named.
    """
    from pancyte.workflows.convert import convert as run

    names = [name.strip() for name in classes.split(",")] if classes else []
    click.echo(str(run(source, out, root=root, classes=names, overwrite=overwrite)))
