"""What a training does after each epoch: log, validate, save, and look at the clock."""

from __future__ import annotations

import logging
import math
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pancyte.inference.model import Model
from pancyte.io.files import write_text
from pancyte.training.loop import fit
from pancyte.training.ranks import Ranks
from pancyte.training.tracking import read_metrics
from pancyte.viz.curves import draw_curves
from pancyte.workflows import run_folder
from pancyte.workflows.batches import make_batches, watch
from pancyte.workflows.models import save_model
from pancyte.workflows.validation import mean_scores, score_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pancyte.data.datasets import PatchDataset
    from pancyte.data.records import Record
    from pancyte.protocols import Tracker
    from pancyte.training.loop import EpochReport, TrainingState
    from pancyte.workflows.interruption import Interruption
    from pancyte.workflows.train_config import TrainConfig

_LOGGER = logging.getLogger(__name__)

_EPOCHS_OF_RATE = 4


@dataclass(slots=True)
class Run:
    """A training under way: what is fixed, and what the run adds to the state of the loop."""

    config: TrainConfig
    state: TrainingState
    precision: torch.dtype
    dataset: PatchDataset
    validation_records: tuple[Record, ...]
    trackers: tuple[Tracker, ...]
    interruption: Interruption
    provenance: Mapping[str, Any]
    best: float | None = None
    """Highest validation score so far."""
    seconds_before: float = 0.0
    """Wall time of earlier sessions."""
    to_validate: bool = False
    """The epoch that has ended is to be validated and is not yet."""
    started: float = field(default_factory=time.monotonic)
    marks: list[tuple[float, int]] = field(default_factory=list)
    """Clock and steps done, at the start of this session and after each of its epochs."""

    @property
    def seconds(self) -> float:
        """Wall time of all sessions."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def seconds_per_step(self) -> float:
        """Wall time of a step over the last epochs, with what was done between them."""
        (before, first), (now, last) = self.marks[-_EPOCHS_OF_RATE - 1 :][0], self.marks[-1]
        return (now - before) / max(1, last - first)


def run_epochs(run: Run) -> None:
    """Train to the end, or until an interruption raises; the run is saved after each epoch."""
    config, state = run.config, run.state
    every = config.validation.every if run.validation_records else 0
    if run.to_validate:
        _validate(run)
        _draw(run)
    with _progress(state) as show, _open_batches(run, show) as batches:
        epochs = fit(
            config.task,
            state,
            batches,
            settings=config.optimization,
            epoch_steps=config.epoch_steps,
            precision=run.precision,
        )
        run.marks.append((time.monotonic(), state.step))
        for report in epochs:
            run.marks.append((time.monotonic(), state.step))
            _log_epoch(run, report)
            _keep_to_budget(run)
            ends = state.step >= state.steps
            run.to_validate = bool(every) and (report.epoch % every == 0 or ends)
            save(run)
            if run.to_validate:
                _validate(run)
            _draw(run)


@contextmanager
def _open_batches(
    run: Run, show: Callable[[], None]
) -> Iterator[Iterator[Mapping[str, torch.Tensor]]]:
    """Yield the batches from the next step on; whatever happens, their workers end afterwards."""

    def before_step() -> None:
        run.interruption.check()
        show()

    on_gpu = next(run.state.network.parameters()).is_cuda
    accumulate = run.config.optimization.accumulate
    with closing(
        watch(
            make_batches(
                run.config,
                run.dataset,
                first_step=run.state.step,
                epoch_steps=run.config.epoch_steps or 1,
                ranks=Ranks(),
                pin_memory=on_gpu,
            ),
            accumulate=accumulate,
            before_step=before_step,
        )
    ) as batches:
        yield batches


def _validate(run: Run) -> None:
    started = time.perf_counter()
    validation = run.config.validation
    model = Model(
        run.config.task,
        run.state.saved_network.eval(),
        name=run.config.name,
        precision="bfloat16" if run.precision == torch.bfloat16 else "float32",
    )
    matchings = []
    for matching in score_images(model, run.validation_records, diameter=validation.diameter):
        run.interruption.check()
        matchings.append(matching)
    scores = mean_scores(matchings)
    _track(run, {f"val/{name}": value for name, value in scores.items()})
    score = scores.get(validation.metric)
    is_best = score is not None and (run.best is None or score > run.best)
    _LOGGER.info(
        "step %d: f1 %.3f, ap %.3f at IoU 0.5 on %d images, %.0f s%s",
        run.state.step, scores.get("f1", math.nan), scores.get("ap", math.nan), len(matchings),
        time.perf_counter() - started, ", the best so far" if is_best else "",
    )  # fmt: skip
    if is_best:
        run.best = score
        _save_model(run, "best", scores)
    run.to_validate = False
    save(run)


def finish(run: Run) -> None:
    """Mark the run as complete; without any validation its last model is its best."""
    folder = run.config.out
    if run.best is None:
        _save_model(run, "best", {})
    write_text(folder / "COMPLETE", f"step {run.state.step}\n")
    _LOGGER.info(
        "Done: %d steps in %.1f h; the model is %s",
        run.state.step, run.seconds / 3600, folder / "checkpoints" / "best",
    )  # fmt: skip


def save(run: Run) -> None:
    """Save the model and, last, the state, which alone decides where a resumed run goes on."""
    _save_model(run, "last", {})
    run_folder.save_state(
        run.config.out,
        {
            "training": run.state.state_dict(),
            "best": run.best,
            "seconds": run.seconds,
            "max_hours": run.config.max_hours,
            "to_validate": run.to_validate,
        },
    )


def _save_model(run: Run, name: str, scores: Mapping[str, float]) -> None:
    rounded = {key: round(value, 4) for key, value in scores.items()}
    save_model(
        run.config.out / "checkpoints" / name,
        run.config.task,
        run.state.saved_network,
        name=run.config.name,
        provenance={**run.provenance, "step": run.state.step, "validation": rounded},
    )


def _log_epoch(run: Run, report: EpochReport) -> None:
    state = run.state
    _track(
        run,
        {
            **{f"loss/{name}": value for name, value in report.losses.items()},
            "learning_rate": report.learning_rate,
            "seconds": run.seconds,
        },
    )
    rate = run.seconds_per_step
    terms = ", ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
    _LOGGER.info(
        "step %d of %d: %s; learning rate %.2g; %.2f s a step, about %.0f min left",
        state.step, state.steps, terms, report.learning_rate, rate,
        rate * (state.steps - state.step) / 60,
    )  # fmt: skip


def _track(run: Run, values: Mapping[str, float]) -> None:
    for tracker in run.trackers:
        tracker.log(run.state.step, values)


def _draw(run: Run) -> None:
    draw_curves(run.config.out / "curve.png", read_metrics(run.config.out / "metrics.csv"))


def _keep_to_budget(run: Run) -> None:
    """Choose how many steps fit into the wall time that is left, at the speed so far."""
    config, state = run.config, run.state
    if config.max_hours is None:
        return
    left = max(0.0, config.max_hours * 3600 - run.seconds)
    steps = min(config.steps, state.step + int(left / max(run.seconds_per_step, 1e-9)))
    if steps != state.steps:
        _LOGGER.info("%d instead of %d steps fit into max_hours", steps, state.steps)
        state.steps = steps


@contextmanager
def _progress(state: TrainingState) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal; elsewhere the log lines of the epochs have to do."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=state.steps, completed=state.step)
        yield lambda: progress.update(bar, total=state.steps, completed=state.step)
