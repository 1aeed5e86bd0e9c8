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
        Images of its training, with labels. Those without objects show what is none.
    looks
        Of other images that it shall not call strange.

    Returns
    -------
    Familiarity or None
        What the model knows already, if anything, where there are too few images.
    """
    cloud: list[Looks] = []
    empty: list[Looks] = []
    if len(looks) >= FEWEST_IMAGES:
        for has_objects, seen in _known_looks(model, known):
            (cloud if has_objects else empty).append(seen)
    if len(cloud) < FEWEST_IMAGES:
        if model.familiarity is not None:
            return model.familiarity
        _LOGGER.warning(
            "Images unlike those of the training will not be told apart: that takes %d images of "
            "the training and %d others with objects, but there are %d and %d",
            FEWEST_IMAGES, FEWEST_IMAGES, len(cloud), len(looks),
        )  # fmt: skip
        return None
    enough = len(empty) >= FEWEST_IMAGES
    fitted = fit_familiarity(np.stack(cloud), np.stack(empty) if enough else None)
    distances = fitted.distance(np.stack(looks))
    limit = float(np.percentile(distances, _KNOWN_PERCENTILE, method="higher"))
    return replace(fitted, limit=limit)


def _known_looks(model: Model, known: Sequence[Record]) -> Iterator[tuple[bool, Looks]]:
    """Yield whether images have objects, and what they look like.

    An image with objects is seen where these have the size for the network, one without at the
    scale at which the model would see it.
    """
    target = model.task.preprocessing.diameter
    for record in known:
        try:
            pixels = np.asarray(read_pixels(record), np.float32)
            labels, valid = read_targets(record, model.classes, pixels.shape[1:])
        except PancyteError as error:
            _LOGGER.warning("%s. It is left out.", error)
            continue
        diameters = measure_objects(labels)["diameter"]
        if len(diameters):
            scale = 1.0 if target is None else target / float(np.median(diameters))
        elif valid is not None and not valid.all():
            continue  # what was not annotated may hold objects
        else:
            scale = model.segment(pixels, axes="CYX", min_score=0.0).scale
        looks = looks_of(model, pixels, scale)
        if looks is None:
            return
        yield len(diameters) > 0, looks


def looks_of(model: Model, pixels: Pixels, scale: float) -> Looks | None:
    """Return what an image (C, Y, X) resized by ``scale`` looks like; None without an encoder."""
    view = view_image(pixels, model.task.preprocessing)
    try:
        return embed_view(model, view.resized(scaled_shape(view.shape, scale)))
    except UsageError:
        return None
