"""``predict``: image files in, label images, overlays and one table of objects out.

Images are read, segmented and written one after the other, so that memory does not grow with their
number. What is finished stays, whatever happens to the images after it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.config import from_mapping, to_mapping
from pancyte.errors import InputError, PartialError, ResourceError, UsageError
from pancyte.inference.inputs import reading_notes
from pancyte.inference.tiles import Tiling
from pancyte.io.bitmaps import write_png
from pancyte.io.files import remove_stale, sha256_file
from pancyte.io.images import ReadImage, read_image
from pancyte.io.label_files import write_labels
from pancyte.ops.selection import keep_objects
from pancyte.params import params
from pancyte.runtime import PrecisionChoice, using_threads, warm_up
from pancyte.tasks import Task
from pancyte.viz.overlay import overlay, readable_magnification
from pancyte.workflows.environment import describe_environment
from pancyte.workflows.models import load
from pancyte.workflows.outputs import (
    Job,
    Report,
    check_overwriting,
    plan_jobs,
    written_files,
)
from pancyte.workflows.results import Results, with_file

if TYPE_CHECKING:
    from pancyte.inference.model import Model
    from pancyte.types import FloatArray, Segmentation

_LOGGER = logging.getLogger(__name__)

_STALE_SECONDS = 3600.0
"""Age above which a half written file is no longer that of a prediction that runs beside this."""


@params
class PredictConfig:
    """How images are segmented; the defaults suit most."""

    model: str | None = None
    """Name of a model, or path of a model folder; None is the bundled model."""
    diameter: float | None = None
    """Typical diameter of the objects in pixels of the image; None estimates it per image."""
    axes: str | None = None
    """Letters of the axes of the files, such as ``CYX``; None believes the files."""
    channels: str | tuple[int | str, ...] | None = None
    """Channels to use, by index or name, in the order for the network; None uses all."""
    spacing: tuple[float, float] | None = None
    """Micrometre per pixel along y and x; None believes the files."""
    min_score: float = 0.0
    """Objects with a lower score are left out; 0 to 1."""
    min_area: float = 0.0
    """Objects of fewer pixels of the image are left out."""
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``; auto takes a GPU where there is one."""
    precision: PrecisionChoice = "auto"
    """auto takes bfloat16 where the device is faster with it."""
    threads: int | None = None
    """CPU threads; None takes all that this process may use."""
    tiling: Tiling = Tiling()
    """Size and overlap of the tiles that the network sees."""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the model's task for finding objects that differ from those of the model; those
    of one class are in a table of its name, such as ``decoding.nucleus.min_size``."""

    def __post_init__(self) -> None:
        if self.diameter is not None and not 0 < self.diameter < np.inf:
            msg = f"Expected diameter to be a positive number of pixels, but got {self.diameter}"
            raise ValueError(msg)
        if self.axes is not None and set(self.axes.strip().upper()) - set("TCZYXS"):
            msg = f"Expected axes of the letters TCZYXS, such as CYX or YXC, but got {self.axes!r}"
            raise ValueError(msg)
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"Expected min_score to lie in 0 to 1, but got {self.min_score}")
        if not 0 <= self.min_area < np.inf:
            raise ValueError(f"Expected min_area to be 0 or more pixels, but got {self.min_area}")


def predict(
    sources: Sequence[Path | str] | Path | str,
    out: Path | str,
    config: PredictConfig | None = None,
    *,
    overwrite: bool = False,
    report: Report | None = None,
) -> Path:
    """Segment image files and write the results into a folder.

    Parameters
    ----------
    sources
        Image files and folders of them, which are searched at any depth.
    out
        Folder for the results: for each image ``<stem>_labels.tif`` and ``<stem>_overlay.png`` in
        the folder structure of the source, ``objects.csv`` and ``run.json``.
    config
        How to segment; None for the bundled model and its own settings.
    overwrite
        Whether results that are there may be replaced; other files never are.
    report
        Called after each image, and after each tile with the number of images that was.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    UsageError
        Files would be overwritten, or an option does not fit.
    InputError
        There is no image, no image can be read, or the model is damaged.
    PartialError
        Some images failed; the message names them, and the results of the others are there.
    ResourceError
        The disk is full.
    """
    config = config or PredictConfig()
    out = Path(out)
    paths = [sources] if isinstance(sources, str | Path) else sources
    jobs = plan_jobs([Path(path) for path in paths])
    check_overwriting(jobs, out, overwrite=overwrite)
    with using_threads(config.threads) as threads:
        model = load_model(config)
        warm_up()
        remove_stale({(out / job.labels).parent for job in jobs} | {out}, age=_STALE_SECONDS)
        results = Results(_describe(config, model, threads), written=written_files(out))
        try:
            _segment_all(jobs, out, model, config, results, report=report or _no_report)
        except BaseException:
            # Also on Ctrl-C: the table then lists the images that were finished. Where the disk is
            # full, that error is the one to report.
            with contextlib.suppress(ResourceError):
                results.write(out, status="interrupted")
            finished = len(results.images)
            _LOGGER.info("Results of %d of %d images are in %s", finished, len(jobs), out)
            raise
    if results.images:  # else there is nothing that a table or a second run could lose
        results.write(out, status="partial" if results.failures else "complete")
    _raise_failures(results, out)
    images = "1 image" if len(results.images) == 1 else f"{len(results.images)} images"
    _LOGGER.info("Found %d objects in %s", results.num_objects, images)
    return out


def load_model(config: PredictConfig) -> Model:
    """Load the model of a prediction, with the tiling and the decoding that the settings ask for.

    Raises
    ------
    UsageError
        There is no such model or device, or the model's task has no such setting.
    CheckpointError
        The model is damaged.
    """
    model = load(config.model, device=config.device, precision=config.precision)
    mapping = to_mapping(model.task)
    of_class = {name: config.decoding[name] for name in model.classes if name in config.decoding}
    general = {key: value for key, value in config.decoding.items() if key not in of_class}
    mapping["decoding"] = {**mapping.get("decoding", {}), **general}
    for name, changes in of_class.items():
        before = mapping.setdefault("class_decoding", {})
        before[name] = {**before.get(name, {}), **changes}
    task: Task = from_mapping(Task, mapping, where=f"the decoding of the model {model.name}")
    return replace(model, task=task, tiling=config.tiling)


def _describe(config: PredictConfig, model: Model, threads: int) -> dict[str, Any]:
    environment = describe_environment()
    return {
        "pancyte": environment["packages"]["pancyte"],
        "settings": to_mapping(config),
        "model": {
            "name": model.name,
            "weights_sha256": model.manifest.get("weights_sha256"),
            "task": to_mapping(model.task),
        },
        "device": str(next(model.network.parameters()).device),
        "precision": model.precision,
        "threads": threads,
        # No part of a prediction draws a random number.
        "seed": None,
        "environment": environment,
    }


def _no_report(done: int, total: int, text: str) -> None:
    """Report nothing."""


def _segment_all(
    jobs: Sequence[Job],
    out: Path,
    model: Model,
    config: PredictConfig,
    results: Results,
    *,
    report: Report,
) -> None:
    report(0, len(jobs), "")
    for done, job in enumerate(jobs, start=1):
        start = time.perf_counter()
        try:
            on_tile = _tile_report(report, done - 1, len(jobs), job.name)
            read, found = segment_file(job.image, model, config, name=job.name, on_tile=on_tile)
        except (InputError, UsageError) as error:
            results.failures.append({"file": job.name, "error": str(error)})
            report(done, len(jobs), f"{job.name}: failed")
            continue
        # Not inside the try: what cannot be written is no fault of the image, and ends the run.
        _write_results(job, out, read.image.pixels, found, written=results.written)
        seconds = round(time.perf_counter() - start, 2)
        results.tables.append(with_file(found.objects, job.name))
        results.images.append(_entry(job, read, found) | {"seconds": seconds})
        num_objects = found.objects.num_objects
        report(done, len(jobs), f"{job.name}: {num_objects} objects, {seconds} s")


def _tile_report(report: Report, done: int, total: int, name: str) -> Callable[[int, int], None]:
    """Return what tells how far an image is; a large one may take an hour."""

    def on_tile(tile: int, tiles: int) -> None:
        if tiles > 1:
            report(done, total, f"{name}: tile {tile} of {tiles}")

    return on_tile


def segment_file(
    path: Path,
    model: Model,
    config: PredictConfig,
    *,
    name: str,
    on_tile: Callable[[int, int], None] | None = None,
) -> tuple[ReadImage, Segmentation]:
    """Read and segment one image, and log what the user should know about it.

    Parameters
    ----------
    path
        The image.
    model
        As :func:`load_model` gives it.
    config
        How to read and segment.
    name
        What log lines call the image.
    on_tile
        As in :meth:`pancyte.inference.model.Model.segment`.

    Raises
    ------
    InputError, UsageError
        The image cannot be read or segmented as the settings say; the message names the file.
    """
    read = read_image(path, axes=config.axes, channels=config.channels)
    try:
        found = model.segment(
            read.image, diameter=config.diameter, spacing=config.spacing, on_tile=on_tile
        )
    except (InputError, UsageError) as error:
        # The model was given pixels, and does not know where they come from.
        raise type(error)(f"{path}: {str(error).removeprefix('the image: ')}") from error
    found = replace(found, warnings=reading_notes(read) + found.warnings)
    for warning in found.warnings:
        _LOGGER.warning("%s: %s", name, warning)
    return read, _keep_wanted(found, config, model)


def _write_results(
    job: Job, out: Path, pixels: FloatArray, found: Segmentation, *, written: set[str]
) -> None:
    write_labels(out / job.labels, found.labels, found.classes, spacing=found.spacing)
    written.add(job.labels.as_posix())
    magnification = readable_magnification((pixels.shape[1], pixels.shape[2]))
    write_png(out / job.overlay, overlay(pixels, found.labels, magnification=magnification))
    written.add(job.overlay.as_posix())


def _entry(job: Job, read: ReadImage, found: Segmentation) -> dict[str, Any]:
    """Return what run.json says about one image."""
    return {
        "file": job.name,
        "sha256": sha256_file(job.image),
        "labels": job.labels.as_posix(),
        "overlay": job.overlay.as_posix(),
        "shape": read.image.pixels.shape,
        "axes": read.axes,
        "channels": read.image.channels,
        "spacing": found.spacing,
        "replaced_pixels": read.replaced,
        "scale": found.scale,
        "num_objects": found.objects.num_objects,
        "warnings": found.warnings,
    }


def _keep_wanted(found: Segmentation, config: PredictConfig, model: Model) -> Segmentation:
    """Leave out objects that are unsure or small, and number the others 1..n again."""
    keep = found.objects["score"] >= config.min_score
    if config.min_area > 0:
        keep &= found.objects["area"] >= config.min_area
    if keep.all():
        return found
    # A child whose parent goes is an orphan then.
    return model.task.relate(keep_objects(found, np.asarray(keep, dtype=np.bool_)))


def _raise_failures(results: Results, out: Path) -> None:
    if not results.failures:
        return
    lines = "".join(f"\n  {failure['error']}" for failure in results.failures)
    total = len(results.failures) + len(results.images)
    if not results.images:
        raise InputError(f"None of {total} images could be segmented:{lines}")
    msg = (
        f"{len(results.failures)} of {total} images could not be segmented; the results of the "
        f"others are in {out}:{lines}"
    )
    raise PartialError(msg)
