"""What the images that a model was trained on look like to its own encoder."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pancyte.data.record_files import read_pixels, read_targets
from pancyte.errors import PancyteError, UsageError
from pancyte.inference.embedding import embed_view
from pancyte.inference.view import view_image
from pancyte.ops.familiarity import fit_familiarity
from pancyte.ops.measure import measure_objects
from pancyte.ops.resample import scaled_shape
from pancyte.workflows.calibration import FEWEST_IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pancyte.data.records import Record
    from pancyte.inference.model import Model
    from pancyte.ops.familiarity import Familiarity
    from pancyte.types import Pixels

_LOGGER = logging.getLogger(__name__)

# The share of images that the model knows which shall not be called strange.
_KNOWN_PERCENTILE: Final = 99.5

Looks = npt.NDArray[np.float32]
"""(n,) features of an image."""


def fit_looks(model: Model, known: Sequence[Record], looks: Sequence[Looks]) -> Familiarity | None:
    """Return what known images look like, and how far off others may be.

    Parameters
    ----------
    model
        Whose encoder looks.
    known
        Images of its training, with labels.
    looks
        Of other images that it shall not call strange.

    Returns
    -------
    Familiarity or None
        What the model knows already, if anything, where there are too few images.
    """
    cloud = list(_known_looks(model, known)) if len(looks) >= FEWEST_IMAGES else []
    if len(cloud) < FEWEST_IMAGES:
        if model.familiarity is not None:
            return model.familiarity
        _LOGGER.warning(
            "Images unlike those of the training will not be told apart: that takes %d images of "
            "the training and %d others with objects, but there are %d and %d",
            FEWEST_IMAGES, FEWEST_IMAGES, len(cloud), len(looks),
        )  # fmt: skip
        return None
    fitted = fit_familiarity(np.stack(cloud))
    distances = fitted.distance(np.stack(looks))
    limit = float(np.percentile(distances, _KNOWN_PERCENTILE, method="higher"))
    return replace(fitted, limit=limit)


def _known_looks(model: Model, known: Sequence[Record]) -> Iterator[Looks]:
    """Yield what the images with objects look like, where these have the size for the network."""
    target = model.task.preprocessing.diameter
    for record in known:
        try:
            pixels = read_pixels(record)
            labels, _ = read_targets(record, model.classes, pixels.shape[1:])
        except PancyteError as error:
            _LOGGER.warning("%s. It is left out.", error)
            continue
        diameters = measure_objects(labels)["diameter"]
        if not len(diameters):
            continue
        scale = 1.0 if target is None else target / float(np.median(diameters))
        looks = looks_of(model, np.asarray(pixels, np.float32), scale)
        if looks is None:
            return
        yield looks


def looks_of(model: Model, pixels: Pixels, scale: float) -> Looks | None:
    """Return what an image (C, Y, X) resized by ``scale`` looks like; None without an encoder."""
    view = view_image(pixels, model.task.preprocessing)
    try:
        return embed_view(model, view.resized(scaled_shape(view.shape, scale)))
    except UsageError:
        return None
