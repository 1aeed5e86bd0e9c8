"""The ``pancyte`` command and its subcommands, each imported when it is run or asked for help."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = {
    "predict": ("pancyte.cli.predict:predict", "Find the objects in images; start here."),
    "init": ("pancyte.cli.init:init", "Look at your images and write a configuration for them."),
    "train": ("pancyte.cli.train:train", "Train a model as a configuration file says."),
    "evaluate": ("pancyte.cli.evaluate:evaluate", "Score predictions, or a model, against truth."),
    "prepare": ("pancyte.cli.prepare:prepare", "List a folder of images and labels for training."),
    "convert": ("pancyte.cli.convert:convert", "Bring configurations and weights of others along."),
    "models": ("pancyte.cli.models:models", "List the models at hand, show one, or export one."),
}
"""Command to where it is and what it does, so that the list needs no import."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands in the order of a first project."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None for a name that is not one."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            msg = f"Expected {module}:{attribute} to be a command, but got {type(command)}"
            raise TypeError(msg)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names, or say which one may be meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(COMMANDS)}."
            msg = f"No such command {name!r}. {hint}"
            raise click.UsageError(msg, ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value:
        from importlib.metadata import version

        click.echo(f"pancyte {version('pancyte')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Documentation: docs/ in the repository. Exit codes: docs/outputs.md.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.option(
    "--debug", is_flag=True, expose_value=False, help="Show where in the code an error arose."
)
def pancyte() -> None:
    """Segment every cell, nucleus and organelle in microscope images.

    The first command to try: pancyte predict FOLDER -o OUT
    """


def debug_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command accept ``--debug`` too; :mod:`pancyte.cli.exits` acts on it."""
    return click.option(
        "--debug", is_flag=True, expose_value=False, help="Show where in the code an error arose."
    )(command)


def set_option(example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator for ``--set KEY=VALUE``, which reaches every setting of a command."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Change any other setting, for example {example}, or take those of a file: "
        "settings.toml. May be given several times.",
    )
