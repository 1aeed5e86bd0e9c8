"""How far a result can be trusted: scores that are probabilities, and images that are too strange.

What a model knows of this is stored with it: the calibration of its scores, and what the images of
its training look like to its own encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.errors import counted
from pancyte.inference.embedding import embed_view
from pancyte.ops.calibration import calibrated_scores, has_evidence, object_features
from pancyte.ops.resample import scaled_shape

if TYPE_CHECKING:
    from pancyte.inference.model import Model
    from pancyte.inference.view import View
    from pancyte.types import ObjectTable

OUTSIDE: Final = "This image is probably outside of what the model knows"
"""How the warning begins that :func:`doubts` gives."""

# Of the objects of an image whose mean score is below this, most are wrong.
_MOSTLY_WRONG: Final = 0.5
# How far off an image may be, in units of the farthest that the model knows, at a mean score of
# 0.8: farther where the model is surer of its objects, nearer where it is not. Seen on images of
# the kinds that it knows: at most 0.82 at 0.80; on photographs: 0.88 at 0.76, 0.98 at 0.80.
_FAR: Final = 0.9
_MIDDLING: Final = 0.8
_FARTHER: Final = 2.5
# An image is said to look as those without objects do from this probability on. In a trial one of
# 44 images of known kinds reached 0.5, and of kinds that were left out one in twenty-five 0.8.
_EMPTY: Final = 0.7


def with_probabilities(model: Model, objects: ObjectTable, *, scale: float) -> ObjectTable:
    """Replace scores by probabilities, where the model has a calibration and the table the columns.

    Parameters
    ----------
    model
        Whose objects these are.
    objects
        Table of all objects of an image, measured.
    scale
        Factor by which the image was resized before the network saw it.
    """
    if model.calibration is None or not has_evidence(objects):
        return objects
    features = object_features(objects, scale=scale)
    scores = calibrated_scores(model.calibration, features, objects["class"])
    return objects.with_columns({"score": scores})


def doubts(
    model: Model, objects: ObjectTable, view: View, *, scale: float, min_score: float = 0.0
) -> tuple[str, ...]:
    """Say in one line why an image is probably outside of what a model knows, if it is.

    Parameters
    ----------
    model
        What found the objects.
    objects
        All objects of the image, with probabilities as scores.
    view
        The image.
    scale
        Factor by which it was resized before the network saw it.
    min_score
        Objects with a lower score are left out of the result. What the image is like, all of them
        tell.

    Returns
    -------
    tuple of str
        One line, or none. A model without a calibration, and a result without objects, have none.
    """
    if model.calibration is None or not has_evidence(objects):
        return ()
    scores = objects["score"]
    num_kept = int((scores >= min_score).sum())
    if not num_kept:
        return ()
    sure = float(np.mean(scores))
    found, alone = f"{counted(len(scores), 'object')} found", len(scores) == 1
    left_out = (
        "" if num_kept == len(scores) else f" ({num_kept} kept, scored {min_score:g} or more)"
    )
    if sure < _MOSTLY_WRONG:
        why = f"by its own estimate {1 - sure:.0%} of the {found} in it{left_out} are wrong"
        if alone:
            why = f"by its own estimate the {found} is {1 - sure:.0%} likely to be wrong"
        return (_line(why),)
    known = model.familiarity
    if known is None:
        return ()
    features = embed_view(model, view.resized(scaled_shape(view.shape, scale)))
    strangeness = float(known.distance(features)) / known.limit
    if known.emptiness(features) > _EMPTY:
        looks = "it looks like images without any object"
    elif strangeness > _FAR + _FARTHER * (sure - _MIDDLING):
        looks = "it looks unlike those of its training"
    else:
        return ()
    have = "has a" if alone else "have a mean"
    return (_line(f"{looks}, and the {found}{left_out} {have} score of {sure:.2f}"),)


def _line(why: str) -> str:
    return f"{OUTSIDE}: {why}. Check the result."
