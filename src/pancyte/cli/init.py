"""``pancyte init``: ask what to do, look at the images, and write a commented configuration."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pancyte.cli.group import debug_option

if TYPE_CHECKING:
    from pancyte.workflows.init_texts import Choices


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    default="pancyte.toml",
    show_default=True,
    metavar="TOML",
    type=click.Path(path_type=Path),
    help="Configuration to write.",
)
@click.option("--purpose", metavar="train|predict", help="What the configuration is for.")
@click.option("--task", metavar="NAME", help="Kind of task: flow.")
@click.option("--classes", metavar="NAMES", help="Names of the classes: nucleus,cell.")
@click.option("--encoder", metavar="NAME", help="compact, or an encoder such as resnet34.")
@click.option("--loss", metavar="NAME", help="balanced, mediar, bce, focal, dice or mse.")
@click.option("--optimizer", metavar="NAME", help="adamw, adam or sgd.")
@click.option(
    "--schedule", metavar="NAME", help="cosine, constant, step, multistep or exponential."
)
@click.option("--model", metavar="NAME|PATH", help="Of a prediction: the model.")
@click.option("--yes", is_flag=True, help="Ask nothing, and take what is proposed.")
@click.option("--overwrite", is_flag=True, help="Replace an existing configuration.")
@debug_option
def init(
    data: Path | None,
    *,
    out: Path,
    yes: bool,
    overwrite: bool,
    **options: Any,  # noqa: ANN401 - what click collects: one value per option of the same name
) -> None:
    """Write a configuration for the images in DATA, a folder or a manifest.

    Looks at DATA, asks a few questions with a proposal for each, and writes a commented file. Each
    question has an option; without a terminal, or with --yes, nothing is asked.
    """
    from pancyte.cli.progress import image_progress
    from pancyte.config import from_mapping, to_mapping
    from pancyte.workflows.init import look_at, propose, write_choices
    from pancyte.workflows.init_texts import Choices

    ask = not yes and sys.stdin.isatty()
    given = {name: value for name, value in options.items() if value is not None}
    purpose = given.get("purpose") or _ask("Train or predict?", "train", ask=ask)
    if data is None:
        data = Path(_ask("Folder of your images, or a manifest", ".", ask=ask))
    found = look_at(data)
    click.echo(f"{data}: {found}")
    proposed = propose(found, replace(Choices(), data=data))
    answers = {**to_mapping(proposed), **given, "purpose": purpose}
    if "classes" in given:
        answers["classes"] = [name.strip() for name in given["classes"].split(",")]
    if ask:
        answers |= _questions(proposed, purpose, given)
    choices = from_mapping(Choices, answers, where="the options")
    with image_progress() as report:
        written = write_choices(choices, found, out, overwrite=overwrite, report=report)
    click.echo(f"Written: {', '.join(map(str, written))}")
    click.echo(
        f"Next: pancyte train {out}"
        if choices.purpose == "train"
        else f"Next: pancyte predict {data} -o results --set {out}"
    )


def _questions(proposed: Choices, purpose: str, given: dict[str, Any]) -> dict[str, Any]:
    """Ask what was not given as an option."""
    from pancyte.workflows.init_texts import LOSSES, OPTIMIZERS, SCHEDULES, TASKS

    if purpose == "predict":
        text = "Model: a name, or the folder of your own"
        return {} if "model" in given else {"model": _ask(text, proposed.model)}
    questions = {
        "task": (f"Kind of task ({', '.join(TASKS)})", proposed.task),
        "classes": ("Names of the classes, separated by commas", ",".join(proposed.classes)),
        "encoder": ("Network: compact, or an encoder such as resnet34", proposed.encoder),
        "loss": (f"Loss ({', '.join(LOSSES)})", proposed.loss),
        "optimizer": (f"Optimizer ({', '.join(OPTIMIZERS)})", proposed.optimizer),
        "schedule": (f"Learning rate ({', '.join(SCHEDULES)})", proposed.schedule),
    }
    answers: dict[str, Any] = {
        name: _ask(text, default)
        for name, (text, default) in questions.items()
        if name not in given
    }
    if "classes" in answers:
        answers["classes"] = [name.strip() for name in answers["classes"].split(",")]
    return answers


def _ask(text: str, default: str, *, ask: bool = True) -> str:
    return str(click.prompt(text, default=default)) if ask else default
