"""``predict``: image files in, label images, pictures and tables out.

Images are read, segmented and written one after the other, so that memory does not grow with their
number. What is finished stays, whatever happens to the images after it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.config import to_mapping
from pancyte.errors import (
    InputError,
    PartialError,
    ResourceError,
    UsageError,
    counted,
    listed,
)
from pancyte.inference.inputs import check_plane, reading_notes
from pancyte.io.bitmaps import write_png
from pancyte.io.files import check_folder, remove_stale, sha256_file
from pancyte.io.images import ReadImage, read_image
from pancyte.io.label_files import write_labels
from pancyte.ops.selection import keep_objects
from pancyte.runtime import using_threads, warm_up
from pancyte.workflows.decoding import OF_MODEL, configure_model
from pancyte.workflows.environment import describe_environment
from pancyte.workflows.models import load
from pancyte.workflows.outputs import (
    Job,
    Report,
    Wanted,
    check_overwriting,
    plan_jobs,
    planned_files,
    skipped_files,
    with_class_pictures,
    written_files,
)
from pancyte.workflows.pictures import draw_contours
from pancyte.workflows.predict_config import PredictConfig
from pancyte.workflows.results import Results, with_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pancyte.inference.model import Model
    from pancyte.types import Pixels, Segmentation

__all__ = ["PredictConfig", "load_model", "predict", "segment_file"]

_LOGGER = logging.getLogger(__name__)

_STALE_SECONDS = 3600.0
"""Age above which a half written file is no longer that of a prediction that runs beside this."""


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
        Image files, folders of them, which are searched at any depth, and manifests (.csv).
    out
        Folder for the results: for each image ``<stem>_labels.tif`` and ``<stem>_overlay.png`` in
        the folder structure of the source, ``objects.csv``, ``images.csv`` and ``run.json``. If a
        prediction of the same settings was interrupted there, this one goes on with it.
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
    paths = [Path(path) for path in ([sources] if isinstance(sources, str | Path) else sources)]
    report = report or _no_report
    jobs = plan_jobs(paths, split=config.split)
    check_folder(out)
    report(0, len(jobs), "Loading the model")
    with using_threads(config.threads) as threads:
        model = load_model(config)
        jobs = with_class_pictures(jobs, model.classes, config.wanted)
        header = _describe(config, model, threads)
        results, left = _start(jobs, out, config, header, overwrite=overwrite)
        results.skipped = _report_skipped(paths, jobs)
        report(0, len(jobs), "Preparing; the first time after an installation takes a minute")
        warm_up()
        remove_stale({(out / job.labels).parent for job in jobs} | {out}, age=_STALE_SECONDS)
        try:
            _segment_all(left, out, model, config, results, report=report)
        except BaseException:
            # Also on Ctrl-C: the table then lists the images that were finished. Where the disk is
            # full, that error is the one to report.
            with contextlib.suppress(ResourceError):
                results.write(out, status="interrupted")
            finished = len(results.images)
            total = counted(len(jobs), "image")
            _LOGGER.info("Results of %d of %s are in %s", finished, total, out)
            raise
    if results.images:  # else there is nothing that a table or a second run could lose
        results.write(out, status="partial" if results.failures else "complete")
    _raise_failures(results, out)
    _LOGGER.info(
        "Found %s in %s",
        counted(results.num_objects, "object"), counted(len(results.images), "image"),
    )  # fmt: skip
    return out


def _start(
    jobs: Sequence[Job],
    out: Path,
    config: PredictConfig,
    header: Mapping[str, Any],
    *,
    overwrite: bool,
) -> tuple[Results, Sequence[Job]]:
    """Return the results so far, of an interrupted prediction or none, and what is left to do."""
    wanted = config.wanted
    results = Results(
        header,
        written=written_files(out),
        write_tables=wanted.tables,
        planned={path.as_posix() for path in planned_files(jobs, wanted)},
    )
    finished = None if overwrite else results.go_on(out, jobs, wanted)
    # What an interrupted prediction began is its own to replace.
    going_on = finished is not None
    check_overwriting(jobs, out, overwrite=overwrite or going_on, wanted=wanted)
    if finished is None:
        return results, jobs
    _LOGGER.info(
        "Going on with a prediction that was not finished: %d of %s done already",
        len(finished), counted(len(jobs), "image"),
    )  # fmt: skip
    return results, [job for job in jobs if job.name not in finished]


def _report_skipped(sources: Sequence[Path], jobs: Sequence[Job]) -> list[str]:
    skipped = skipped_files(sources, jobs)
    if skipped:
        which = "is no image" if len(skipped) == 1 else "are no images"
        count = counted(len(skipped), "file")
        _LOGGER.info("Left out %s that %s: %s", count, which, listed(skipped))
    return skipped


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
    return configure_model(model, config, OF_MODEL)


def _describe(config: PredictConfig, model: Model, threads: int) -> dict[str, Any]:
    environment = describe_environment()
    return {
        "pancyte": environment["packages"]["pancyte"],
        "settings": to_mapping(config),
        "model": {
            **_describe_model(model),
            "task": to_mapping(model.task),
            # Objects with a lower score are left out, whether the settings or the model say so.
            "min_score": model.least_score(config.min_score),
            "others": [_describe_model(other) for other in model.others],
        },
        "device": str(next(model.network.parameters()).device),
        "precision": model.precision,
        "threads": threads,
        # No part of a prediction draws a random number.
        "seed": None,
        "environment": environment,
    }


def _describe_model(model: Model) -> dict[str, Any]:
    calibration = model.calibration
    return {
        "name": model.name,
        "weights_sha256": model.manifest.get("weights_sha256"),
        "calibration": None if calibration is None else to_mapping(calibration),
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
            settings = replace(config, spacing=config.spacing or job.spacing)
            read, found = segment_file(job.image, model, settings, name=job.name, on_tile=on_tile)
        except (InputError, UsageError) as error:
            results.failures.append({"file": job.name, "error": str(error)})
            report(done, len(jobs), f"{job.name}: failed")
            continue
        # Not inside the try: what cannot be written is no fault of the image, and ends the run.
        results.save(out)
        _write_results(job, out, read.image.pixels, found, config.wanted, results.written)
        seconds = round(time.perf_counter() - start, 2)
        results.tables.append(with_file(found.objects, job.name))
        entry = _entry(job, read, found, config.wanted)
        results.images.append(entry | {"seconds": seconds})
        num_objects = found.objects.num_objects
        report(done, len(jobs), f"{job.name}: {counted(num_objects, 'object')}, {seconds} s")


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
    read = read_image(path, axes=config.axes, channels=config.channels, keep_type=True)
    check_plane(read.image, axes=read.axes, where=str(path))
    try:
        found = model.segment(
            read.image,
            diameter=config.diameter,
            spacing=config.spacing,
            min_score=config.min_score,
            on_tile=on_tile,
        )
    except (InputError, UsageError) as error:
        # The model was given pixels, and does not know where they come from.
        raise type(error)(f"{path}: {str(error).removeprefix('the image: ')}") from error
    found = _keep_wanted(found, config, model)
    found = replace(found, warnings=reading_notes(read) + found.warnings)
    for warning in found.warnings:
        _LOGGER.warning("%s: %s", name, warning)
    return read, found


def _write_results(
    job: Job,
    out: Path,
    pixels: Pixels,
    found: Segmentation,
    wanted: Wanted,
    written: set[str],
) -> None:
    if wanted.masks:
        write_labels(out / job.labels, found.labels, found.classes, spacing=found.spacing)
        written.add(job.labels.as_posix())
    if not wanted.pictures:
        return
    planes = [found.labels, *(found.labels[k : k + 1] for k in range(len(job.class_overlays)))]
    for path, labels in zip((job.overlay, *job.class_overlays), planes, strict=True):
        write_png(out / path, draw_contours(pixels, labels))
        written.add(path.as_posix())


def _entry(job: Job, read: ReadImage, found: Segmentation, wanted: Wanted) -> dict[str, Any]:
    """Return what run.json says about one image."""
    masks = {"labels": job.labels.as_posix()} if wanted.masks else {}
    pictures = {"overlay": job.overlay.as_posix()} if wanted.pictures else {}
    diameters = found.objects["diameter"]
    names = found.objects["class"]
    return {
        "file": job.name,
        "sha256": sha256_file(job.image),
        **masks,
        **pictures,
        "shape": read.image.pixels.shape,
        "axes": read.axes,
        "channels": read.image.channels,
        "spacing": found.spacing,
        "replaced_pixels": read.replaced,
        "scale": found.scale,
        "num_objects": found.objects.num_objects,
        "num_objects_per_class": {c: int(np.sum(names == c)) for c in found.classes},
        "median_diameter": round(float(np.median(diameters)), 1) if len(diameters) else None,
        "warnings": found.warnings,
    }


def _keep_wanted(found: Segmentation, config: PredictConfig, model: Model) -> Segmentation:
    """Leave out objects that are small, and number the others 1..n again."""
    if config.min_area <= 0:
        return found
    keep = found.objects["area"] >= config.min_area
    if keep.all():
        return found
    # A child whose parent goes is an orphan then.
    kept = model.task.relate(keep_objects(found, np.asarray(keep, dtype=np.bool_)))
    if keep.any():
        return kept
    were = "The 1 object found was" if len(keep) == 1 else f"All {len(keep)} objects found were"
    line = f"{were} left out by min_area {config.min_area:g}."
    return replace(kept, warnings=(*kept.warnings, line))


def _raise_failures(results: Results, out: Path) -> None:
    if not results.failures:
        return
    lines = "".join(f"\n  {failure['error']}" for failure in results.failures)
    total = len(results.failures) + len(results.images)
    if not results.images:
        images = "The image" if total == 1 else f"None of {total} images"
        raise InputError(f"{images} could {'not ' if total == 1 else ''}be segmented:{lines}")
    msg = (
        f"{len(results.failures)} of {total} images could not be segmented; the results of the "
        f"others are in {out}:{lines}"
    )
    raise PartialError(msg)
