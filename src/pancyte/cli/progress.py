"""How far a command is: a bar with the time left on a terminal, plain lines in a file or pipe."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def say_loading() -> None:
    """Say on a terminal that the program is being loaded: the first time takes a minute or more."""
    if sys.stderr.isatty():
        click.echo("Loading pancyte; the first time after an installation is slow ...", err=True)


@contextlib.contextmanager
def image_progress() -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function to call with the number of images done, that of all, and the latest one.

    It may be called several times while an image is on its way; the bar then shows the latest text.
    It writes to stderr, so that what a command prints stays usable in a pipe.
    """
    if not sys.stderr.isatty():
        yield _line_printer()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, text: str) -> None:
            bar.update(task, completed=done, total=total, description=_escaped(text))

        yield show


@contextlib.contextmanager
def step_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function to call with the number of steps done and that of all, for a training.

    Without a terminal it is None: the log lines of the epochs say how far the training is.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), Elapsed(), Remaining())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _line_printer() -> Callable[[int, int, str], None]:
    """Return what prints a line for each image that is done, and none in between."""
    printed = 0

    def print_line(done: int, total: int, text: str) -> None:
        nonlocal printed
        if done > printed:
            click.echo(f"[{done}/{total}] {text}", err=True)
            printed = done

    return print_line


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
