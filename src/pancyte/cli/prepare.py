"""``pancyte prepare``: list folders of images and labels in a manifest for training."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pancyte.cli.group import debug_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence


SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "modalities": (
        "pancyte.cli.modalities:modalities",
        "Find the kinds of image in a manifest, so that rare ones are drawn more often.",
    ),
}
"""First word after ``prepare`` to where its command is and what it does; a folder of that name is
written ``./NAME``."""


class _PrepareCommand(click.Command):
    """A command whose first argument may be the name of a further command.

    A click group would want a name in front of every folder; this one stays ``prepare FOLDER``.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> click.Context:
        """Parse the arguments of the further command where they begin with one."""
        if args and args[0] in SUBCOMMANDS:
            module, _, attribute = SUBCOMMANDS[args[0]][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            name = f"{info_name} {args[0]}"
            return command.make_context(name, args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the further commands without importing them."""
        if SUBCOMMANDS:
            with formatter.section("Commands"):
                formatter.write_dl([(name, text) for name, (_, text) in SUBCOMMANDS.items()])


def _number_or_share(text: str) -> float:
    """Return a whole number as int, which means images, and any other as float, a share."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    msg = f"expected a number of images, such as 5, or a share, such as 0.1, but got {text!r}"
    raise click.BadParameter(msg)


@click.command(cls=_PrepareCommand)
@click.argument("source", nargs=-1, required=True, type=click.Path(path_type=Path))
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
    source: tuple[Path, ...],
    *,
    out: Path,
    val: float | None,
    test: float | None,
    group: str | None,
    modality: str | None,
    overwrite: bool,
    overrides: Sequence[str],
) -> None:
    """List the images and labels in SOURCE, with a split, for training.

    A SOURCE is a folder or a manifest; several are joined. Images and labels are paired by name:
    images/a.tif with labels/a.tif, or a_image.tif with a_labels.tif. Every pair is opened and
    checked.
    """
    from pancyte.cli.progress import image_progress
    from pancyte.cli.settings import settings_from_options
    from pancyte.workflows.prepare import PrepareConfig
    from pancyte.workflows.prepare import prepare as run

    options = {"val": val, "test": test, "group": group, "modality": modality}
    config = settings_from_options(PrepareConfig, options, overrides)
    with image_progress() as report:
        found = run(source, out, config=config, overwrite=overwrite, on_image=report)
    click.echo(str(found))
