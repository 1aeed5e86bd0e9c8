"""``pancyte models``: what models there are, and what one of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pancyte.cli.group import debug_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@click.group()
def models() -> None:
    """List the models at hand, or show one."""


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


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
