"""What a training does after each epoch: log, validate, save, and look at the clock."""

from __future__ import annotations

import copy
import logging
import math
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from pancyte.errors import PancyteError, counted
from pancyte.inference.model import Model
from pancyte.io.files import write_text
from pancyte.training.loop import fit
from pancyte.training.ranks import Ranks
from pancyte.training.tracking import read_metrics
from pancyte.viz.curves import draw_curves
from pancyte.workflows import run_folder
from pancyte.workflows.batches import make_batches, watch
from pancyte.workflows.calibrate import calibrate_trained
from pancyte.workflows.final_test import score_best
from pancyte.workflows.interruption import Interrupted
from pancyte.workflows.models import load, save_model
from pancyte.workflows.own_parts import OwnParts
from pancyte.workflows.validation import mean_scores, score_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pancyte.protocols import Tracker
    from pancyte.runtime import Precision
    from pancyte.training.loop import EpochReport, TrainingState
    from pancyte.workflows.interruption import Interruption
    from pancyte.workflows.plan import Plan
    from pancyte.workflows.train_config import TrainConfig
    from pancyte.workflows.training_data import TrainingData

_LOGGER = logging.getLogger(__name__)

_EPOCHS_OF_RATE = 4


@dataclass(slots=True)
class Run:
    """A training under way: what is fixed, and what the run adds to the state of the loop."""

    config: TrainConfig
    state: TrainingState
    plan: Plan
    """What the settings ask for; fewer steps are done where ``max_hours`` says so."""
    precision: torch.dtype
    data: TrainingData
    trackers: tuple[Tracker, ...]
    """None in all processes but the first."""
    interruption: Interruption
    provenance: Mapping[str, Any]
    own: OwnParts = field(default_factory=OwnParts)
    ranks: Ranks = field(default_factory=Ranks)
    report: Callable[[int, int], None] | None = None
    """Called before each step with the steps done and those of the whole training."""
    best: float | None = None
    """Highest validation score so far."""
    stale: int = 0
    """Validations in a row without a better score."""
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
    def is_stale(self) -> bool:
        """Whether the training is to stop early."""
        patience = self.config.validation.patience
        return patience is not None and self.stale >= patience

    @property
    def seconds_per_step(self) -> float:
        """Wall time of a step over the last epochs, with what was done between them."""
        (before, first), (now, last) = self.marks[-_EPOCHS_OF_RATE - 1 :][0], self.marks[-1]
        return (now - before) / max(1, last - first)


def run_epochs(run: Run) -> None:
    """Train to the end, or until an interruption raises; the run is saved after each epoch."""
    if run.to_validate and run.ranks.is_first:
        _validate(run)
        _draw(run)
    if run.ranks.agree(run.is_stale):
        return
    with _open_batches(run) as batches:
        epochs = fit(
            run.own.has_losses(run.config.task),
            run.state,
            batches,
            settings=run.config.optimization,
            epoch_steps=run.plan.epoch_steps,
            precision=run.precision,
        )
        run.marks.append((time.monotonic(), run.state.step))
        for report in epochs:
            if run.ranks.is_first:
                _end_epoch(run, report)
            run.state.steps, is_stale = run.ranks.agree((run.state.steps, run.is_stale))
            if is_stale:
                break


@contextmanager
def _open_batches(run: Run) -> Iterator[Iterator[Mapping[str, torch.Tensor]]]:
    """Yield the batches from the next step on; whatever happens, their workers end afterwards."""

    def before_step() -> None:
        # One process that was told to stop stops all, after the same step.
        if run.ranks.any(run.interruption.received is not None):
            run.interruption.follow()
            raise Interrupted
        if run.report is not None:
            run.report(run.state.step, run.state.steps)

    batches = make_batches(
        run.config,
        run.data.dataset,
        first_step=run.state.step,
        epoch_steps=run.plan.epoch_steps,
        ranks=run.ranks,
        pin_memory=next(run.state.network.parameters()).is_cuda,
    )
    accumulate = run.config.optimization.accumulate
    with closing(watch(batches, accumulate=accumulate, before_step=before_step)) as watched:
        yield watched


def _end_epoch(run: Run, report: EpochReport) -> None:
    """Do what the first process does between two epochs."""
    state, every, keep = run.state, run.config.validation.every, run.config.save_every
    run.marks.append((time.monotonic(), state.step))
    _log_epoch(run, report)
    _keep_to_budget(run)
    wanted = every > 0 and (report.epoch % every == 0 or state.step >= state.steps)
    run.to_validate = wanted and bool(run.data.validation)
    save(run)
    if run.to_validate:
        _validate(run)
    # After the validation, so that the copy can be resumed as well.
    if keep > 0 and report.epoch % keep == 0:
        save(run, f"epoch_{report.epoch}")
    _draw(run)


def _validate(run: Run) -> None:
    started = time.perf_counter()
    validation = run.config.validation
    model = Model(
        run.config.task,
        run.state.saved_network.eval(),
        name=run.config.name,
        precision=_model_precision(run),
    )
    images = []
    for image in score_images(
        model, run.data.validation, diameter=validation.diameter, metrics=run.own.metrics
    ):
        run.interruption.check()
        images.append(image)
    scores = mean_scores(images)
    _track(run, {f"val/{name}": value for name, value in scores.items()})
    score = scores.get(validation.metric)
    is_best = score is not None and (run.best is None or score > run.best)
    run.stale = 0 if is_best else run.stale + 1
    _LOGGER.info(
        "step %d: f1 %.3f, ap %.3f at IoU 0.5 on %s, %.0f s%s",
        run.state.step, scores.get("f1", math.nan), scores.get("ap", math.nan),
        counted(len(images), "image"),
        time.perf_counter() - started, ", the best so far" if is_best else "",
    )  # fmt: skip
    if is_best:
        run.best = score
        _save_model(run, "best", scores)
    run.to_validate = False
    save(run)
    if run.is_stale:
        _LOGGER.info(
            "Stopping early: %s without a better %s",
            counted(run.stale, "validation"),
            validation.metric,
        )


def finish(run: Run) -> None:
    """Calibrate the best model, mark the run as complete, and test that model.

    Whatever calibration and test say, the run has ended. Without any validation its last model is
    its best, and is not calibrated.
    """
    folder = run.config.out
    best = folder / "checkpoints" / "best"
    if run.best is None:
        _save_model(run, "best", {})
    if run.data.validation:
        _calibrate(run, best)
    for tracker in run.trackers:
        tracker.keep(best)
    write_text(folder / "COMPLETE", f"step {run.state.step}\n")
    if run.data.test:
        try:
            _test(run, best)
        except PancyteError as error:
            _LOGGER.error(  # noqa: TRY400 - the sentence says it, and the model is there
                "The test of the best model failed: %s The training is complete; when that is "
                "mended, repeat the test with: pancyte evaluate %s %s -o %s --overwrite",
                error, best, folder / "test" / "manifest.csv", folder / "test",
            )  # fmt: skip
    _LOGGER.info(
        "Done: %d steps in %.1f h; the model is %s", run.state.step, run.seconds / 3600, best
    )


def _load(run: Run, best: Path) -> Model:
    network = copy.deepcopy(run.state.saved_network)
    precision = _model_precision(run)
    return load(best, device=run.config.device, precision=precision, network=network)


def _calibrate(run: Run, best: Path) -> None:
    def report(done: int, total: int, text: str) -> None:  # noqa: ARG001 - a report has three
        run.interruption.check()

    records = {"train": run.data.training, "val": run.data.validation}
    model = _load(run, best)
    calibrate_trained(model, best, run.config.out / "calibration", records, report=report)


def _test(run: Run, best: Path) -> None:
    model = _load(run, best)
    scores = score_best(model, run.data.test, run.config.out / "test")
    _track(run, {f"test/{name}": value for name, value in scores.items()})
    _draw(run)


def save(run: Run, name: str = "last") -> None:
    """Save the model and, last, the state, which alone decides where a resumed run goes on."""
    _save_model(run, name, {})
    if name != "last" and run.best is not None:
        run_folder.keep_best(run.config.out, name)
    run_folder.save_state(
        run.config.out,
        {
            "training": run.state.state_dict(),
            "best": run.best,
            "stale": run.stale,
            "seconds": run.seconds,
            "max_hours": run.config.max_hours,
            "to_validate": run.to_validate,
        },
        name=name,
    )


def _model_precision(run: Run) -> Precision:
    return "bfloat16" if run.precision == torch.bfloat16 else "float32"


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
    steps = min(run.plan.steps, state.step + int(left / max(run.seconds_per_step, 1e-9)))
    if steps != state.steps:
        _LOGGER.info("%d instead of %d steps fit into max_hours", steps, state.steps)
        state.steps = steps
